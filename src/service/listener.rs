//! Listening sockets: inherited or bound here, TCP, Unix or UDP.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::{AddressFamily, SocketType, listen, sockopt};

use super::inherit::InheritError;

/// The accept queue's length for sockets bound here; the kernel caps it at `somaxconn`.
///
/// The standard library's 128 overflows while a new generation boots under load, and clients then
/// wait for whole seconds.
pub const BACKLOG: i32 = 4096;

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The supervisor passed listeners, and none of this name.
    #[error("no listener called `{name}` was passed, only `{}`", passed.join("`, `"))]
    NotPassed {
        /// The name asked for.
        name: String,
        /// The names that were passed.
        passed: Vec<String>,
    },
    /// The address cannot be bound.
    #[error("cannot listen on `{address}`")]
    Bind {
        /// The address as given.
        address: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no descriptor left for another copy of the listener.
    #[error("the listener `{name}` cannot be copied")]
    Copy {
        /// The listener's name.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// An Internet address.
    Tcp(SocketAddr),
    /// A path; `None` for an abstract or unnamed Unix socket.
    Unix(Option<PathBuf>),
    /// An Internet address for datagrams.
    Udp(SocketAddr),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Address::Unix(None) => f.write_str("unix:"),
            Address::Udp(address) => write!(f, "udp:{address}"),
        }
    }
}

/// The socket itself.
#[derive(Debug)]
#[non_exhaustive]
pub enum Socket {
    /// A TCP listener.
    Tcp(TcpListener),
    /// A Unix stream listener.
    Unix(UnixListener),
    /// A UDP socket. Every generation that has it takes from one queue: see [`Relay`](super::Relay) for
    /// protocols to which it matters which one reads a datagram.
    Udp(UdpSocket),
}

/// A listening socket with its name; a UDP socket counts as one.
#[derive(Debug)]
pub struct Listener {
    name: String,
    socket: Socket,
    /// Set while another process takes connections from the same queue.
    elsewhere: Arc<AtomicBool>,
}

impl Listener {
    /// Checks that `socket` listens; `descriptor` is for the error.
    pub(super) fn inherited(socket: OwnedFd, name: String, descriptor: i32) -> Result<Listener, InheritError> {
        match recognise(&socket) {
            Ok(kind) => {
                let socket = match kind {
                    Recognised::Tcp => Socket::Tcp(TcpListener::from(socket)),
                    Recognised::Unix => Socket::Unix(UnixListener::from(socket)),
                    Recognised::Udp => Socket::Udp(UdpSocket::from(socket)),
                };
                Ok(Listener { name, socket, elsewhere: Arc::new(AtomicBool::new(true)) })
            }
            Err(found) => Err(InheritError::NotListening { descriptor, name, found }),
        }
    }

    /// Binds `address` (`host:port`, `unix:/path`, or `udp:host:port`), the first two with a backlog of
    /// [`BACKLOG`].
    ///
    /// A Unix path that nobody listens on any more is replaced. The path stays when the
    /// listener is dropped: another process may be listening there.
    ///
    /// # Errors
    ///
    /// [`ListenError::Bind`] with the kernel's answer.
    pub fn bind(name: &str, address: &str) -> Result<Listener, ListenError> {
        let socket = match (address.strip_prefix("unix:"), address.strip_prefix("udp:")) {
            (Some(path), _) => bind_path(Path::new(path)).map(Socket::Unix),
            (_, Some(address)) => UdpSocket::bind(address).map(Socket::Udp),
            _ => TcpListener::bind(address).map(Socket::Tcp),
        };
        let listener = socket.and_then(|socket| {
            let listener = Listener { name: name.to_owned(), socket, elsewhere: Arc::default() };
            if !matches!(listener.socket, Socket::Udp(_)) {
                // A second `listen` on a listening socket only changes the length of its queue.
                listen(&listener, BACKLOG)?;
            }
            Ok(listener)
        });
        listener.map_err(|source| ListenError::Bind { address: address.to_owned(), source })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True if another process holds the same socket, so that closing this copy loses no connection.
    pub fn is_inherited(&self) -> bool {
        self.elsewhere.load(Ordering::SeqCst)
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn address(&self) -> io::Result<Address> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Socket::Unix(listener) => Ok(Address::Unix(listener.local_addr()?.as_pathname().map(Path::to_path_buf))),
            Socket::Udp(socket) => socket.local_addr().map(Address::Udp),
        }
    }

