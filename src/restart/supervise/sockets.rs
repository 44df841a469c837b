//! The sockets the supervisor holds for the life of the service.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use serde::{Deserialize, Serialize};

use super::carried::{CarriedBound, CarriedListener};
use crate::failure::{Exit, Failure};
use crate::spawn::{Held, Keep};

/// Where to listen, and under which name the service finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// The name in `LISTEN_FDNAMES`.
    pub name: String,
    /// The address.
    pub address: Address,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// TCP on one address.
    Tcp(SocketAddr),
    /// TCP on every address, IPv6 and IPv4 in one socket where the kernel has IPv6.
    TcpAny(u16),
    /// A unix stream socket at this path.
    Unix(PathBuf),
    /// UDP on one address. Generations take from one queue: a datagram goes to whichever reads first.
    Udp(SocketAddr),
}

/// A bound, listening socket.
#[derive(Debug)]
pub struct Listener {
    name: String,
    socket: OwnedFd,
    /// What it was bound for.
    listen: Option<Listen>,
    bound: Bound,
}

#[derive(Debug)]
enum Bound {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    /// The path is ours to unlink as long as this inode is there.
    Unix {
        path: PathBuf,
        inode: (u64, u64),
    },
    /// Somebody else bound it and passed it to us.
    Adopted(String),
}

/// A socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `{address}`")]
pub struct ListenError {
    address: String,
    source: io::Error,
}

impl Failure for ListenError {
    fn code(&self) -> &'static str {
        "listen.bind"
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => Some("another process has it; `ss -lntup` shows which".to_owned()),
            io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need CAP_NET_BIND_SERVICE or a socket passed by systemd".to_owned())
            }
            io::ErrorKind::AddrNotAvailable => Some("this machine does not have that address".to_owned()),
            _ => None,
        }
    }
}

impl Listener {
    /// Binds and listens, with a backlog of 4,096: clients wait in it while a process boots.
    pub fn bind(listen: &Listen) -> Result<Listener, ListenError> {
        let failed = |source: io::Error| ListenError { address: listen.address.to_string(), source };
        let (socket, bound) = match &listen.address {
            Address::Tcp(address) => tcp(*address),
            Address::TcpAny(port) => tcp((Ipv6Addr::UNSPECIFIED, *port).into()).or_else(|e| match e.raw_os_error() {
                Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => tcp((Ipv4Addr::UNSPECIFIED, *port).into()),
                _ => Err(e),
            }),
            Address::Unix(path) => unix(path),
            Address::Udp(address) => udp(*address),
        }
        .map_err(failed)?;
        Ok(Listener { name: listen.name.clone(), socket, listen: Some(listen.clone()), bound })
    }

