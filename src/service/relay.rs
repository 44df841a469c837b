//! Datagrams that belong to another generation.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Hands datagrams from generation to generation, for protocols with connections of their own over UDP.
///
/// A UDP socket that is handed over has one queue, and each datagram in it goes to whichever process reads
/// first. During a handoff that may be the wrong one, and after it the old one does not read at all. If the
/// protocol's connection ids tell which generation made them (put [`Environment::generation`] into them, as
/// QUIC servers do with theirs), each generation [passes](Relay::pass) what is not its own to the one that
/// it belongs to. That one answers through the shared UDP socket, which it still has.
///
/// Each generation has a Unix datagram socket in one directory. Who can write there can forge datagrams, so
/// it must be the service's alone.
///
/// [`Environment::generation`]: super::Environment::generation
#[derive(Debug)]
pub struct Relay {
    inbox: UnixDatagram,
    directory: PathBuf,
    own: PathBuf,
}

/// Family, address, port and scope, before the datagram itself.
const HEADER: usize = 1 + 16 + 2 + 4;

/// The largest datagram of UDP.
const LARGEST: usize = 65_507;

impl Relay {
    /// Opens the inbox of `generation` in `directory`; it is removed when this is dropped. Before READY, so
    /// that nothing is passed on too early.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if `directory` belongs to neither this user nor root or if others can write there,
    /// `AddrInUse` if a living process has this generation's inbox; otherwise what the kernel said.
    pub fn open(directory: &Path, generation: u64) -> io::Result<Relay> {
        let metadata = fs::metadata(directory)?;
        let ours = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
        if !ours || metadata.mode() & 0o022 != 0 {
            let why = format!("`{}` can be written by others", directory.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let own = inbox(directory, generation);
        if is_abandoned(&own) {
            fs::remove_file(&own)?;
        }
        let inbox = UnixDatagram::bind(&own)?;
        // A generation that is stuck must not stop the one that serves.
        inbox.set_nonblocking(true)?;
        Ok(Relay { inbox, directory: directory.to_owned(), own })
    }

    /// Passes `datagram`, which came `from` there, to `generation`. Does not wait.
    ///
    /// # Errors
    ///
    /// `NotFound` or `ConnectionRefused`: that generation is gone, and the connection with it. `WouldBlock`:
    /// it reads too slowly; the datagram is lost, as any datagram may be. Otherwise what the kernel said.
    pub fn pass(&self, generation: u64, from: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        let mut packet = Vec::with_capacity(HEADER + datagram.len());
        let (family, ip, scope) = match from {
            SocketAddr::V4(from) => (4, from.ip().to_ipv6_mapped(), 0),
            SocketAddr::V6(from) => (6, *from.ip(), from.scope_id()),
        };
        packet.push(family);
        packet.extend(ip.octets());
        packet.extend(from.port().to_be_bytes());
        packet.extend(scope.to_be_bytes());
        packet.extend(datagram);
        self.inbox.send_to(&packet, inbox(&self.directory, generation)).map(drop)
    }

    /// The next datagram that was passed to this generation, and who sent it to the UDP socket.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none; [`AsFd`] is for waiting. Otherwise what the kernel said.
    pub fn receive(&self) -> io::Result<(Vec<u8>, SocketAddr)> {
        let mut packet = vec![0; HEADER + LARGEST];
        loop {
            let length = self.inbox.recv(&mut packet)?;
            if let Some(from) = sender(&packet[..length]) {
                packet.truncate(length);
                return Ok((packet.split_off(HEADER), from));
            }
        }
    }
}

impl AsFd for Relay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inbox.as_fd()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // What cannot be removed is found abandoned by the next process of this number.
        let _ = fs::remove_file(&self.own);
    }
}

fn inbox(directory: &Path, generation: u64) -> PathBuf {
    directory.join(format!("relay-{generation}"))
}

fn sender(packet: &[u8]) -> Option<SocketAddr> {
    let (family, rest) = packet.split_first()?;
    let (ip, rest) = rest.split_first_chunk::<16>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (scope, _) = rest.split_first_chunk::<4>()?;
    let (ip, port) = (Ipv6Addr::from(*ip), u16::from_be_bytes(*port));
    match family {
        4 => Some((IpAddr::V4(ip.to_ipv4_mapped()?), port).into()),
        6 => Some(SocketAddrV6::new(ip, port, 0, u32::from_be_bytes(*scope)).into()),
        _ => None,
    }
}

/// A socket file that refuses datagrams has no process.
fn is_abandoned(path: &Path) -> bool {
    let refuses = || {
        let probe = UnixDatagram::unbound().and_then(|probe| probe.connect(path));
        probe.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) && refuses()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn datagrams_arrive_with_their_sender_and_those_for_the_dead_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (Relay::open(dir.path(), 1).unwrap(), Relay::open(dir.path(), 2).unwrap());
        assert_eq!(old.receive().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        for from in ["192.0.2.7:53", "[2001:db8::1]:443", "[::ffff:192.0.2.7]:1", "[fe80::1%3]:5"] {
            let from: SocketAddr = from.parse().unwrap();
            new.pass(1, from, b"hello").unwrap();
            assert_eq!(old.receive().unwrap(), (b"hello".to_vec(), from));
        }
        old.pass(2, ([127, 0, 0, 1], 1).into(), &[7; LARGEST]).unwrap();
        assert_eq!(new.receive().unwrap().0, [7; LARGEST]);
        old.pass(2, ([127, 0, 0, 1], 1).into(), &[]).unwrap();
        assert!(new.receive().unwrap().0.is_empty());
        drop(old);
        let gone = new.pass(1, ([127, 0, 0, 1], 1).into(), b"late").unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn an_abandoned_inbox_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        // Killed: its socket is closed and its path is still there.
        drop(UnixDatagram::bind(dir.path().join("relay-1")).unwrap());
        let first = Relay::open(dir.path(), 1).unwrap();
        assert_eq!(Relay::open(dir.path(), 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(Relay::open(dir.path(), 1).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
