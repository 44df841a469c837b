//! A service whose fetchd stops at a checkpoint to be killed there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use fetchd::checkpoint::Checkpoint;
use fetchd::demo::Trailer;
use fetchd::digest::Sha256;
use fetchd::fetch::measure;
use fetchd::publish::{ArtifactFile, NewRelease, SigningKey, host_target, key_file};
use fetchd::trust::Format;

use crate::site::{FETCHD, Site, Supervised, wait_until};

/// How the program is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Replace,
    Releases,
    External,
}

/// Where the tests look and what they start.
pub(crate) struct Scene {
    pub(crate) site: Site,
    pub(crate) layout: Layout,
    at: Checkpoint,
    root: SigningKey,
}

impl Scene {
    /// With 1.0.0 at the program path, or 0.9.0 where somebody else deploys.
    pub(crate) fn new(layout: Layout, at: Checkpoint) -> Scene {
        let site = Site::empty();
        let first = match layout {
            Layout::Replace | Layout::External => site.program(),
            Layout::Releases => {
                fs::create_dir_all(site.path().join("srv/releases/by-hand")).unwrap();
                std::os::unix::fs::symlink("releases/by-hand", site.path().join("srv/current")).unwrap();
                site.path().join("srv/releases/by-hand/app")
            }
        };
        site.put(&first, &Trailer::version(if layout == Layout::External { "0.9.0" } else { "1.0.0" }));
        let scene = Scene { site, layout, at, root: SigningKey::generate().unwrap() };
        if at == Checkpoint::KeysKept {
            fs::write(scene.provisioned(), scene.key_set(1)).unwrap();
        }
        scene
    }

    /// The path that the world knows.
    pub(crate) fn program(&self) -> PathBuf {
        match self.layout {
            Layout::Replace | Layout::External => self.site.program(),
            Layout::Releases => self.site.path().join("srv/current/app"),
        }
    }

    /// Where custody and staging are.
    pub(crate) fn private(&self) -> PathBuf {
        match self.layout {
            Layout::Replace | Layout::Releases => self.site.path().join("srv/.fetchd/app"),
            Layout::External => self.site.state_dir().join("external"),
        }
    }

    fn provisioned(&self) -> PathBuf {
        self.site.path().join("app.keys")
    }

    /// A key set by which the publisher signs releases.
    fn key_set(&self, version: u64) -> Vec<u8> {
        let document = self.site.publisher.key_document(version, &[&self.root]).unwrap();
        key_file(&document, &[&self.root]).unwrap()
    }

    fn marker(&self) -> PathBuf {
        self.site.path().join("checkpoint")
    }

    /// `fetchd COMMAND`; with `armed` it stops at the checkpoint.
    pub(crate) fn command(&self, command: &str, more: &[&str], armed: bool) -> Command {
        let mut fetchd = Command::new(FETCHD);
        let source = match self.layout {
            Layout::External => format!("file:{}?settle=0s", self.program().display()),
            Layout::Replace | Layout::Releases => self.site.source(),
        };
        let layout = format!("{:?}", self.layout).to_lowercase();
        fetchd
            .args([command, "--product", "app", "--layout", &layout, "--source", &source, "--state-dir"])
            .arg(self.site.state_dir())
            .args(self.trust())
            .args(more)
            .arg("--")
            .arg(self.program())
            .current_dir(self.site.path())
            .env_remove("RUST_LOG")
            .stdin(std::process::Stdio::null());
        if armed {
            fetchd.env("FETCHD_TEST_CHECKPOINT", self.at.name()).env("FETCHD_TEST_CHECKPOINT_FILE", self.marker());
        }
        fetchd
    }

    /// The publisher's key, or where it is about key sets the provisioned one.
    fn trust(&self) -> [String; 2] {
        if self.at == Checkpoint::KeysKept {
            return ["--keys".to_owned(), self.provisioned().display().to_string()];
        }
        ["--key".to_owned(), self.site.publisher.public_key().to_string()]
    }

