//! Packets between a parent and its successor: text, and at most one descriptor with each.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// One message.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) text: String,
    pub(super) descriptor: Option<OwnedFd>,
}

/// Two connected ends, both close-on-exec and blocking.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends `text`, and `descriptor` with it, waiting for room until `deadline`.
///
/// # Errors
///
/// `TimedOut`, or what the kernel said; `BrokenPipe` if the other side is gone.
pub(super) fn send(
    socket: &impl AsFd,
    text: &str,
    descriptor: Option<BorrowedFd<'_>>,
    deadline: Instant,
) -> io::Result<()> {
    let rights = descriptor.map_or(Vec::new(), |descriptor| vec![descriptor]);
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !rights.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&rights));
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match sendmsg(socket, &[IoSlice::new(text.as_bytes())], &mut ancillary, flags) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                if !wait(&mut [PollFd::new(socket, PollFlags::OUT)], Some(deadline))? {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The next packet if one is there; `None` when the other side is gone.
///
/// # Errors
///
/// `WouldBlock` if there is none, or what the kernel said.
pub(super) fn try_receive(socket: &impl AsFd) -> io::Result<Option<Packet>> {
    loop {
        let mut bytes = [0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = match recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags) {
            Ok(received) => received,
            Err(Errno::INTR) => continue,
            Err(Errno::CONNRESET) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet or its descriptor did not fit"));
        }
        let descriptor = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
            _ => None,
        });
        let text = String::from_utf8_lossy(&bytes[..received.bytes]).trim_end().to_owned();
        return Ok(Some(Packet { text, descriptor }));
    }
}

/// The next packet, waited for until `deadline`; `None` when the other side is gone.
///
/// # Errors
///
/// `TimedOut`, or what the kernel said.
pub(super) fn receive(socket: &impl AsFd, deadline: Instant) -> io::Result<Option<Packet>> {
    loop {
        match try_receive(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
        if !wait(&mut [PollFd::new(socket, PollFlags::IN)], Some(deadline))? {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Waits until one of `fds` has something, at most until `deadline`; false if none had.
pub(super) fn wait(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(fds, timeout.as_ref()) {
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Longer than any packet: a verb and a name or reason.
pub(super) const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn descriptors_arrive_with_their_packet_and_the_end_is_seen() {
        let (parent, successor) = pair().unwrap();
        let soon = Instant::now() + Duration::from_secs(20);
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        send(&parent, "descriptor state", Some(theirs.as_fd()), soon).unwrap();
        send(&parent, "begin", None, soon).unwrap();
        drop(theirs);
        let first = receive(&successor, soon).unwrap().unwrap();
        assert_eq!(first.text, "descriptor state");
        let mut handed = UnixStream::from(first.descriptor.unwrap());
        handed.write_all(b"x").unwrap();
        ours.read_exact(&mut [0]).unwrap();
        let second = receive(&successor, soon).unwrap().unwrap();
        assert!(second.text == "begin" && second.descriptor.is_none());
        assert_eq!(receive(&successor, Instant::now()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(parent);
        assert!(receive(&successor, soon).unwrap().is_none());
        assert_eq!(send(&successor, "ready", None, soon).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_packet_that_does_not_fit_is_an_error_and_a_full_socket_a_deadline() {
        let (parent, successor) = pair().unwrap();
        let soon = Instant::now() + Duration::from_secs(20);
        send(&parent, &"x".repeat(LONGEST + 1), None, soon).unwrap();
        assert_eq!(receive(&successor, soon).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let full = (0..100_000).find_map(|_| send(&parent, "x", None, Instant::now()).err());
        assert_eq!(full.map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
    }
}
