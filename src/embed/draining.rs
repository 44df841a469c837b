//! The end of a service, for a program without an asynchronous runtime and for one with any.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::service::Control;

/// Whether this process has been told to leave: by SIGTERM, by SIGINT, or by the end of its supervisor. There is no way
/// back. Cheap to clone.
///
/// Its descriptor becomes readable when the drain begins and stays so; nothing is ever to be read from it. In a tokio
/// program:
///
/// ```no_run
/// # async fn example(context: &mut fetchd::ServiceContext) -> std::io::Result<()> {
/// use std::os::fd::AsFd as _;
/// let draining = context.draining()?;
/// let told = tokio::io::unix::AsyncFd::new(draining.as_fd().try_clone_to_owned()?)?;
/// let _ = told.readable().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Draining(Arc<Sources>);

/// An epoll instance is readable as soon as one of its descriptors is: both sources of the news behind one number.
struct Sources {
    either: OwnedFd,
    _signals: UnixStream,
    _control: Option<Control>,
}

impl Draining {
    /// From now on the two signals do not end the process by themselves.
    pub(super) fn listen(control: Option<Control>) -> io::Result<Draining> {
        let (signals, raised) = UnixStream::pair()?;
        let either = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&either, &signals, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        if let Some(control) = &control {
            // A service that has not said that it can pause hears nothing here but the end.
            epoll::add(&either, control, epoll::EventData::new_u64(1), epoll::EventFlags::IN)?;
        }
        for signal in [SIGTERM, SIGINT] {
            signal_hook::low_level::pipe::register(signal, raised.try_clone()?)?;
        }
        Ok(Draining(Arc::new(Sources { either, _signals: signals, _control: control })))
    }

    /// Whether the drain has begun.
    pub fn has_begun(&self) -> bool {
        self.wait_for(Duration::ZERO)
    }

    /// Waits until the drain begins.
    pub fn wait(&self) {
        while !self.wait_for(LONG) {}
    }

    /// Waits until the drain begins, or until `time` has passed. True if it has begun.
    pub fn wait_for(&self, time: Duration) -> bool {
        let deadline = Instant::now().checked_add(time);
        loop {
            let left = deadline.map_or(LONG, |deadline| deadline.saturating_duration_since(Instant::now()));
            let mut told = [PollFd::new(&self.0.either, PollFlags::IN)];
            match poll(&mut told, Some(&timespec(left))) {
                Ok(0) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => return false,
                Ok(1..) => return true,
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                // Whoever cannot wait any more must not serve for ever.
                Err(_) => return true,
            }
        }
    }

    /// Waits until `source` is readable: true, or until the drain begins: false. Another process may be faster to read.
    pub fn before(&self, source: impl AsFd) -> bool {
        loop {
            let mut either = [PollFd::new(&self.0.either, PollFlags::IN), PollFd::new(&source, PollFlags::IN)];
            match poll(&mut either, None) {
                Ok(_) if !either[0].revents().is_empty() => return false,
                Ok(1..) => return true,
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Accepts the next connection; `None` once the drain has begun.
    ///
    /// The queue of `listener` is shared with the next generation, which may take a connection first: this does not block
    /// then, as `listener.accept()` would.
    ///
    /// # Errors
    ///
    /// What the kernel said, as a lack of descriptors. Connections that were reset while they waited are passed over.
    pub fn accept(&self, listener: &TcpListener) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        listener.set_nonblocking(true)?;
        while self.before(listener) {
            match listener.accept() {
                Ok((stream, from)) => {
                    stream.set_nonblocking(false)?;
                    return Ok(Some((stream, from)));
                }
                Err(e) if PASSING.contains(&e.kind()) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }
}

impl AsFd for Draining {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.either.as_fd()
    }
}

impl fmt::Debug for Draining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draining").field("has_begun", &self.has_begun()).finish()
    }
}

fn timespec(time: Duration) -> Timespec {
    let time = time.min(LONG);
    Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() }
}

/// Longer waits are made of several.
const LONG: Duration = Duration::from_secs(3600);

/// What says nothing about the next connection.
const PASSING: [io::ErrorKind; 3] =
    [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted, io::ErrorKind::ConnectionAborted];