    /// `fetchd run`.
    pub(crate) fn run(&self, armed: bool) -> Supervised<'_> {
        let watch = if self.is_bad() { "2s" } else { "500ms" };
        let more = ["--jitter", "0", "--interval", "200ms", "--watch", watch, "--listen", "web=127.0.0.1:0"];
        let mut command = self.command("run", &more, armed);
        command.args(["--lame-duck-ms", "300"]);
        self.site.supervise(command)
    }

    /// Whether what is published crashes in its watch: the way back begins only then.
    pub(crate) fn is_bad(&self) -> bool {
        matches!(self.at, Checkpoint::RollbackBegun | Checkpoint::RolledBack)
    }

    /// Publishes a release with this trailer: packed, where it is the unpacking that is broken off.
    pub(crate) fn publish(&self, trailer: &Trailer) {
        if self.at == Checkpoint::KeysKept {
            self.site.publisher.put_keys(2, &self.key_set(2)).unwrap();
        }
        if self.layout == Layout::External {
            return self.deploy(trailer);
        }
        if self.at != Checkpoint::Extracted {
            return self.site.publish(trailer);
        }
        let dir = self.site.path().join(format!("packed-{}", trailer.version));
        fs::create_dir(&dir).unwrap();
        self.site.put(&dir.join("app"), trailer);
        let archive = dir.join("app.tar.gz");
        // Quickly: what is tested is not how well it packs.
        let made = Command::new("tar")
            .args(["--use-compress-program=gzip -1", "-cf"])
            .arg(&archive)
            .arg("-C")
            .args([&dir, &PathBuf::from("app")])
            .status()
            .expect("the program `tar` is installed");
        assert!(made.success());
        let artifact = ArtifactFile { target: host_target(), path: archive, format: Some(Format::TarGz), entry: None };
        let release = NewRelease::new(trailer.version.parse().unwrap(), vec![artifact]);
        self.site
            .publisher
            .change(|options| {
                options.release = Some(release);
                options.unpack = &|path, format, entry| measure(path, format, entry).map_err(|e| e.to_string());
            })
            .unwrap();
    }

    /// What a deploy job does: a signature that fits, and then the file, by renames.
    fn deploy(&self, trailer: &Trailer) {
        let away = self.site.path().join(format!("deploy-{}", trailer.version));
        let publisher = self.site.publisher.clone().dir(&away);
        let path = publisher.publish_bound("app", &trailer.version, &self.site.binary(trailer)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let signature = self.site.path().join("srv/app.minisig");
        fs::rename(away.join("app.minisig"), signature).unwrap();
        fs::rename(path, self.program()).unwrap();
    }

    /// Takes the channel away, or gives it back: nothing new is found while it is gone.
    pub(crate) fn offer(&self, offered: bool) {
        let (pointer, away) = (self.site.publisher.pointer(), self.site.path().join("away.fetchd"));
        if offered { fs::rename(away, pointer).unwrap() } else { fs::rename(pointer, away).unwrap() }
    }

    /// Waits until the checkpoint is reached, and returns the process that waits there.
    #[track_caller]
    pub(crate) fn stopped(&self) -> u32 {
        let mut pid = None;
        wait_until(&format!("{:?} is reached", self.at), || {
            pid = fs::read_to_string(self.marker()).ok().and_then(|text| text.parse().ok());
            pid.is_some()
        });
        pid.unwrap()
    }

    /// Whether the checkpoint has been reached.
    pub(crate) fn was_reached(&self) -> bool {
        self.marker().exists()
    }

    /// The digest of what is at the program path: there must be a whole file.
    pub(crate) fn live(&self) -> Sha256 {
        Sha256::of(&fs::read(self.program()).unwrap())
    }

    /// The digest of the demo service with this trailer.
    pub(crate) fn digest(&self, trailer: &Trailer) -> Sha256 {
        Sha256::of(&self.site.binary(trailer))
    }

    /// What lies in custody.
    pub(crate) fn in_custody(&self) -> Vec<PathBuf> {
        fs::read_dir(self.private().join("custody")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}
