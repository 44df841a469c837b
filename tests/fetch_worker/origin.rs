//! A web server that misbehaves as its path says.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How much a server of a `/half/…` path sends before it falls silent.
pub(crate) const HALF: usize = 500_000;

/// Serves `bytes` at every path; below `/half/`, `/once/` (the first time), `/endless/`, `/short/`,
/// `/unknown/` and `/broken/` it lies.
pub(crate) struct Origin {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    pub(crate) fn start(bytes: Vec<u8>) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (bytes, log) = (Arc::new(bytes), requests.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (bytes, log) = (bytes.clone(), log.clone());
                std::thread::spawn(move || answer(stream, &bytes, &log));
            }
        });
        Origin { address, requests }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(stream: TcpStream, bytes: &[u8], log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new())).unwrap_or_default();
    let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let range = headers.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let from: usize = range.and_then(|range| range.trim_end_matches('-').parse().ok()).unwrap_or(0);
    let method = first.split(' ').next().unwrap_or_default();
    let again = {
        let mut log = log.lock().unwrap();
        let again = log.iter().any(|line| line.starts_with(&format!("{method} {path} ")));
        log.push(format!("{method} {path} {from}"));
        again
    };
    let is = |word: &str| path.starts_with(&format!("/{word}/"));
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    let mut head = format!("HTTP/1.1 {status}\r\nETag: \"one\"\r\nConnection: close\r\n");
    if !is("unknown") && !is("endless") {
        head += &format!("Content-Length: {}\r\n", bytes.len() - from);
    }
    if from > 0 {
        head += &format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
    }
    let mut stream = stream;
    if stream.write_all(format!("{head}\r\n").as_bytes()).is_err() || first.starts_with("HEAD") {
        return;
    }
    // The client may be gone at any time: that is what these tests are about.
    if is("half") || is("once") && !again {
        let _ = stream.write_all(&bytes[from..HALF.max(from)]);
        std::thread::sleep(Duration::from_secs(60));
    } else if is("short") {
        let _ = stream.write_all(&bytes[from..HALF.max(from)]);
    } else if is("broken") {
        let mut wrong = bytes[from..].to_vec();
        wrong[0] ^= 1;
        let _ = stream.write_all(&wrong);
    } else if is("endless") {
        while stream.write_all(&[0; 65536]).is_ok() {}
    } else {
        let _ = stream.write_all(&bytes[from..]);
    }
}
