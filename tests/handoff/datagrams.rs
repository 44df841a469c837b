//! UDP sockets handed over: none is bound again, no datagram is lost, and sessions stay with their generation.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bench::{descriptors, in_phase, plain, restart, room_to_drain, serves_from, settled};
use crate::services::example;
use crate::site::{PATIENCE, Site, Supervised};

/// A client; an answer that does not come fails the test.
struct Client {
    socket: UdpSocket,
}

impl Client {
    fn new(server: SocketAddr) -> Client {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(server).unwrap();
        Client { socket }
    }

    #[track_caller]
    fn ask(&self, text: &str) -> String {
        self.socket.send(text.as_bytes()).unwrap();
        let mut bytes = [0; 256];
        let length = self.socket.recv(&mut bytes).unwrap_or_else(|error| panic!("no answer to `{text}`: {error}"));
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }
}

fn udp_address(fetchd: &mut Supervised<'_>) -> SocketAddr {
    let listeners = fetchd.try_status().unwrap().service.listeners;
    assert_eq!(listeners[0].0, "echo");
    listeners[0].1.strip_prefix("udp:").unwrap().parse().unwrap()
}

fn service<'a>(site: &'a Site, directory: &str) -> Supervised<'a> {
    let more = ["--listen", "echo=udp:127.0.0.1:0", "--drain-deadline", "60s"];
    site.supervise(plain(site, &more, &example("service-udp"), &[directory]))
}

#[test]
fn a_udp_socket_is_kept_and_no_datagram_is_lost() {
    let site = Site::empty();
    let directory = site.path().join("srv");
    let mut fetchd = service(&site, directory.to_str().unwrap());
    let (_, first) = serves_from(&mut fetchd, 1);
    let address = udp_address(&mut fetchd);
    let held = descriptors(first)[&3].clone();
    let stop = AtomicBool::new(false);
    let (answers, last) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let client = Client::new(address);
                    let mut answers = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        assert!(client.ask("ping").starts_with("pong "));
                        answers += 1;
                    }
                    answers
                })
            })
            .collect();
        // The clients end in any case, or the scope would wait for ever.
        let last = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..20 {
                room_to_drain(&mut fetchd);
                restart(&fetchd);
            }
            settled(&mut fetchd)
        }));
        stop.store(true, Ordering::Relaxed);
        let answers: u64 = clients.into_iter().map(|client| client.join().expect("each ping is answered")).sum();
        (answers, last.unwrap())
    });
    assert!(answers > 100, "{answers}");
    assert_eq!((last.0, &descriptors(last.1)[&3]), (21, &held), "the very same socket");
    assert_eq!(Client::new(address).ask("ping"), format!("pong {}", last.1));
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_session_stays_with_the_generation_that_has_it() {
    let site = Site::empty();
    let directory = site.path().join("srv");
    let mut fetchd = service(&site, directory.to_str().unwrap());
    let (_, old) = serves_from(&mut fetchd, 1);
    let client = Client::new(udp_address(&mut fetchd));
    let session = client.ask("open");
    assert_eq!(client.ask(&format!("{session} a")), format!("1 {old}"));
    restart(&fetchd);
    let status = fetchd.wait("the old one drains", |status| !in_phase(status, "draining").is_empty());
    let (_, new) = in_phase(&status, "serving")[0];
    // The new one reads every one of these from the socket, and the old one counts them.
    for count in 2..=50 {
        assert_eq!(client.ask(&format!("{session} b")), format!("{count} {old}"));
    }
    assert_eq!(client.ask("ping"), format!("pong {new}"));
    assert!(client.ask("open").starts_with("2-"));
    assert_eq!(client.ask(&format!("{session} close")), "closed");
    assert_eq!(settled(&mut fetchd), (2, new), "with its last session the old one goes");
    assert_eq!(client.ask(&format!("{session} late")), "unknown");
}
