//! A directory as an origin, for the suite.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use url::Url;

use super::{Contrast, Declined, Fault, Origin, Secret};
use crate::Options;

/// A directory of its own that `file:` reads.
#[derive(Debug)]
pub struct FileOrigin {
    directory: TempDir,
}

impl FileOrigin {
    /// Makes one, empty.
    ///
    /// # Panics
    /// If no temporary directory can be made.
    pub fn start() -> FileOrigin {
        FileOrigin { directory: TempDir::new().expect("a temporary directory can be made") }
    }

    fn settling(time: &str) -> Options {
        Options::from([("settle".to_owned(), vec![time.to_owned()])])
    }
}

impl Origin for FileOrigin {
    fn publish(&mut self, files: &[(&str, &[u8])]) {
        for (name, bytes) in files {
            // As a release engineer should: written beside, then renamed.
            let staged = self.directory.path().join(format!("{name}.part"));
            fs::write(&staged, bytes).expect("the file can be written");
            fs::rename(&staged, self.directory.path().join(name)).expect("the file can be renamed");
        }
    }

    fn source(&self) -> Url {
        Url::from_file_path(self.directory.path().join("app")).expect("a temporary directory is absolute")
    }

    fn options(&self) -> Options {
        FileOrigin::settling("0s")
    }

    fn inject(&mut self, fault: Fault) -> Result<(), Declined> {
        let app = self.directory.path().join("app");
        match fault {
            Fault::Missing => fs::remove_file(app).expect("the file can be removed"),
            // The next poll sees the file again, as a new one.
            Fault::OpenFails => fs::rename(&app, app.with_extension("away")).expect("the file can be renamed"),
            Fault::Forbidden if rustix::process::geteuid().is_root() => {
                return Err(Declined("this user is root, who may read every file"));
            }
            Fault::Forbidden => {
                fs::set_permissions(self.directory.path(), fs::Permissions::from_mode(0o000))
                    .expect("the mode can be set");
            }
            Fault::Short => return Err(Declined("a file has no announced length other than its own")),
            Fault::ReadError => return Err(Declined("a disk cannot be made to fail")),
            Fault::Stall => return Err(Declined("a disk cannot be made to wait")),
            Fault::Throttled(_) => return Err(Declined("a disk asks nobody to stay away")),
            Fault::NoValidators => return Err(Declined("every file has an inode, a size and a time")),
        }
        Ok(())
    }

    fn clear(&mut self) {
        let app = self.directory.path().join("app");
        let _ = fs::set_permissions(self.directory.path(), fs::Permissions::from_mode(0o700));
        let _ = fs::rename(app.with_extension("away"), app);
    }

    fn open_bodies(&self) -> Result<usize, Declined> {
        let open = fs::read_dir("/proc/self/fd").map_err(|_| Declined("there is no /proc here"))?;
        let inside = |entry: &fs::DirEntry| {
            fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(self.directory.path()))
        };
        Ok(open.flatten().filter(inside).count())
    }

    fn secret(&self) -> Result<Secret, Declined> {
        Err(Declined("no option of `file:` is a secret"))
    }

    fn contrast(&mut self) -> Result<Contrast, Declined> {
        Ok(Contrast { works: FileOrigin::settling("0s"), fails: FileOrigin::settling("1h") })
    }
}
