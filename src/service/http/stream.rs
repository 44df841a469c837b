//! A connection's socket, and what has happened on it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::server::Open;

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// True if bytes wait in the kernel that nobody has read yet, whatever the reactor has noticed so far.
    pub(super) fn has_unread(&self) -> bool {
        let mut byte = [0; 1];
        let peek = rustix::net::recv(self.as_fd(), &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        peek.is_ok_and(|(length, _)| length > 0)
    }
}

#[cfg(feature = "http2")]
impl Stream {
    /// Reads what comes next, past whatever serves this connection.
    pub(super) async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Stream::Tcp(stream) => {
                    stream.readable().await?;
                    stream.try_read(bytes)
                }
                Stream::Unix(stream) => {
                    stream.readable().await?;
                    stream.try_read(bytes)
                }
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

/// Whether a connection is waiting for something, and since when it is not.
#[derive(Debug)]
pub(super) struct Activity {
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    last: Instant,
    in_flight: usize,
    /// Bytes arrived since the last response ended: a request, or the beginning of one.
    unanswered: bool,
    /// The client does not read as fast as we answer.
    blocked: bool,
}

impl Activity {
    pub(super) fn new() -> Activity {
        let seen = Seen { last: Instant::now(), in_flight: 0, unanswered: false, blocked: false };
        Activity { seen: Mutex::new(seen) }
    }

    /// Since when the connection has been idle; `None` while it is not.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let seen = self.seen();
        (seen.in_flight == 0 && !seen.unanswered && !seen.blocked).then_some(seen.last)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request from the call of the service to the end of its response's body.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl InFlight {
    pub(super) fn begin(activity: &Arc<Activity>) -> InFlight {
        activity.seen().in_flight += 1;
        InFlight(Arc::clone(activity))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut seen = self.0.seen();
        seen.in_flight -= 1;
        seen.last = Instant::now();
        seen.unanswered = seen.in_flight > 0;
    }
}

/// The socket as hyper sees it: every byte is noted in the activity. After an upgrade it is the program's,
/// and still counts as open.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Arc<Stream>,
    activity: Arc<Activity>,
    /// Read to see which protocol it is, and to be read once more.
    early: Vec<u8>,
    _open: Open,
}

impl Watched {
    pub(super) fn new(stream: Arc<Stream>, activity: Arc<Activity>, open: Open) -> Watched {
        Watched { stream, activity, early: Vec::new(), _open: open }
    }

    /// Gives back what was read: the next reads return it.
    #[cfg(feature = "http2")]
    pub(super) fn read_again(&mut self, bytes: Vec<u8>) {
        self.early = bytes;
    }

    /// Tries `write` until it does not block, noting whether it does.
    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&Stream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let ready = match &*self.stream {
                Stream::Tcp(stream) => stream.poll_write_ready(cx),
                Stream::Unix(stream) => stream.poll_write_ready(cx),
            };
            let mut seen = self.activity.seen();
            seen.blocked = ready.is_pending();
            ready!(ready)?;
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    seen.last = Instant::now();
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let length = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early[..length]);
            self.early.drain(..length);
            return Poll::Ready(Ok(()));
        }
        loop {
            let read = match &*self.stream {
                Stream::Tcp(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_read_buf(buf)
                }
                Stream::Unix(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_read_buf(buf)
                }
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(length) => {
                    if length > 0 {
                        let mut seen = self.activity.seen();
                        seen.last = Instant::now();
                        seen.unanswered = true;
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| match stream {
            Stream::Tcp(stream) => stream.try_write(buf),
            Stream::Unix(stream) => stream.try_write(buf),
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| match stream {
            Stream::Tcp(stream) => stream.try_write_vectored(bufs),
            Stream::Unix(stream) => stream.try_write_vectored(bufs),
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(rustix::net::shutdown(self.stream.as_fd(), rustix::net::Shutdown::Write).map_err(io::Error::from))
    }
}
