//! The web server of both sides of a comparison: files of one directory, by `sendfile`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Serves until the process ends.
pub(crate) struct Peer {
    address: SocketAddr,
    requests: Arc<AtomicU32>,
}

impl Peer {
    pub(crate) fn start(directory: &Path) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let directory = directory.to_owned();
        let requests = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                let directory = directory.clone();
                // A client that hangs up has what it wanted.
                std::thread::spawn(move || drop(answer(stream, &directory)));
            }
        });
        Peer { address, requests }
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }
}

fn answer(mut stream: TcpStream, directory: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path: PathBuf = directory.join(path.trim_start_matches('/'));
    let Ok(file) = File::open(path) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let metadata = file.metadata()?;
    let etag = format!("\"{}-{}-{}\"", metadata.ino(), metadata.mtime_nsec(), metadata.len());
    let known = |line: &String| line.to_lowercase().starts_with("if-none-match:") && line.contains(&etag);
    if head.iter().any(known) {
        let text = format!("HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\nConnection: close\r\n\r\n");
        return stream.write_all(text.as_bytes());
    }
    let length = metadata.len();
    let text = format!("HTTP/1.1 200 OK\r\nETag: {etag}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes())?;
    let mut at = 0;
    while method == "GET" && at < length {
        let left = usize::try_from(length - at).unwrap_or(usize::MAX).min(1 << 20);
        if rustix::fs::sendfile(&stream, &file, Some(&mut at), left)? == 0 {
            break;
        }
    }
    Ok(())
}
