//! Listening sockets: inherited or bound here, TCP or Unix.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

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
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// An Internet address.
    Tcp(SocketAddr),
    /// A path; `None` for an abstract or unnamed Unix socket.
    Unix(Option<PathBuf>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Address::Unix(None) => f.write_str("unix:"),
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
}

/// A listening socket with its name.
#[derive(Debug)]
pub struct Listener {
    name: String,
    socket: Socket,
    inherited: bool,
}

impl Listener {
    /// Checks that `socket` listens; `descriptor` is for the error.
    pub(super) fn inherited(socket: OwnedFd, name: String, descriptor: i32) -> Result<Listener, InheritError> {
        match recognise(&socket) {
            Ok(AddressFamily::UNIX) => {
                let socket = Socket::Unix(UnixListener::from(socket));
                Ok(Listener { name, socket, inherited: true })
            }
            Ok(_) => {
                let socket = Socket::Tcp(TcpListener::from(socket));
                Ok(Listener { name, socket, inherited: true })
            }
            Err(found) => Err(InheritError::NotListening { descriptor, name, found }),
        }
    }

    /// Binds `address` (`host:port`, or `unix:/path`) with a backlog of [`BACKLOG`].
    ///
    /// A Unix path that nobody listens on any more is replaced. The path stays when the
    /// listener is dropped: another process may be listening there.
    ///
    /// # Errors
    ///
    /// [`ListenError::Bind`] with the kernel's answer.
    pub fn bind(name: &str, address: &str) -> Result<Listener, ListenError> {
        let socket = match address.strip_prefix("unix:") {
            Some(path) => bind_path(Path::new(path)).map(Socket::Unix),
            None => TcpListener::bind(address).map(Socket::Tcp),
        };
        let listener = socket.and_then(|socket| {
            let listener = Listener { name: name.to_owned(), socket, inherited: false };
            // A second `listen` on a listening socket only changes the length of its queue.
            listen(&listener, BACKLOG)?;
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
        self.inherited
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
        };
        Ok(Listener { name: self.name.clone(), socket, inherited: self.inherited })
    }

    /// The socket, to be used without this library's accept loop.
    pub fn into_socket(self) -> Socket {
        self.socket
    }

    #[cfg(feature = "hyper")]
    pub(super) fn parts(self) -> (String, Socket, bool) {
        (self.name, self.socket, self.inherited)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
        }
    }
}

/// The address family of a listening stream socket, or what `socket` is instead.
///
/// A connected socket passes every check but the second and would fail only at the first accept.
fn recognise(socket: &OwnedFd) -> Result<AddressFamily, &'static str> {
    match sockopt::socket_type(socket) {
        Ok(SocketType::STREAM) => {}
        Ok(_) => return Err("not a stream socket"),
        Err(_) => return Err("not a socket"),
    }
    match sockopt::socket_acceptconn(socket) {
        Ok(true) => {}
        _ => return Err("a socket that does not listen"),
    }
    if rustix::net::getsockname(socket).is_err() {
        return Err("a socket without an address");
    }
    match sockopt::socket_domain(socket) {
        Ok(family @ (AddressFamily::INET | AddressFamily::INET6 | AddressFamily::UNIX)) => Ok(family),
        _ => Err("neither TCP nor Unix"),
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
    use std::net::{TcpStream, UdpSocket};

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
    fn what_does_not_listen_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(refused(connected), "a socket that does not listen");
        assert_eq!(refused(UdpSocket::bind("127.0.0.1:0").unwrap()), "not a stream socket");
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
