//! Which process answers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// The process that answers on a connection of its own; `None` if none does.
pub(crate) fn answered(at: SocketAddr) -> Option<u32> {
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let digits = text.split_once("\"pid\":")?.1;
    digits.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// Asks until another process than `old` answers: how long that took, and how many requests were lost meanwhile.
pub(crate) fn first_of_another(at: SocketAddr, old: Option<u32>) -> (Duration, u64) {
    let (begun, mut lost) = (Instant::now(), 0);
    loop {
        match answered(at) {
            Some(pid) if Some(pid) != old => return (begun.elapsed(), lost),
            Some(_) => {}
            None => lost += 1,
        }
        assert!(begun.elapsed() < PATIENCE, "never: an answer of another process");
        if old.is_none() {
            // Nobody listens yet, and asking costs the one that starts.
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}
