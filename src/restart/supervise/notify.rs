//! The private notify socket: sd_notify's grammar, and who sent it.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt};

/// What a service said, in the order it said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Ready,
    Status(String),
    Stopping,
    Extend(Duration),
    Watchdog,
    Reject(String),
    Restart,
    Healthy,
}

/// One datagram that a live process sent.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) pid: u32,
    pub(super) said: Vec<Said>,
}

/// The supervisor's own datagram socket. Abstract, so that its name needs no directory, has no
/// length limit of a path's and leaves nothing behind; the name is random and the sender is checked.
#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: UnixDatagram,
    address: String,
}

impl NotifySocket {
    pub(super) fn bind() -> io::Result<NotifySocket> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("fetchd/{name}");
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes())?)?;
        socket.set_nonblocking(true)?;
        sockopt::set_socket_passcred(&socket, true)?;
        Ok(NotifySocket { socket, address: format!("@{name}") })
    }

    /// The same socket, bound by an earlier program of this process: services know its address.
    pub(super) fn inherited(socket: OwnedFd, address: String) -> NotifySocket {
        NotifySocket { socket: socket.into(), address }
    }

    /// The value of `NOTIFY_SOCKET`.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next datagram; `None` when there is none. Descriptors that came along are closed, which
    /// is what `BARRIER=1` waits for.
    pub(super) fn receive(&self) -> io::Result<Option<Message>> {
        let mut bytes = [0_u8; LARGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1), ScmRights(8))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let received = match recvmsg(&self.socket, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => received,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let mut pid = 0;
        for message in control.drain() {
            match message {
                RecvAncillaryMessage::ScmCredentials(who) => pid = who.pid.as_raw_nonzero().get().unsigned_abs(),
                RecvAncillaryMessage::ScmRights(descriptors) => descriptors.for_each(|fd: OwnedFd| drop(fd)),
                _ => {}
            }
        }
        Ok(Some(Message { pid, said: parse(&bytes[..received.bytes.min(LARGEST)]) }))
    }
}

/// Messages of processes that are not the service's. Anybody on the machine can send them, so they
/// must not be able to fill the log (`tests/disturbed.rs`).
#[derive(Debug, Default)]
pub(super) struct Strangers {
    logged: Option<Instant>,
    since: u64,
}

impl Strangers {
    /// One more, which is ignored.
    pub(super) fn said(&mut self, pid: u32) {
        self.since += 1;
        if self.logged.is_some_and(|at| at.elapsed() < STRANGERS_LOGGED) {
            return;
        }
        tracing::warn!(
            event = "notify.stranger",
            pid,
            count = self.since,
            "messages of processes that are not the service's were ignored"
        );
        (self.logged, self.since) = (Some(Instant::now()), 0);
    }
}

/// Reads newline-separated assignments. What is not understood is ignored, as sd_notify asks.
pub(super) fn parse(bytes: &[u8]) -> Vec<Said> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().filter_map(said).collect()
}

fn said(line: &str) -> Option<Said> {
    let (name, value) = line.split_once('=')?;
    let text = || value.chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect::<String>();
    match (name, value) {
        ("READY", "1") => Some(Said::Ready),
        ("STOPPING", "1") => Some(Said::Stopping),
        ("WATCHDOG", "1") => Some(Said::Watchdog),
        ("STATUS", _) => Some(Said::Status(text())),
        ("EXTEND_TIMEOUT_USEC", _) => Some(Said::Extend(Duration::from_micros(value.parse().ok()?))),
        ("X_FETCHD_REJECT", _) => Some(Said::Reject(text())),
        ("X_FETCHD_RESTART", "1") => Some(Said::Restart),
        ("X_FETCHD_HEALTHY", "1") => Some(Said::Healthy),
        _ => None,
    }
}

/// Whether `pid` is `ancestor` or one of its descendants, by the parents in /proc. A process that
/// is gone is nobody's descendant.
pub(super) fn descends(pid: u32, ancestor: u32) -> bool {
    let mut at = pid;
    // Process trees are shallow; the bound only ends a walk over PIDs that are reused under us.
    for _ in 0..64 {
        if at == ancestor {
            return true;
        }
        match parent(at) {
            Some(parent) if parent > 1 => at = parent,
            _ => return false,
        }
    }
    false
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses and may hold anything, parentheses included.
    let after = stat.rsplit_once(')')?.1;
    after.split_whitespace().nth(1)?.parse().ok()
}

/// The longest datagram that is read whole; the rest is cut off.
pub(super) const LARGEST: usize = 4096;

/// How often strangers are logged at most.
const STRANGERS_LOGGED: Duration = Duration::from_secs(60);

/// The longest status or reason that is kept.
pub(super) const LONGEST_TEXT: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_may_say_several_things() {
        let said = parse(b"READY=1\nSTATUS=serving 3 listeners\nEXTEND_TIMEOUT_USEC=1500000\n");
        assert_eq!(
            said,
            [Said::Ready, Said::Status("serving 3 listeners".into()), Said::Extend(Duration::from_millis(1500))]
        );
    }

    #[test]
    fn what_is_not_understood_is_ignored() {
        assert_eq!(parse(b"MAINPID=1\nREADY=yes\nREADY\n=\nEXTEND_TIMEOUT_USEC=-4\n\xff\xfe"), []);
    }

    #[test]
    fn text_is_bounded_and_printable() {
        let long = format!("STATUS={}\u{7}", "x".repeat(4000));
        assert_eq!(parse(long.as_bytes()), [Said::Status("x".repeat(LONGEST_TEXT))]);
    }

    #[test]
    fn a_message_arrives_with_its_sender() {
        let socket = NotifySocket::bind().unwrap();
        let name = socket.address()[1..].to_owned();
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to_addr(b"READY=1", &SocketAddr::from_abstract_name(name).unwrap()).unwrap();
        let message = socket.receive().unwrap().unwrap();
        assert_eq!((message.pid, message.said), (std::process::id(), vec![Said::Ready]));
        assert!(socket.receive().unwrap().is_none());
    }

    #[test]
    fn only_the_child_and_its_descendants_descend() {
        let us = std::process::id();
        assert!(descends(us, us));
        assert!(descends(us, parent(us).unwrap()));
        assert!(!descends(parent(us).unwrap(), us));
        assert!(!descends(u32::MAX - 1, us));
    }
}
