//! Tells the supervisor things, in the grammar of `sd_notify`.

use std::ffi::OsStr;
#[cfg(feature = "upgrade")]
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
#[cfg(feature = "upgrade")]
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pipe::PipeFlags;

/// Why a message did not reach the supervisor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// `NOTIFY_SOCKET` is neither a path nor an abstract name.
    #[error("`{address}` is neither a path nor an abstract socket name")]
    Address {
        /// The value.
        address: String,
    },
    /// The datagram could not be sent.
    #[error("the supervisor could not be notified")]
    Send(#[source] io::Error),
}

/// The way to the supervisor. Cheap to clone; one that leads nowhere accepts every message.
#[derive(Debug, Clone, Default)]
pub struct Notify {
    to: Option<SocketAddr>,
}

/// A supervisor that does not read its socket may hold a message up this long and not longer.
const PATIENCE: Duration = Duration::from_secs(1);

impl Notify {
    /// A way to the socket `address`: an absolute path, or `@name` for an abstract one.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Address`] for anything else.
    pub fn to(address: &OsStr) -> Result<Notify, NotifyError> {
        let bytes = address.as_bytes();
        let to = match bytes.first() {
            Some(b'/') => SocketAddr::from_pathname(address),
            Some(b'@') => SocketAddr::from_abstract_name(&bytes[1..]),
            _ => return Err(NotifyError::Address { address: address.to_string_lossy().into_owned() }),
        };
        match to {
            Ok(to) => Ok(Notify { to: Some(to) }),
            Err(_) => Err(NotifyError::Address { address: address.to_string_lossy().into_owned() }),
        }
    }

    /// True if somebody listens, as far as the environment says.
    pub fn is_wanted(&self) -> bool {
        self.to.is_some()
    }

    /// Where that is, as `NOTIFY_SOCKET` names it.
    #[cfg(feature = "upgrade")]
    pub(crate) fn address(&self) -> Option<OsString> {
        let to = self.to.as_ref()?;
        let path = to.as_pathname().map(|path| path.as_os_str().to_owned());
        let name = || to.as_abstract_name().map(|name| OsString::from_vec([b"@", name].concat()));
        path.or_else(name)
    }

    /// This process can take requests. In a handoff the old generation is told to leave after this.
    ///
    /// # Errors
    ///
    /// As [`send`](Notify::send), like every function below.
    pub fn ready(&self) -> Result<(), NotifyError> {
        self.send("READY=1")
    }

    /// One line for people, shown by `fetchd status`.
    pub fn status(&self, text: &str) -> Result<(), NotifyError> {
        self.send(&format!("STATUS={}", one_line(text)))
    }

    /// This process has begun to drain.
    pub fn stopping(&self) -> Result<(), NotifyError> {
        self.send("STOPPING=1")
    }

    /// The deadline now running, ready or drain, should be `by` from now; to be repeated while work goes on.
    pub fn extend(&self, by: Duration) -> Result<(), NotifyError> {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", by.as_micros()))
    }

    /// This process is alive.
    pub fn watchdog(&self) -> Result<(), NotifyError> {
        self.send("WATCHDOG=1")
    }

    /// This process cannot take over, for example because the state on disk is too old for it.
    /// The handoff is aborted and the old generation goes on.
    pub fn reject(&self, reason: &str) -> Result<(), NotifyError> {
        self.send(&format!("X_FETCHD_REJECT={}", one_line(reason)))
    }

    /// Asks for a graceful restart of this service.
    pub fn restart(&self) -> Result<(), NotifyError> {
        self.send("X_FETCHD_RESTART=1")
    }

    /// Ends the watch period early: this generation has proved itself.
    pub fn healthy(&self) -> Result<(), NotifyError> {
        self.send("X_FETCHD_HEALTHY=1")
    }

