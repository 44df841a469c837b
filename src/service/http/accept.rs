//! One listener: accept, pause, accept again, leave.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::sleep;

use super::drain::Phase;
use super::stream::Stream;
use crate::service::{BACKLOG, Listener, Socket};

/// How long to leave the queue alone when this process can take no more connections.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// A registered listener. While paused it is not registered, so that connections meant for
/// another generation do not wake this one.
#[derive(Debug)]
enum Registered {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Registered {
    fn new(socket: Socket) -> io::Result<Registered> {
        // The flag is shared with every process that holds this socket; all of them want it set.
        match socket {
            Socket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Registered::Tcp)
            }
            Socket::Unix(listener) => {
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener).map(Registered::Unix)
            }
            Socket::Udp(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "a UDP socket has no connections")),
        }
    }

    fn into_socket(self) -> io::Result<Socket> {
        match self {
            Registered::Tcp(listener) => listener.into_std().map(Socket::Tcp),
            Registered::Unix(listener) => listener.into_std().map(Socket::Unix),
        }
    }

    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Registered::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Small answers are not held back for an acknowledgement of the one before.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
            Registered::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

/// Hands every connection of `listener` to `take` until the drain begins; then the socket is closed.
///
/// No error of accept ends it. An error means that the listener could not be registered.
pub(super) async fn accept(
    listener: Listener,
    mut phase: watch::Receiver<Phase>,
    mut take: impl FnMut(Stream),
) -> io::Result<()> {
    let (name, mut socket, elsewhere) = listener.parts();
    loop {
        let now = *phase.borrow_and_update();
        match now {
            Phase::Accepting => {
                let registered = Registered::new(socket)?;
                until_changed(&name, &registered, &mut phase, &mut take).await;
                socket = registered.into_socket()?;
            }
            Phase::Paused => {
                if phase.changed().await.is_err() {
                    return Ok(());
                }
            }
            Phase::Draining { .. } if elsewhere.load(Ordering::SeqCst) => return Ok(()),
            Phase::Draining { .. } => return empty(&socket, &mut take),
        }
    }
}

async fn until_changed(
    name: &str,
    listener: &Registered,
    phase: &mut watch::Receiver<Phase>,
    take: &mut impl FnMut(Stream),
) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = phase.changed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => take(stream),
            Err(error) if is_the_connections_own(&error) => {}
            Err(error) => {
                tracing::warn!(event = "service.accept_failed", listener = name, error = %error);
                tokio::select! {
                    _ = phase.changed() => return,
                    () = sleep(OUT_OF_DESCRIPTORS) => {}
                }
            }
        }
    }
}

/// Takes what already waits in a queue that nobody else will take from.
///
/// Asks the kernel and not the reactor, which may not have heard of the last ones yet.
fn empty(socket: &Socket, take: &mut impl FnMut(Stream)) -> io::Result<()> {
    for _ in 0..BACKLOG {
        let accepted = match socket {
            Socket::Tcp(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream).map(Stream::Tcp)
            }),
            Socket::Unix(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream).map(Stream::Unix)
            }),
            Socket::Udp(_) => return Ok(()),
        };
        match accepted {
            Ok(stream) => take(stream),
            Err(error) if is_the_connections_own(&error) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

/// The connection failed before it was accepted; the listener is fine.
fn is_the_connections_own(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