    /// Another descriptor of the same socket.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn try_clone(&self) -> io::Result<Listener> {
        let socket = match &self.socket {
            Socket::Tcp(listener) => Socket::Tcp(listener.try_clone()?),
            Socket::Unix(listener) => Socket::Unix(listener.try_clone()?),
            Socket::Udp(socket) => Socket::Udp(socket.try_clone()?),
        };
        Ok(Listener { name: self.name.clone(), socket, elsewhere: Arc::clone(&self.elsewhere) })
    }

    /// The socket, to be used without this library's accept loop.
    pub fn into_socket(self) -> Socket {
        self.socket
    }

    /// The socket, still with its name.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    #[cfg(feature = "hyper")]
    pub(super) fn parts(self) -> (String, Socket, Arc<AtomicBool>) {
        (self.name, self.socket, self.elsewhere)
    }

    /// Another descriptor of the same socket. `elsewhere` says while the copy is used whether another
    /// process takes connections too.
    #[cfg(feature = "upgrade")]
    pub(crate) fn copy(&self, elsewhere: Arc<AtomicBool>) -> Result<Listener, ListenError> {
        let copy = self.try_clone().map_err(|source| ListenError::Copy { name: self.name.clone(), source })?;
        Ok(Listener { elsewhere, ..copy })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
            Socket::Udp(socket) => socket.as_fd(),
        }
    }
}

#[derive(Debug)]
enum Recognised {
    Tcp,
    Unix,
    Udp,
}

/// Which kind of listening socket it is, or what `socket` is instead.
///
/// A connected stream socket passes every check but that of listening, and would fail only at the first accept.
fn recognise(socket: &OwnedFd) -> Result<Recognised, &'static str> {
    let kind = sockopt::socket_type(socket).map_err(|_| "not a socket")?;
    let internet = match sockopt::socket_domain(socket) {
        Ok(AddressFamily::INET | AddressFamily::INET6) => true,
        Ok(AddressFamily::UNIX) => false,
        _ => return Err("neither TCP nor UDP nor Unix"),
    };
    if kind == SocketType::STREAM && !sockopt::socket_acceptconn(socket).unwrap_or(false) {
        return Err("a socket that does not listen");
    }
    if rustix::net::getsockname(socket).is_err() {
        return Err("a socket without an address");
    }
    match (kind, internet) {
        (SocketType::STREAM, true) => Ok(Recognised::Tcp),
        (SocketType::STREAM, false) => Ok(Recognised::Unix),
        (SocketType::DGRAM, true) if rustix::net::getpeername(socket).is_ok() => Err("a connected UDP socket"),
        (SocketType::DGRAM, true) => Ok(Recognised::Udp),
        _ => Err("neither a stream nor a UDP socket"),
    }
}

fn bind_path(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}

/// A socket file that refuses connections has no listener.
fn is_abandoned(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn refused(socket: impl Into<OwnedFd>) -> &'static str {
        match Listener::inherited(socket.into(), "web".into(), 3) {
            Err(InheritError::NotListening { found, .. }) => found,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_bound_listener_is_recognised_when_inherited() {
        let bound = Listener::bind("web", "127.0.0.1:0").unwrap();
        let address = bound.address().unwrap();
        let copy = bound.as_fd().try_clone_to_owned().unwrap();
        let inherited = Listener::inherited(copy, "web".into(), 3).unwrap();
        assert_eq!(inherited.address().unwrap(), address);
        assert!(inherited.is_inherited() && !bound.is_inherited());
    }

    #[test]
    fn a_udp_socket_is_recognised_and_keeps_its_queue() {
        let bound = Listener::bind("dns", "udp:127.0.0.1:0").unwrap();
        let Address::Udp(address) = bound.address().unwrap() else { panic!("{bound:?}") };
        assert_eq!(bound.address().unwrap().to_string(), format!("udp:{address}"));
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"early", address).unwrap();
        let copy = bound.as_fd().try_clone_to_owned().unwrap();
        drop(bound);
        let inherited = Listener::inherited(copy, "dns".into(), 3).unwrap();
        let Socket::Udp(socket) = inherited.into_socket() else { panic!("UDP") };
        assert_eq!(socket.recv(&mut [0; 16]).unwrap(), 5);
    }

    #[test]
    fn a_path_stays_when_its_listener_is_dropped_inherited_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.sock");
        let bound = Listener::bind("web", &format!("unix:{}", path.display())).unwrap();
        let copy = bound.as_fd().try_clone_to_owned().unwrap();
        drop(Listener::inherited(copy, "web".into(), 3).unwrap());
        UnixStream::connect(&path).unwrap();
        drop(bound);
        assert!(path.exists());
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(refused(connected), "a socket that does not listen");
        let (datagrams, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
        assert_eq!(refused(datagrams), "neither a stream nor a UDP socket");
        let (one, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        one.connect(other.local_addr().unwrap()).unwrap();
        assert_eq!(refused(one), "a connected UDP socket");
        assert_eq!(refused(std::fs::File::open("/dev/null").unwrap()), "not a socket");
    }

    #[test]
    fn an_abandoned_path_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let address = format!("unix:{}", dir.path().join("web.sock").display());
        let first = Listener::bind("web", &address).unwrap();
        assert!(matches!(Listener::bind("web", &address), Err(ListenError::Bind { .. })));
        drop(first);
        let second = Listener::bind("web", &address).unwrap();
        assert_eq!(second.address().unwrap().to_string(), address);
    }
}
