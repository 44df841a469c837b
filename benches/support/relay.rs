//! A relay that counts what passes between a client and its server.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Passes bytes on until the process ends.
pub(crate) struct Relay {
    address: SocketAddr,
    server: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// What passed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Passed {
    pub(crate) connections: u64,
    /// Bytes from the client.
    pub(crate) sent: u64,
    /// Bytes to the client.
    pub(crate) received: u64,
}

impl Relay {
    /// In front of `server`.
    pub(crate) fn start(server: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(server).unwrap();
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let (to, from) = (Arc::clone(&shared), Arc::clone(&shared));
                let (client_too, server_too) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || pass(client, server, &to.sent));
                std::thread::spawn(move || pass(server_too, client_too, &from.received));
            }
        });
        Relay { address, server, counts }
    }

    /// Where clients connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is behind it.
    pub(crate) fn server(&self) -> SocketAddr {
        self.server
    }

    /// What has passed so far.
    pub(crate) fn passed(&self) -> Passed {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Passed {
            connections: of(&self.counts.connections),
            sent: of(&self.counts.sent),
            received: of(&self.counts.received),
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = [0_u8; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        count.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
