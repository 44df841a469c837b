//! The parent dies on the way: before `go` its successor goes with it, after `go` it serves.

use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use fetchd::demo::Trailer;
use fetchd::spawn::{Child, Exited, Spawn};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::Signal;

use crate::chain::{Chain, end_all, field, gone, pid_file, put, site};
use crate::processes::{runs, signal};
use crate::site::{PATIENCE, Site, get, wait_until};

/// A successor whose parent the test plays.
struct Orphan<'a> {
    site: &'a Site,
    child: Child,
    line: Option<OwnedFd>,
    listener: TcpListener,
    systemd: UnixDatagram,
}

impl<'a> Orphan<'a> {
    fn start(site: &'a Site) -> Orphan<'a> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let path = site.path().join("systemd");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_read_timeout(Some(PATIENCE)).unwrap();
        let (line, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let args = ["--direct".into(), "--pid-file".into(), pid_file(site).into_os_string()];
        let mut spawn = Spawn::new(site.program(), args);
        spawn.env = [
            ("LISTEN_FDS", "1"),
            ("LISTEN_FDNAMES", "web"),
            ("FETCHD_ROLE", "successor"),
            ("FETCHD_CONTROL_FD", "4"),
            ("FETCHD_GENERATION", "2"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec();
        spawn.env.push(("NOTIFY_SOCKET".into(), path.into()));
        spawn.pid_variable = Some("LISTEN_PID".to_owned());
        spawn.fds = vec![(listener.as_fd().try_clone_to_owned().unwrap(), 3), (theirs, 4)];
        let child = spawn.spawn().unwrap();
        Orphan { site, child, line: Some(line), listener, systemd }
    }

    fn say(&self, word: &str) {
        rustix::net::send(self.line.as_ref().unwrap(), word.as_bytes(), SendFlags::NOSIGNAL).unwrap();
    }

    #[track_caller]
    fn expect(&self, word: &str) {
        let mut bytes = [0; 64];
        let (length, _) = rustix::net::recv(self.line.as_ref().unwrap(), &mut bytes[..], RecvFlags::empty()).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes[..length]), word);
    }

    /// The parent's death.
    #[track_caller]
    fn abandoned(&mut self) -> Exited {
        self.line = None;
        assert!(self.child.ended_by(Instant::now() + PATIENCE).unwrap(), "it ends");
        self.child.wait().unwrap()
    }

    #[track_caller]
    fn said_to_systemd(&self) -> String {
        let mut bytes = [0; 256];
        let length = self.systemd.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }
}

impl Drop for Orphan<'_> {
    fn drop(&mut self) {
        end_all(self.site.path());
        let _ = self.child.wait();
    }
}

#[test]
fn a_successor_whose_parent_dies_before_go_leaves_without_having_accepted() {
    for step in ["before anything", "before ready", "before go"] {
        let site = Site::empty();
        let boot = std::time::Duration::from_millis(300);
        put(&site, &site.program(), &Trailer::version("2.0.0").with_boot(boot));
        let mut orphan = Orphan::start(&site);
        if step != "before anything" {
            orphan.say("begin");
        }
        if step == "before go" {
            orphan.expect("ready");
        }
        let waiting = std::net::TcpStream::connect(orphan.listener.local_addr().unwrap()).unwrap();
        assert_eq!(orphan.abandoned(), Exited::Code(64), "{step}");
        // The connection is still in the queue: nobody has taken it.
        orphan.listener.set_nonblocking(true).unwrap();
        let (accepted, _) = orphan.listener.accept().unwrap();
        assert_eq!(accepted.peer_addr().unwrap(), waiting.local_addr().unwrap(), "{step}");
        assert!(!pid_file(&site).exists(), "{step}");
    }
}

#[test]
fn a_successor_whose_parent_dies_after_go_serves_and_tells_systemd_itself() {
    let site = site();
    let mut orphan = Orphan::start(&site);
    orphan.say("begin");
    orphan.expect("ready");
    orphan.say("go");
    orphan.line = None;
    let pid = orphan.child.pid().as_raw_nonzero().to_string();
    assert_eq!(orphan.said_to_systemd(), format!("MAINPID={pid}\nREADY=1"));
    assert_eq!(fs::read_to_string(pid_file(&site)).unwrap().trim(), pid);
    let answer = get(orphan.listener.local_addr().unwrap(), "/").unwrap();
    assert_eq!(field(&answer, "pid"), pid);
}

#[test]
fn a_parent_that_is_killed_while_its_successor_prepares_takes_it_along() {
    let site = site();
    let chain = Chain::start(&site, &[]);
    let parent = chain.pid();
    chain.deploy(&Trailer::version("2.0.0").with_boot(std::time::Duration::from_secs(2)));
    signal(parent, Signal::USR2);
    wait_until("the successor is there", || chain.running().len() == 2);
    signal(parent, Signal::KILL);
    wait_until("none is left", || chain.running().is_empty());
}

#[test]
fn a_parent_that_is_killed_in_its_pause_or_in_its_drain_leaves_a_server_behind() {
    let site = site();
    let chain = Chain::start(&site, &["--pause-ms", "60000"]);
    for killed in ["in the pause", "in the drain"] {
        let parent = chain.pid();
        // It has something to stay for.
        let _slow = chain.slow_request();
        let mut successor = chain.switch();
        wait_until("the successor answers", || chain.answering() == successor);
        if killed == "in the drain" {
            // A successor that hands over itself ends its parent's pause.
            successor = chain.switch();
        }
        assert!(runs(parent), "{killed}");
        signal(parent, Signal::KILL);
        gone(parent);
        assert_eq!((chain.answering(), chain.pid()), (successor, successor), "{killed}");
        let next = chain.switch();
        wait_until("the next upgrade works", || chain.answering() == next);
    }
}
