//! The supervisor under systemd: a socket that was passed, and what PID 1 is told when.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Instant;

use fetchd::demo::{Fault, Trailer};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::Signal;

use crate::bench::{descriptors, environment, load, open_sockets, restart, serves_from, tcp};
use crate::site::{FETCHD, PATIENCE, Site, get};

/// The test's own end of the line to PID 1.
struct Systemd(UnixDatagram);

impl Systemd {
    /// The next message and the descriptors that came with it.
    #[track_caller]
    fn told(&self) -> (String, Vec<OwnedFd>) {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let deadline = Instant::now() + PATIENCE;
        let received = loop {
            let mut buffers = [IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.0, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received.bytes,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => panic!("systemd was told nothing more: {e}"),
            }
            assert!(Instant::now() < deadline);
        };
        let rights = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        });
        let rights = rights.flatten().collect();
        (String::from_utf8(bytes[..received].to_vec()).unwrap(), rights)
    }

    /// The next message, whose first line must be this.
    #[track_caller]
    fn expect(&self, first: &str) -> String {
        let (message, _) = self.told();
        assert_eq!(message.lines().next(), Some(first), "{message}");
        message
    }

    /// Nothing is waiting.
    #[track_caller]
    fn silent(&self) {
        self.0.set_nonblocking(true).unwrap();
        let mut bytes = [0; 4096];
        if let Ok(length) = self.0.recv(&mut bytes) {
            panic!("unexpected: {}", String::from_utf8_lossy(&bytes[..length]));
        }
        self.0.set_nonblocking(false).unwrap();
    }
}

fn value(message: &str, name: &str) -> u64 {
    let mut lines = message.lines().filter_map(|line| line.split_once('='));
    lines.find(|(key, _)| *key == name).unwrap_or_else(|| panic!("no {name} in {message}")).1.parse().unwrap()
}

fn monotonic_usec() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000 + now.tv_nsec / 1000).unwrap()
}

#[test]
fn systemd_hears_of_every_step_and_of_a_stop_only_at_the_stop() {
    let site = Site::new();
    let path = site.path().join("systemd");
    let systemd = Systemd(UnixDatagram::bind(&path).unwrap());
    systemd.0.set_read_timeout(Some(PATIENCE)).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let held = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
    let held = held.to_string_lossy().into_owned();

    // The listed address is taken, by the very socket that is passed: binding it again would fail.
    let listen = format!("web={address}");
    let more = ["--listen", &listen, "--watch", "1s", "--drain-deadline", "20s"];
    let run = crate::bench::updated(&site, &more, &[]);
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "exec 3<&0 0</dev/null; LISTEN_PID=$$ exec \"$0\" \"$@\"", FETCHD])
        .args(run.get_args())
        .current_dir(site.path())
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", "web")
        .env("NOTIFY_SOCKET", &path)
        .env("FDSTORE", "4")
        .stdin(Stdio::from(OwnedFd::from(socket)));
    let mut fetchd = site.supervise(command);

    let (stored, descriptors_stored) = systemd.told();
    assert!(stored.lines().any(|l| l == "FDSTORE=1") && stored.lines().any(|l| l == "FDNAME=web"), "{stored}");
    let fd = descriptors_stored.first().expect("a descriptor came along").as_raw_fd();
    assert_eq!(std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap().to_string_lossy(), held);
    drop(descriptors_stored);
    systemd.expect("READY=1");
    assert_eq!(fetchd.address(), address);
    let (_, first) = serves_from(&mut fetchd, 1);
    assert_eq!(descriptors(first)[&3], held, "the service has the passed socket");
    assert!(descriptors(fetchd.pid()).values().any(|d| *d == held));
    let theirs = environment(first);
    assert!(theirs["NOTIFY_SOCKET"].starts_with("@fetchd/"), "{theirs:?}");
    assert_eq!((theirs["LISTEN_PID"].as_str(), theirs.get("FDSTORE")), (first.to_string().as_str(), None));
    systemd.silent();

    // A handoff that succeeds. The old process says STOPPING to the supervisor, which keeps it to itself.
    let load = load(tcp(address), 2, 2);
    let begun = monotonic_usec();
    restart(&fetchd);
    let reloading = systemd.expect("RELOADING=1");
    assert!((begun..=monotonic_usec()).contains(&value(&reloading, "MONOTONIC_USEC")), "{reloading}");
    systemd.expect("READY=1");
    crate::bench::gone(first);
    systemd.silent();

    // One that is aborted.
    site.publish(&Trailer::version("1.1.0").with_fault(Fault::ExitBeforeReady));
    systemd.expect("RELOADING=1");
    systemd.expect("READY=1");
    fetchd.wait_for_event("handoff.failed", "handoff.exited");
    assert_eq!(load.stop().totals.failed.total(), 0);
    // One that is rolled back from its watch; a crash loses what the process had at that moment.
    site.publish(&Trailer::version("1.2.0").with_fault(Fault::CrashAfterReady));
    systemd.expect("RELOADING=1");
    systemd.expect("READY=1");
    fetchd.wait_for_event("handoff.failed", "watch.died");
    systemd.silent();

    let (_, serving) = serves_from(&mut fetchd, 2);
    let at_rest = open_sockets(serving);
    let slow = std::thread::spawn(move || get(address, "/slow?ms=1500"));
    crate::site::wait_until("the slow request is accepted", || !open_sockets(serving).is_subset(&at_rest));
    fetchd.signal(Signal::TERM);
    systemd.expect("STOPPING=1");
    let extended = value(&systemd.told().0, "EXTEND_TIMEOUT_USEC");
    assert!(extended >= 20_000_000, "{extended} µs are less than the drain may take");
    assert_eq!(fetchd.wait_for_end().code(), Some(0));
    assert!(slow.join().unwrap().unwrap().contains("200 OK"), "the stop was a drain");
    systemd.silent();
}
