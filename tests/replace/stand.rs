//! What the tests of this suite share: a fetchd that lies at a path of its own, where another can be put.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use fetchd::control::{self, Line, Request};
use fetchd::failure::Reported;

use crate::site::{FETCHD, PATIENCE, Site, Supervised};

/// Where this service's fetchd lies: at first a link to the one under test.
pub(crate) fn own(site: &Site) -> PathBuf {
    site.path().join("bin/fetchd")
}

/// Puts the fetchd under test at its path, in place of whatever is there.
pub(crate) fn put_back(site: &Site) {
    let beside = own(site).with_extension("new");
    symlink(FETCHD, &beside).unwrap();
    fs::rename(&beside, own(site)).unwrap();
}

/// Puts `bytes` at its path.
pub(crate) fn put(site: &Site, bytes: &[u8], mode: u32) {
    let beside = own(site).with_extension("new");
    fs::write(&beside, bytes).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(&beside, own(site)).unwrap();
}

/// Puts a shell script at its path that knows the real one as `$REAL`.
pub(crate) fn put_script(site: &Site, text: &str) {
    put(site, format!("#!/bin/sh\nREAL={FETCHD}\n{text}\n").as_bytes(), 0o755);
}

/// The same command line with the fetchd at its own path.
pub(crate) fn from_own_path(site: &Site, command: &Command) -> Command {
    put_back(site);
    let mut own = Command::new(own(site));
    own.args(command.get_args()).current_dir(site.path()).env_remove("RUST_LOG").stdin(std::process::Stdio::null());
    own
}

/// A service without updates under such a fetchd.
pub(crate) fn plain<'a>(site: &'a Site, more: &[&str], program: &Path, arguments: &[&str]) -> Supervised<'a> {
    site.supervise(from_own_path(site, &crate::bench::plain(site, more, program, arguments)))
}

/// `fetchd restart --supervisor`: the answer, or why not.
pub(crate) fn try_replace(fetchd: &Supervised<'_>) -> Result<String, Reported> {
    let path = control::path(&fetchd.site.state_dir());
    match control::ask(&path, &Request::ReplaceSupervisor, PATIENCE, |_| {}) {
        Ok(Line::Answer(answer)) => match answer.error {
            Some(failure) => Err(failure),
            None => {
                assert_eq!(answer.outcome, "replaced", "{answer:?}");
                Ok(answer.message)
            }
        },
        other => panic!("{other:?}\n{}", fetchd.log()),
    }
}

/// The same, which must succeed.
#[track_caller]
pub(crate) fn replace(fetchd: &Supervised<'_>) {
    if let Err(failure) = try_replace(fetchd) {
        panic!("{failure:?}\n{}", fetchd.log());
    }
}

/// The same, which must fail with this code, this exit code and words with this among them.
#[track_caller]
pub(crate) fn refused(fetchd: &Supervised<'_>, code: &str, exit: u8, says: &str) {
    match try_replace(fetchd) {
        Ok(message) => panic!("it took over: {message}\n{}", fetchd.log()),
        Err(failure) => {
            assert_eq!((failure.code.as_str(), failure.exit.number()), (code, exit), "{failure:?}");
            assert!(failure.message.contains(says), "{failure:?}");
        }
    }
}
