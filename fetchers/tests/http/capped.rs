//! An object behind a slow way: each answer takes a while to begin, and no connection brings more than its share.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use url::Url;

/// How it answers.
#[derive(Clone)]
pub(crate) struct Manner {
    pub(crate) latency: Duration,
    /// Bytes per second of one connection.
    pub(crate) rate: u64,
    pub(crate) etag: &'static str,
    pub(crate) accept_ranges: bool,
    /// Ranges are promised, and the whole is sent.
    pub(crate) ignores_ranges: bool,
    /// The object is another from this answer on, counted from 0.
    pub(crate) changes_at: usize,
    /// The answer of this number breaks off after so many bytes.
    pub(crate) breaks: Option<(usize, usize)>,
    /// One more at the same time is told to come later.
    pub(crate) most_at_once: usize,
    /// The object lies elsewhere, and each address is good for so many answers.
    pub(crate) redirects: Option<usize>,
}

impl Default for Manner {
    fn default() -> Manner {
        Manner {
            latency: Duration::from_millis(50),
            rate: 8 << 20,
            etag: "\"v1\"",
            accept_ranges: true,
            ignores_ranges: false,
            changes_at: usize::MAX,
            breaks: None,
            most_at_once: usize::MAX,
            redirects: None,
        }
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) connection: usize,
    pub(crate) status: u16,
    /// The first byte that was asked for; `None`: all.
    pub(crate) from: Option<usize>,
    pub(crate) sent: usize,
}

#[derive(Default)]
struct Log {
    told: Vec<Told>,
    /// The answers that are under way, by their numbers.
    serving: BTreeMap<usize, TcpStream>,
    most: usize,
    /// How often each address that a redirect led to was used.
    used: Vec<usize>,
}

impl Log {
    /// How many answers somebody waits for: whoever has hung up does not.
    fn serving(&self) -> usize {
        let waits = |stream: &&TcpStream| {
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            !matches!(recv(stream, &mut [0; 1][..], flags), Ok((_, 0)) | Err(Errno::CONNRESET | Errno::PIPE))
        };
        self.serving.values().filter(waits).count()
    }
}

struct Shared {
    bytes: Vec<u8>,
    manner: Manner,
    log: Mutex<Log>,
    changed: Condvar,
}

/// The server, for as long as the process lives: its threads wait for connections and hold nothing else.
pub(crate) struct Capped {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Capped {
    pub(crate) fn start(bytes: &[u8], manner: Manner) -> Capped {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { bytes: bytes.to_owned(), manner, log: Mutex::default(), changed: Condvar::new() });
        let all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().flatten().enumerate() {
                let shared = Arc::clone(&all);
                // A client that hangs up has what it wanted.
                std::thread::spawn(move || while answer(&stream, connection, &shared).is_some() {});
            }
        });
        Capped { address, shared }
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://{}/app", self.address).parse().unwrap()
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.shared.log().told.clone()
    }

    /// The most answers that were under way at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.log().most
    }

    /// How many connections brought a part.
    pub(crate) fn connections_of_parts(&self) -> usize {
        let told = self.told();
        let parts = told.iter().filter(|told| told.status == 206 && told.sent > 0);
        parts.map(|told| told.connection).collect::<BTreeSet<_>>().len()
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }
}

/// One request and its answer; `None` at the end of the connection.
fn answer(stream: &TcpStream, connection: usize, shared: &Shared) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let header =
        |name: &str| head.iter().find_map(|line| line.split_once(": ").filter(|(n, _)| *n == name)).map(|l| l.1);
    let path = first.split(' ').nth(1)?.to_owned();
    let manner = &shared.manner;
    let range = header("range").and_then(|text| text.strip_prefix("bytes=")?.split_once('-'));
    let from = range.map(|(first, _)| first.parse::<usize>().unwrap());
    let (number, fits, lives) = {
        let mut log = shared.log();
        let number = log.told.len();
        log.serving.insert(number, stream.try_clone().unwrap());
        log.told.push(Told { connection, status: 0, from, sent: 0 });
        let serving = log.serving();
        log.most = log.most.max(serving);
        let lives = match (manner.redirects, path.strip_prefix("/at/")) {
            (Some(good), Some(address)) => {
                let used = &mut log.used[address.parse::<usize>().unwrap()];
                *used += 1;
                *used <= good
            }
            _ => true,
        };
        (number, serving <= manner.most_at_once, lives)
    };
    shared.changed.notify_all();
    std::thread::sleep(manner.latency);
    let all = shared.bytes.len();
    let etag = if number >= manner.changes_at { "\"v2\"" } else { manner.etag };
    let (status, more, body) = match from {
        _ if !fits => (429, String::new(), 0..0),
        _ if !lives => (403, String::new(), 0..0),
        _ if manner.redirects.is_some() && path == "/app" => {
            let mut log = shared.log();
            log.used.push(0);
            (302, format!("Location: /at/{}\r\n", log.used.len() - 1), 0..0)
        }
        Some(from) if !manner.ignores_ranges && header("if-range") == Some(etag) => {
            let last = range.and_then(|(_, last)| last.parse().ok()).unwrap_or(all - 1).min(all - 1);
            (206, format!("Content-Range: bytes {from}-{last}/{all}\r\n"), from..last + 1)
        }
        _ => (200, String::new(), 0..all),
    };
    shared.log().told[number].status = status;
    shared.changed.notify_all();
    let ranges = if manner.accept_ranges { "Accept-Ranges: bytes\r\n" } else { "" };
    let head = format!("HTTP/1.1 {status} X\r\nETag: {etag}\r\n{ranges}{more}Content-Length: {}\r\n\r\n", body.len());
    let sent = send(stream, &head, &shared.bytes[body], number, shared);
    shared.log().serving.remove(&number);
    sent
}

const PIECE: usize = 8 * 1024;

/// The answer of this number. It is over, as far as the log is concerned, before the client can have its last byte.
fn send(mut stream: &TcpStream, head: &str, body: &[u8], number: usize, shared: &Shared) -> Option<()> {
    let broken = shared.manner.breaks.filter(|(which, _)| *which == number);
    if body.is_empty() {
        shared.log().serving.remove(&number);
    }
    stream.write_all(head.as_bytes()).ok()?;
    let pieces = body.chunks(PIECE).count();
    for (index, piece) in body.chunks(PIECE).enumerate() {
        if number == 0 && index == 2 {
            // What brings everything goes on when a part has begun to come, or was refused: so there is a second
            // connection, however slow the machine is.
            let until = Instant::now() + Duration::from_secs(20);
            let decided =
                |log: &Log| log.told.iter().skip(1).any(|told| told.sent > 0 || ![0, 206].contains(&told.status));
            let mut log = shared.log();
            while shared.manner.accept_ranges && !decided(&log) && Instant::now() < until {
                log = shared.changed.wait_timeout(log, Duration::from_millis(100)).unwrap().0;
            }
        }
        if broken.is_some_and(|(_, after)| index * PIECE >= after) {
            return None;
        }
        std::thread::sleep(Duration::from_secs(piece.len() as u64) / u32::try_from(shared.manner.rate).unwrap());
        let last = index + 1 == pieces;
        let mut log = shared.log();
        log.told[number].sent += piece.len();
        if last {
            log.serving.remove(&number);
        }
        drop(log);
        stream.write_all(piece).ok()?;
    }
    Some(())
}
