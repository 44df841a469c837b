//! A machine of the test's own: the programs of this one, and files of ours at the paths where packages put them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use fetchd::publish::Publisher;

use crate::bench::Service;
use crate::site::{FETCHD, Site, text};

/// Directories of a [`Site`] that stand in for the machine's: `/usr` and `/etc` with additions, `/srv`, `/run`, `/var/lib`
/// and `/var/log` empty at first. Nothing of the real machine is written to.
pub(crate) struct Machine {
    pub(crate) site: Site,
}

/// Mounts what `$0` holds, and becomes the command.
const SETUP: &str = r#"
for dir in usr etc; do mount -t overlay overlay -o "lowerdir=$0/$dir:/$dir" "/$dir"; done
for dir in srv run var/lib var/log; do mount --bind "$0/$dir" "/$dir"; done
exec "$@"
"#;

impl Machine {
    /// With fetchd in `/usr/bin`, and 1.0.0 of the demo service as `/srv/web/server`.
    pub(crate) fn new() -> Machine {
        let mut machine = Machine { site: Site::empty() };
        machine.site.publisher = Publisher::new(machine.at("pub")).unwrap().product("web");
        for dir in ["usr/bin", "etc/fetchd", "srv/web", "run", "var/lib", "var/log"] {
            fs::create_dir_all(machine.at(dir)).unwrap();
        }
        symlink(FETCHD, machine.at("usr/bin/fetchd")).unwrap();
        machine.site.put(&machine.at("srv/web/server"), &fetchd::demo::Trailer::version("1.0.0"));
        machine
    }

    /// Where `path`, which has no leading slash, lies for the test.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.site.path().join(path)
    }

    /// Puts a file of the repository there.
    pub(crate) fn install(&self, from: &str, to: &str, mode: u32) {
        let to = self.at(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(repository(from), &to).unwrap_or_else(|e| panic!("{from}: {e}"));
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// `/etc/fetchd/web.toml`, with a port of the kernel's choice, the site's releases, and `more`.
    pub(crate) fn configure(&self, more: &str) {
        let (source, key) = (self.site.source(), self.site.publisher.public_key());
        let text = format!(
            "product = \"web\"\nprogram = [\"/srv/web/server\"]\nlisten = [\"web=127.0.0.1:0\"]\nkey = [\"{key}\"]\n\
             interval = \"200ms\"\njitter = 0\nwatch = \"200ms\"\n{more}\n[source]\nurl = \"{source}\"\n"
        );
        fs::write(self.at("etc/fetchd/web.toml"), text).unwrap();
    }

    /// What the supervisor of `web` says.
    pub(crate) fn service(&self) -> Service {
        Service::at(&self.at("var/lib/fetchd/web"))
    }

    /// A command on this machine; `flags` are for `unshare`.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, flags: &[&str], words: &[S]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]).args(flags).args(["--", "/bin/sh", "-ec", SETUP]);
        command.arg(self.site.path()).args(words).current_dir("/").stdin(Stdio::null());
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", python("").display())).env_remove("RUST_LOG");
        command
    }

    /// Runs one to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(&[], words).output().unwrap()
    }

    /// Runs one that has to succeed; its output.
    #[track_caller]
    pub(crate) fn succeed(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts one as process 1 of a process namespace, which ends with the test whatever happens.
    pub(crate) fn init(&self, words: &[&str], log: &str) -> Init {
        let log = self.at(log);
        let mut command = self.command(&["--pid", "--fork", "--kill-child", "--mount-proc"], words);
        command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        Init { unshare: command.spawn().unwrap(), log }
    }
}

/// A process 1 and, outside of its namespace, the `unshare` that waits for it.
pub(crate) struct Init {
    pub(crate) unshare: Child,
    log: PathBuf,
}

impl Init {
    /// What it wrote to stderr.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        // The kernel ends process 1 with `unshare`, and every process of the namespace with process 1.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        if std::thread::panicking() {
            eprintln!("--- log ---\n{}", self.log());
        }
    }
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A program that `tests/all` installs from PyPI; the directory of them for the empty name.
pub(crate) fn python(program: &str) -> PathBuf {
    let path = repository("target/ci/python/bin").join(program);
    assert!(path.exists(), "`{}` is missing: `tests/all` installs it", path.display());
    path
}