    /// Takes over a listening socket that somebody passed to this process.
    pub fn adopt(name: String, socket: OwnedFd) -> io::Result<Listener> {
        if sockopt::socket_type(&socket)? == SocketType::STREAM && !sockopt::socket_acceptconn(&socket)? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"));
        }
        let datagrams = sockopt::socket_type(&socket)? == SocketType::DGRAM;
        let shown = match rustix::net::getsockname(&socket)?.try_into() {
            Ok::<SocketAddr, _>(address) if datagrams => format!("udp:{address}"),
            Ok::<SocketAddr, _>(address) => address.to_string(),
            Err(_) => "unix".to_owned(),
        };
        Ok(Listener { name, socket, listen: None, bound: Bound::Adopted(shown) })
    }

    /// What another program of this process goes on from; the socket stays open.
    pub(super) fn carry<'a>(&'a self, keep: &mut Keep<'a>) -> CarriedListener {
        let bound = match &self.bound {
            Bound::Tcp(address) => CarriedBound::Tcp(*address),
            Bound::Udp(address) => CarriedBound::Udp(*address),
            Bound::Unix { path, inode } => CarriedBound::Unix { path: path.clone(), inode: *inode },
            Bound::Adopted(shown) => CarriedBound::Adopted(shown.clone()),
        };
        let (name, listen) = (self.name.clone(), self.listen.clone());
        CarriedListener { name, socket: keep.add(self.socket.as_fd()), listen, bound }
    }

    /// Goes on from there.
    pub(super) fn resume(carried: CarriedListener, held: &Held) -> io::Result<Listener> {
        let bound = match carried.bound {
            CarriedBound::Tcp(address) => Bound::Tcp(address),
            CarriedBound::Udp(address) => Bound::Udp(address),
            CarriedBound::Unix { path, inode } => Bound::Unix { path, inode },
            CarriedBound::Adopted(shown) => Bound::Adopted(shown),
        };
        Ok(Listener { name: carried.name, socket: held.copy(carried.socket)?, listen: carried.listen, bound })
    }

    /// The name the service finds it under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address, with the port the kernel chose.
    pub fn address(&self) -> String {
        match &self.bound {
            Bound::Tcp(address) => address.to_string(),
            Bound::Udp(address) => format!("udp:{address}"),
            Bound::Unix { path, .. } => format!("unix:{}", path.display()),
            Bound::Adopted(shown) => shown.clone(),
        }
    }

    /// The socket itself.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether it is what `listen` asks for. What somebody else has bound goes by its name.
    pub(super) fn answers(&self, listen: &Listen) -> bool {
        self.name == listen.name && self.listen.as_ref().is_none_or(|asked| asked == listen)
    }

    /// Whether somebody else has bound it.
    pub(super) fn is_adopted(&self) -> bool {
        self.listen.is_none()
    }

    /// When it is not needed any more: removes a unix socket's path, if it is still the one that was bound.
    pub fn release(&self) {
        let Bound::Unix { path, inode } = &self.bound else { return };
        if std::fs::symlink_metadata(path).is_ok_and(|m| (m.dev(), m.ino()) == *inode) {
            // A path that cannot be removed is found stale, and replaced, at the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn tcp(address: SocketAddr) -> io::Result<(OwnedFd, Bound)> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    let bound = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok((socket, Bound::Tcp(bound)))
}

/// Without SO_REUSEADDR: for UDP it would let two processes bind the address, and one of them hear nothing.
fn udp(address: SocketAddr) -> io::Result<(OwnedFd, Bound)> {
    let socket = std::net::UdpSocket::bind(address)?;
    let bound = socket.local_addr()?;
    Ok((socket.into(), Bound::Udp(bound)))
}

fn unix(path: &Path) -> io::Result<(OwnedFd, Bound)> {
    remove_stale(path)?;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &rustix::net::SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((socket, Bound::Unix { path: path.to_owned(), inode: (metadata.dev(), metadata.ino()) }))
}

/// Removes a socket nobody listens on any more. Anything else at the path stays and is an error.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is not a socket is there"))
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            _ => Err(io::Error::from(io::ErrorKind::AddrInUse)),
        },
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::TcpAny(port) => write!(f, ":{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Udp(address) => write!(f, "udp:{address}"),
        }
    }
}

/// The kernel caps it at `net.core.somaxconn`, which is 4,096 since Linux 5.4.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn unix_at(path: &Path) -> Listen {
        Listen { name: "web".into(), address: Address::Unix(path.to_owned()) }
    }

    #[test]
    fn port_zero_is_replaced_by_the_kernels_choice() {
        let listen = Listen { name: "web".into(), address: Address::Tcp(([127, 0, 0, 1], 0).into()) };
        let listener = Listener::bind(&listen).unwrap();
        let address: SocketAddr = listener.address().parse().unwrap();
        assert_ne!(address.port(), 0);
        std::net::TcpStream::connect(address).unwrap();
    }

    #[test]
    fn every_address_is_reached_over_both_families() {
        let listener = Listener::bind(&Listen { name: "web".into(), address: Address::TcpAny(0) }).unwrap();
        let address: SocketAddr = listener.address().parse().unwrap();
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).unwrap();
    }

    #[test]
    fn a_taken_port_is_a_clear_error() {
        let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(first.local_addr().unwrap());
        let failure = Listener::bind(&Listen { name: "web".into(), address }).unwrap_err();
        assert_eq!((failure.code(), failure.exit()), ("listen.bind", Exit::Usage));
        assert!(failure.hint().unwrap().contains("another process"));
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = Listener::bind(&unix_at(&path)).unwrap();
        assert!(Listener::bind(&unix_at(&path)).is_err());
        UnixStream::connect(&path).unwrap();
        listener.release();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_in_the_way_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.sock");
        std::fs::write(&path, "mine").unwrap();
        assert!(Listener::bind(&unix_at(&path)).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn a_path_bound_by_somebody_else_since_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.sock");
        let listener = Listener::bind(&unix_at(&path)).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
        listener.release();
        assert!(path.exists());
    }
}
