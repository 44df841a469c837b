//! A UDP socket over replacements of fetchd.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bench::{descriptors, script, serves_from, settled};
use crate::site::{PATIENCE, Site};
use crate::stand::{plain, replace};

/// Answers each datagram with it, its process id, and how many it has had.
const ECHOES: &str = r#"
import os, socket
server = socket.socket(fileno=3)
address = os.environ["NOTIFY_SOCKET"]
to = "\0" + address[1:] if address.startswith("@") else address
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", to)
count = 0
while True:
    text, client = server.recvfrom(512)
    count += 1
    server.sendto(b"%s %d %d" % (text, os.getpid(), count), client)
"#;

#[test]
fn a_udp_socket_loses_no_datagram_while_fetchd_is_replaced() {
    let site = Site::empty();
    let program = script(&site, "echoes", ECHOES);
    let mut fetchd = plain(&site, &["--listen", "echo=udp:127.0.0.1:0"], &program, &[]);
    let (_, service) = serves_from(&mut fetchd, 1);
    let listeners = fetchd.try_status().unwrap().service.listeners;
    let address = listeners[0].1.strip_prefix("udp:").unwrap();
    let held = descriptors(service)[&3].clone();
    let stop = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let client = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(address).unwrap();
            let mut asked = 0;
            while !stop.load(Ordering::Relaxed) {
                asked += 1;
                socket.send(format!("{asked}").as_bytes()).unwrap();
                let mut bytes = [0; 256];
                let length = socket.recv(&mut bytes).expect("each datagram is answered");
                let answer = String::from_utf8_lossy(&bytes[..length]).into_owned();
                assert!(answer.starts_with(&format!("{asked} {service} ")), "{answer}");
            }
            asked
        };
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(client)).collect();
        // The clients end in any case, or the scope would wait for ever.
        let replaced = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..20 {
                replace(&fetchd);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        let asked: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        replaced.unwrap();
        asked
    });
    assert!(asked > 0);
    assert_eq!(settled(&mut fetchd), (1, service), "the service has noticed nothing");
    assert!(descriptors(fetchd.pid()).values().any(|open| *open == held), "fetchd holds the very same socket");
    // What it held is what the next generation gets, too.
    crate::bench::restart(&fetchd);
    let (_, next) = settled(&mut fetchd);
    assert_eq!(descriptors(next)[&3], held);
    fetchd.stop();
}