    /// Waits until everything sent before has been read and acted upon, at most `within`. For systemd 246
    /// and later; nothing to wait for when nobody asked to be notified.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Send`], with the kind `TimedOut` if the other side did not read in time.
    pub fn barrier(&self, within: Duration) -> Result<(), NotifyError> {
        let Some(to) = &self.to else { return Ok(()) };
        let wait = || {
            let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            send_with(to, "BARRIER=1", write.as_fd())?;
            // Ours goes; the receiver closes its copy when it comes to this message.
            drop(write);
            let deadline = Instant::now() + within;
            loop {
                let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok();
                match poll(&mut [PollFd::new(&read, PollFlags::IN)], left.as_ref()) {
                    Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                    Ok(_) => return Ok(()),
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        };
        wait().map_err(NotifyError::Send)
    }

    /// As [`send`](Notify::send), with a copy of a descriptor.
    #[cfg(feature = "agent")]
    pub(crate) fn send_with(&self, assignments: &str, fd: BorrowedFd<'_>) -> Result<(), NotifyError> {
        let Some(to) = &self.to else { return Ok(()) };
        send_with(to, assignments, fd).map_err(NotifyError::Send)
    }

    /// Sends `assignments`, newline-separated, as one datagram. Waits at most a second.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Send`]; never when nobody asked to be notified.
    pub fn send(&self, assignments: &str) -> Result<(), NotifyError> {
        let Some(to) = &self.to else { return Ok(()) };
        let send = || {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(PATIENCE))?;
            socket.send_to_addr(assignments.as_bytes(), to)
        };
        send().map(drop).map_err(NotifyError::Send)
    }
}

/// Sends `assignments` and a copy of a descriptor.
fn send_with(to: &SocketAddr, assignments: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect_addr(to)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    rights.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(&socket, &[IoSlice::new(assignments.as_bytes())], &mut rights, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// A newline would begin another assignment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut packet = [0; 256];
        let length = socket.recv(&mut packet).unwrap();
        String::from_utf8_lossy(&packet[..length]).into_owned()
    }

    #[test]
    fn messages_arrive_over_a_path_and_over_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Notify::to(path.as_os_str()).unwrap().ready().unwrap();
        assert_eq!(received(&socket), "READY=1");

        let name = format!("fetchd-notify-{}-{:p}", std::process::id(), &dir);
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let notify = Notify::to(OsStr::new(&format!("@{name}"))).unwrap();
        notify.extend(Duration::from_millis(1500)).unwrap();
        assert_eq!(received(&socket), "EXTEND_TIMEOUT_USEC=1500000");
    }

    #[test]
    fn a_barrier_waits_for_the_reader_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::to(path.as_os_str()).unwrap();
        let unread = notify.barrier(Duration::from_millis(50));
        assert!(matches!(unread, Err(NotifyError::Send(error)) if error.kind() == io::ErrorKind::TimedOut));
        let waiting = std::thread::spawn(move || notify.barrier(Duration::from_secs(20)));
        // Read without room for descriptors: the kernel closes what came along.
        assert_eq!((received(&socket), received(&socket)), ("BARRIER=1".to_owned(), "BARRIER=1".to_owned()));
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn nobody_waits_for_ever_for_one_that_does_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::to(path.as_os_str()).unwrap();
        // How many the kernel keeps is a setting of the machine.
        let refused = (0..100_000).find_map(|_| notify.watchdog().err()).expect("the queue is full at some point");
        let NotifyError::Send(error) = refused else { panic!("{refused}") };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(received(&socket), "WATCHDOG=1");
    }

    #[test]
    fn text_cannot_begin_another_assignment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Notify::to(path.as_os_str()).unwrap().status("warm\nREADY=1").unwrap();
        assert_eq!(received(&socket), "STATUS=warm READY=1");
    }

    #[test]
    fn nobody_there_is_fine_and_a_dead_socket_is_an_error() {
        Notify::default().ready().unwrap();
        let gone = Notify::to(OsStr::new("/nonexistent/notify")).unwrap();
        assert!(matches!(gone.ready(), Err(NotifyError::Send(_))));
        assert!(matches!(Notify::to(OsStr::new("vsock:2:1")), Err(NotifyError::Address { .. })));
    }
}
