//! systemd is told which process is the main one before that one says that it is ready, and of a stop only by the last.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use fetchd::demo::{Fault, Trailer};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::Signal;

use crate::chain::{Chain, gone, site};
use crate::processes::signal;
use crate::site::{PATIENCE, get, wait_until};

/// The test's own end of the line to process 1.
struct Systemd(UnixDatagram);

impl Systemd {
    fn told(&self) -> (String, Option<OwnedFd>) {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
        let rights = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
            _ => None,
        });
        (String::from_utf8(bytes[..received.bytes].to_vec()).unwrap(), rights)
    }

    #[track_caller]
    fn expect(&self, message: &str) {
        assert_eq!(self.told().0, message);
    }

    /// Nothing comes for a moment.
    #[track_caller]
    fn silent(&self) {
        self.0.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut bytes = [0; 4096];
        if let Ok(length) = self.0.recv(&mut bytes) {
            panic!("unexpected: {}", String::from_utf8_lossy(&bytes[..length]));
        }
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// A handoff to `successor`: it says that it is ready when its being the main process has been read, not before.
    #[track_caller]
    fn expect_handoff(&self, chain: &Chain<'_>, before: u32) -> u32 {
        let (main, _) = self.told();
        let successor = chain.pid();
        assert_ne!(successor, before);
        assert_eq!(main, format!("MAINPID={successor}"));
        let (barrier, descriptor) = self.told();
        assert_eq!(barrier, "BARRIER=1");
        let descriptor = descriptor.expect("a barrier comes with a descriptor");
        self.silent();
        drop(descriptor);
        self.expect("READY=1");
        successor
    }
}

#[test]
fn systemd_hears_of_the_main_process_first_and_of_a_stop_only_from_the_last() {
    let site = site();
    let path = site.path().join("systemd");
    let systemd = Systemd(UnixDatagram::bind(&path).unwrap());
    systemd.0.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = Command::new(site.program());
    command.env("NOTIFY_SOCKET", &path);
    let mut chain = Chain::start_with(&site, command, &["--pause-ms", "3000", "--lame-duck-ms", "50"]);
    let first = chain.pid();
    systemd.expect("READY=1");
    systemd.silent();

    signal(first, Signal::USR2);
    let second = systemd.expect_handoff(&chain, first);
    wait_until("the first process has drained", || chain.reap_first().is_some());
    // It has left without a word.
    systemd.silent();

    // A successor that dies: the main process is the old one again.
    chain.deploy(&Trailer::version("2.0.0").with_fault(Fault::CrashLater));
    signal(second, Signal::USR2);
    let third = systemd.expect_handoff(&chain, second);
    wait_until("the successor answers", || chain.answering() == third);
    let _ = get(chain.address, "/crash");
    systemd.expect(&format!("MAINPID={second}"));
    wait_until("the old process answers", || chain.answering() == second);
    assert_eq!(chain.pid(), second);

    signal(second, Signal::TERM);
    systemd.expect("STOPPING=1");
    gone(second);
    systemd.silent();
}
