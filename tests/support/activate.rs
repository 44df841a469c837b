//! Starts a process the way a supervisor does: sockets from descriptor 3, variables, no others.
//!
//! A shell moves the descriptors and replaces itself, so that the process number in `LISTEN_PID` is the
//! right one and no unsafe code is needed between fork and exec.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::process::{Pid, Signal, kill_process};

/// What a test waits at most for something that happens at once.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A demo service with everything a supervisor has of it. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Activated {
    child: Child,
    control: Option<OwnedFd>,
    notify: UnixDatagram,
    _dir: tempfile::TempDir,
}

/// How to start it.
#[derive(Debug, Default)]
pub(crate) struct Activation {
    pub(crate) program: Option<PathBuf>,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// At most two, with their names.
    pub(crate) listeners: Vec<(&'static str, OwnedFd)>,
    /// How many descriptors it may have.
    pub(crate) descriptors: Option<u32>,
}

/// The binary under test.
pub(crate) fn fetchd() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fetchd"))
}

impl Activation {
    /// Starts the demo service with the listeners, a control descriptor and a notification socket.
    pub(crate) fn start(self) -> Activated {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let notify = UnixDatagram::bind(&path).unwrap();
        notify.set_read_timeout(Some(SOON)).unwrap();
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();

        let names: Vec<_> = self.listeners.iter().map(|(name, _)| *name).collect();
        let (names, count) = (names.join(":"), names.len());
        let mut sockets = self.listeners.into_iter().map(|(_, socket)| Stdio::from(socket));
        // Listeners come in as 0 and 1, the control descriptor as 2; the shell puts them behind each other.
        let moves = match count {
            0 => "exec 3<&2",
            1 => "exec 3<&0 4<&2",
            2 => "exec 3<&0 4<&1 5<&2",
            _ => panic!("at most two listeners"),
        };
        let limit = self.descriptors.map(|limit| format!("ulimit -n {limit}; ")).unwrap_or_default();
        let script = format!(
            "{limit}{moves} 0</dev/null 1>/dev/null 2>/dev/null; LISTEN_PID=$$ exec \"$0\" demo-service \"$@\""
        );
        let child = Command::new("/bin/sh")
            .arg("-c")
            .arg(script)
            .arg(self.program.as_deref().unwrap_or(fetchd()))
            .args(&self.args)
            .env("LISTEN_FDS", count.to_string())
            .env("LISTEN_FDNAMES", names)
            .env("NOTIFY_SOCKET", &path)
            .env("FETCHD_PROTO", "1")
            .env("FETCHD_ROLE", "service")
            .env("FETCHD_CONTROL_FD", (3 + count).to_string())
            .envs(self.env)
            .stdin(sockets.next().unwrap_or(Stdio::null()))
            .stdout(sockets.next().unwrap_or(Stdio::null()))
            .stderr(Stdio::from(theirs))
            .spawn()
            .unwrap();
        Activated { child, control: Some(ours), notify, _dir: dir }
    }
}

impl Activated {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next notification.
    pub(crate) fn told(&self) -> String {
        let mut packet = [0; 512];
        let length = self.notify.recv(&mut packet).expect("a notification");
        String::from_utf8_lossy(&packet[..length]).into_owned()
    }

    /// Waits for READY.
    pub(crate) fn ready(self) -> Activated {
        assert_eq!(self.told(), "READY=1");
        self
    }

    /// What the service said over the control descriptor.
    pub(crate) fn said(&self) -> String {
        let mut packet = [0; 64];
        let control = self.control.as_ref().unwrap();
        let (length, _) = rustix::net::recv(control, &mut packet[..], rustix::net::RecvFlags::empty()).unwrap();
        String::from_utf8_lossy(&packet[..length]).into_owned()
    }

    pub(crate) fn order(&self, message: &str) {
        rustix::net::send(self.control.as_ref().unwrap(), message.as_bytes(), SendFlags::NOSIGNAL).unwrap();
    }

    /// As if the supervisor had died.
    pub(crate) fn abandon(&mut self) {
        self.control = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child)
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        reap(&mut self.child);
    }
}

/// A demo service that nobody supervises. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Alone {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Alone {
    /// Starts it and reads the address from its first line.
    pub(crate) fn start(program: &Path, args: &[&str]) -> Alone {
        let mut child = Command::new(program).arg("demo-service").args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
        Alone { child, address }
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        reap(&mut self.child);
    }
}

fn ended(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "the process did not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn reap(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
