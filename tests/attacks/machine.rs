//! What is done to the machine itself: mounts, rights, limits, and a process that is stopped halfway.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fetchd::checkpoint::Checkpoint;

use crate::bench::{Bench, Ended};

/// How long anything may take before a row gives up. Generous: the machines are shared.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// `fetchd apply --json` for this machine, not yet run.
pub fn apply(bench: &Bench, flags: &[&str]) -> Command {
    let mut command = bench.command("apply", flags);
    command.arg("--json").arg("--").arg(bench.program());
    command
}

/// `command` behind `words`, with the same environment and working directory.
fn behind(words: &[&str], command: &Command) -> Command {
    let (first, rest) = words.split_first().unwrap();
    let mut outer = Command::new(first);
    outer.args(rest).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    if let Some(dir) = command.get_current_dir() {
        outer.current_dir(dir);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// `command`, which is killed if it writes a file longer than `bytes`.
pub fn with_files_up_to(bytes: u64, command: &Command) -> Command {
    // The unit of the limit is 512 bytes.
    behind(&["sh", "-c", "ulimit -f \"$1\" && shift && exec \"$@\"", "sh", &(bytes / 512).to_string()], command)
}

/// `command` without these rights, such as `dac_override`, which root has. Without root there are none to take away.
pub fn without(rights: &[&str], command: &Command) -> Command {
    let set: Vec<String> = rights.iter().map(|right| format!("-{right}")).collect();
    let set = format!("--bounding-set={}", set.join(","));
    if rustix::process::geteuid().is_root() { behind(&["setpriv", &set], command) } else { behind(&["env"], command) }
}

/// `command` in a mount namespace in which `dir` is read-only.
pub fn read_only(dir: &Path, command: &Command) -> Command {
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    let mut words = unshare();
    words.extend(["sh", "-c", script, "sh", dir.to_str().unwrap()]);
    behind(&words, command)
}

fn unshare() -> Vec<&'static str> {
    let mut words = vec!["unshare", "--mount"];
    if !rustix::process::geteuid().is_root() {
        // In a user namespace of its own anybody may mount. A machine that does not allow that fails the row.
        words.push("--map-root-user");
    }
    words
}

/// Whether this is the process in which the row `name` may mount what it likes. If not, the row is run again, in one.
#[track_caller]
pub fn may_mount(name: &str) -> bool {
    if std::env::var_os(INNER).is_some() {
        return true;
    }
    let mut words = unshare();
    let own = std::env::current_exe().unwrap();
    words.push(own.to_str().unwrap());
    let output = Command::new(words[0]).args(&words[1..]).args(["--exact", name]).env(INNER, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let passed = output.status.success() && said.contains("1 passed");
    assert!(passed, "{said}{}", String::from_utf8_lossy(&output.stderr));
    false
}

const INNER: &str = "FETCHD_TEST_MAY_MOUNT";

/// A file system of its own at `dir`, which goes with this value.
pub struct SmallFileSystem(PathBuf);

impl SmallFileSystem {
    /// With `size` as `mount` takes it.
    pub fn at(dir: &Path, size: &str) -> SmallFileSystem {
        mount(&["-t", "tmpfs", "-o", &format!("size={size},mode=755"), "none"], dir);
        SmallFileSystem(dir.to_owned())
    }
}

impl Drop for SmallFileSystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn mount(words: &[&str], dir: &Path) {
    let output = Command::new("mount").args(words).arg(dir).output().unwrap();
    assert!(output.status.success(), "mount {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A pass that has stopped at a checkpoint.
pub struct Stopped {
    child: Option<Child>,
    marker: PathBuf,
}

impl Stopped {
    /// Begins a pass, and waits until it gets there.
    #[track_caller]
    pub fn at(bench: &Bench, checkpoint: Checkpoint) -> Stopped {
        let marker = bench.path().join("checkpoint");
        let mut command = apply(bench, &[]);
        command.env("FETCHD_TEST_CHECKPOINT", checkpoint.name()).env("FETCHD_TEST_CHECKPOINT_FILE", &marker);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stopped = Stopped { child: Some(child), marker };
        let deadline = Instant::now() + PATIENCE;
        while !stopped.marker.exists() {
            let ended = stopped.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "it ended before {checkpoint:?}: {ended:?}");
            assert!(Instant::now() < deadline, "it never came to {checkpoint:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
        stopped
    }

    /// Lets it go on, without waiting.
    pub fn go_on(&self) -> io::Result<()> {
        std::fs::remove_file(&self.marker)
    }

    /// Waits for its end.
    pub fn end(mut self, bench: &Bench) -> Ended {
        bench.ended(self.child.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_file(&self.marker);
    }
}
