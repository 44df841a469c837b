//! The control descriptor: what the supervisor tells a service beyond signals.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, sockopt};

/// One message of the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Stop accepting, keep serving the connections there are.
    Pause,
    /// Accept again: the new generation did not prove itself.
    Resume,
    /// Leave, within the time given or else the one configured.
    Drain(Option<Duration>),
    /// The supervisor is dead. Nobody will start a successor; the last message there is.
    SupervisorGone,
}

impl Message {
    /// What a service allows itself of the supervisor's `deadline`: a tenth of it, at most half a
    /// second, is kept for leaving in order, so that the process ends by itself and is not killed.
    pub fn before_the_kill(deadline: Duration) -> Duration {
        deadline - (deadline / 10).min(Duration::from_millis(500))
    }
}

/// What to do when the supervisor has died.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnSupervisorDeath {
    /// Drain and exit: whoever restarts the supervisor gets the addresses back.
    #[default]
    Drain,
    /// Go on serving.
    Keep,
}

/// The service's end of the control descriptor.
#[derive(Debug)]
pub struct Control {
    socket: OwnedFd,
}

/// Longer than any message; what does not fit is not for this version.
const LONGEST: usize = 256;

impl Control {
    /// `None` if `socket` is not a Unix packet socket.
    pub(crate) fn new(socket: OwnedFd) -> Option<Control> {
        let fits = sockopt::socket_type(&socket).is_ok_and(|kind| kind == SocketType::SEQPACKET)
            && sockopt::socket_domain(&socket).is_ok_and(|family| family == AddressFamily::UNIX);
        fits.then_some(Control { socket })
    }

    /// Tells the supervisor that this service understands `pause` and `resume`. Once, before ready.
    ///
    /// # Errors
    ///
    /// What the kernel said; a supervisor that is gone shows up in [`next`](Control::next).
    pub fn hello(&self) -> io::Result<()> {
        greet(self.socket.as_fd())
    }

    /// Waits for the next message, for ever or until `timeout` (then `None`). Unknown messages
    /// are skipped.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn next(&self, timeout: Option<Duration>) -> io::Result<Option<Message>> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            match self.try_next() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other.map(Some),
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], left.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next message if one is there; `WouldBlock` otherwise. For readiness loops.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn try_next(&self) -> io::Result<Message> {
        receive(self.socket.as_fd())
    }

    /// Calls `tell` on a thread of its own for each message; the thread ends after
    /// [`Message::SupervisorGone`], which is also what a failing descriptor becomes.
    ///
    /// # Errors
    ///
    /// No thread could be started.
    pub fn watch(self, mut tell: impl FnMut(Message) + Send + 'static) -> io::Result<thread::JoinHandle<()>> {
        thread::Builder::new().name("fetchd-control".to_owned()).spawn(move || {
            loop {
                let message = self.next(None).ok().flatten().unwrap_or(Message::SupervisorGone);
                tell(message);
                if message == Message::SupervisorGone {
                    return;
                }
            }
        })
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<Control> for OwnedFd {
    fn from(control: Control) -> OwnedFd {
        control.socket
    }
}

/// What a service says once that understands `pause` and `resume`.
pub(super) fn greet(socket: BorrowedFd<'_>) -> io::Result<()> {
    send(socket, b"hello pause", SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
    Ok(())
}

/// The next known message of `socket` if one is there.
pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<Message> {
    loop {
        let mut packet = [0; LONGEST];
        let length = match recv(socket, &mut packet[..], RecvFlags::DONTWAIT) {
            Ok((length, _)) => length,
            Err(rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::CONNRESET) => 0,
            Err(error) => return Err(error.into()),
        };
        if length == 0 {
            return Ok(Message::SupervisorGone);
        }
        if let Some(message) = parse(&packet[..length]) {
            return Ok(message);
        }
    }
}

fn parse(packet: &[u8]) -> Option<Message> {
    let text = std::str::from_utf8(packet).ok()?.trim_end();
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    match (verb, rest) {
        ("pause", "") => Some(Message::Pause),
        ("resume", "") => Some(Message::Resume),
        ("drain", "") => Some(Message::Drain(None)),
        ("drain", ms) => ms.parse().ok().map(|ms| Message::Drain(Some(Duration::from_millis(ms)))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{SocketFlags, socketpair};

    fn pair() -> (Control, OwnedFd) {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        (Control::new(ours).unwrap(), theirs)
    }

    #[test]
    fn messages_arrive_in_order_and_unknown_ones_are_skipped() {
        let (control, supervisor) = pair();
        assert_eq!(control.next(Some(Duration::ZERO)).unwrap(), None);
        for text in ["pause", "dance", "resume", "drain 250", "drain"] {
            send(&supervisor, text.as_bytes(), SendFlags::empty()).unwrap();
        }
        let next = || control.next(Some(Duration::from_secs(5))).unwrap().unwrap();
        assert_eq!(next(), Message::Pause);
        assert_eq!(next(), Message::Resume);
        assert_eq!(next(), Message::Drain(Some(Duration::from_millis(250))));
        assert_eq!(next(), Message::Drain(None));
        drop(supervisor);
        assert_eq!(next(), Message::SupervisorGone);
    }

    #[test]
    fn the_watching_thread_ends_with_the_supervisor() {
        let (control, supervisor) = pair();
        let (told, messages) = std::sync::mpsc::channel();
        let thread = control.watch(move |message| told.send(message).unwrap()).unwrap();
        send(&supervisor, b"pause", SendFlags::empty()).unwrap();
        drop(supervisor);
        assert_eq!(messages.iter().collect::<Vec<_>>(), [Message::Pause, Message::SupervisorGone]);
        thread.join().unwrap();
    }

    #[test]
    fn another_kind_of_socket_is_not_a_control_descriptor() {
        let (stream, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(Control::new(stream.into()).is_none());
    }
}
