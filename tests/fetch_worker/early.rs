//! Parts that arrived before their turn, in a download that is interrupted: they are not fetched again.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fetchd::fetch::{Attend, DownloadJob, Limits, Progress, Source, Unattended, Worker as _};
use fetchd_fetchers::{Options, Release, Revision};
use rustix::process::Signal;
use url::Url;

use crate::bench::{Bench, SIZE, code, signal, until};

const PART: usize = 256 * 1024;
/// How far the first connection comes before it falls silent.
const FIRST: usize = 100_000;
/// What three other connections bring meanwhile.
const EARLY: usize = 3 * PART;

/// What the next answers are like.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    /// The first connection falls silent after [`FIRST`] bytes.
    Silent,
    /// It breaks off when the others have brought their parts, and nothing answers any more.
    Cut,
    /// All is well.
    Well,
}

struct State {
    mood: Mood,
    etag: &'static str,
    /// Bytes that were sent, with each answer's first byte.
    sent: Vec<(usize, usize)>,
    /// Answers to requests for a part that are complete.
    complete: usize,
}

/// Serves ranges of one object, no faster than a client reads.
struct Origin {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Origin {
    fn start(bytes: &[u8], mood: Mood) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { mood, etag: "\"one\"", sent: Vec::new(), complete: 0 }));
        let (bytes, shared) = (Arc::new(bytes.to_vec()), Arc::clone(&state));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (bytes, state) = (Arc::clone(&bytes), Arc::clone(&shared));
                // A client that hangs up has what it wanted.
                std::thread::spawn(move || answer(&stream, &bytes, &state));
            }
        });
        Origin { address, state }
    }

    fn is_now(&self, mood: Mood, etag: &'static str) {
        let mut state = self.state.lock().unwrap();
        *state = State { mood, etag, sent: Vec::new(), complete: 0 };
    }

    /// What was sent on all connections but the first, which may have more on its way than anybody takes.
    fn sent_of_parts(&self) -> usize {
        self.state.lock().unwrap().sent.iter().skip(1).map(|(_, sent)| sent).sum()
    }

    /// The first bytes that were asked for.
    fn asked(&self) -> Vec<usize> {
        self.state.lock().unwrap().sent.iter().map(|(first, _)| *first).collect()
    }
}

fn answer(mut stream: &TcpStream, bytes: &[u8], state: &Mutex<State>) -> Option<()> {
    let lines = BufReader::new(stream).lines();
    let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    if head.is_empty() {
        // A connection that was made in advance, and not needed.
        return None;
    }
    let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let range = header("range").and_then(|text| text.strip_prefix("bytes=")?.split_once('-'));
    let (mood, etag, number) = {
        let mut state = state.lock().unwrap();
        if state.mood == Mood::Cut && state.complete >= EARLY / PART {
            return None;
        }
        let first = range.map_or(0, |(first, _)| first.parse().unwrap());
        state.sent.push((first, 0));
        (state.mood, state.etag, state.sent.len() - 1)
    };
    let range = range.filter(|_| header("if-range") == Some(etag));
    let first = range.map_or(0, |(first, _)| first.parse().unwrap());
    let last = range.and_then(|(_, last)| last.parse().ok()).unwrap_or(bytes.len() - 1);
    let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
    let part = format!("Content-Range: bytes {first}-{last}/{}\r\n", bytes.len());
    let part = if range.is_some() { &*part } else { "" };
    let length = last + 1 - first;
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: {etag}\r\nAccept-Ranges: bytes\r\n{part}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut at = first;
    for piece in bytes[first..=last].chunks(16 * 1024) {
        if number == 0 && mood != Mood::Well && at + piece.len() > FIRST {
            stream.write_all(&bytes[at..FIRST]).ok()?;
            state.lock().unwrap().sent[number].1 += FIRST - at;
            if mood == Mood::Silent {
                std::thread::sleep(Duration::from_secs(60));
            }
            until(|| state.lock().unwrap().complete >= EARLY / PART);
            return None;
        }
        // No client reads so slowly that more than a little lies between it and here.
        std::thread::sleep(Duration::from_millis(1));
        stream.write_all(piece).ok()?;
        state.lock().unwrap().sent.get_mut(number)?.1 += piece.len();
        at += piece.len();
    }
    // Not before the client has it all and hangs up.
    stream.shutdown(std::net::Shutdown::Write).ok()?;
    let _ = stream.read(&mut [0; 16]);
    state.lock().unwrap().complete += 1;
    Some(())
}

fn job(bench: &Bench, origin: &Origin) -> DownloadJob {
    let option = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
    let options = [option("part_size", "256KiB"), option("parallel_from", "256KiB"), option("proxy", "none")];
    let url = Url::parse(&format!("http://{}/app", origin.address)).unwrap();
    let revision = Revision(String::new());
    DownloadJob {
        source: Source { url, options: Options::from(options) },
        release: Release { revision, label: None, assets: Vec::new(), document: None },
        limits: Limits { min_rate: 0, ..bench.download("/ok/app").limits },
        ..bench.download("/ok/app")
    }
}

fn left(bench: &Bench) -> Vec<(String, u64)> {
    let entries = fs::read_dir(bench.staging()).unwrap().flatten();
    let mut left: Vec<(String, u64)> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().map_or(0, |meta| meta.len())))
        .filter(|(name, _)| !name.ends_with(".json"))
        .collect();
    left.sort();
    left
}

/// What an interrupted download leaves: three parts, and `beginning` bytes.
fn all_of_it(beginning: u64) -> Vec<(String, u64)> {
    let part = |number: usize| (format!("key.{}.ahead", number * PART), PART as u64);
    let mut all = vec![part(1), part(2), part(3), ("key.part".to_owned(), beginning)];
    all.sort();
    all
}

fn beginning(bench: &Bench) -> u64 {
    fs::metadata(bench.staging().join("key.part")).map_or(0, |meta| meta.len())
}

/// The next attempt asks for what is missing and for nothing else.
#[track_caller]
fn goes_on(bench: &Bench, origin: &Origin) {
    let begun = beginning(bench);
    assert_eq!(left(bench), all_of_it(begun));
    origin.is_now(Mood::Well, "\"one\"");
    let downloaded = bench.succeeds(&mut bench.worker(&[]), &job(bench, origin));
    assert_eq!(downloaded.resumed_from, begun);
    let asked = origin.asked();
    assert_eq!(asked[0] as u64, begun);
    assert!(asked[1..].iter().all(|first| *first >= PART + EARLY), "asked for again: {asked:?}");
    // The last bytes may be here before the origin has counted them.
    until(|| origin.sent_of_parts() >= SIZE - PART - EARLY);
    assert_eq!(origin.sent_of_parts(), SIZE - PART - EARLY, "{asked:?}");
    assert_eq!(left(bench), [("key.artifact".to_owned(), SIZE as u64)]);
}

#[test]
fn parts_that_were_complete_when_the_origin_was_cut_off_are_not_fetched_again() {
    let bench = Bench::new();
    let origin = Origin::start(&bench.bytes, Mood::Cut);
    let failure = bench.worker(&[]).download(&job(&bench, &origin), &mut Unattended).unwrap_err();
    assert!(["source.incomplete", "source.unreachable"].contains(&code(&failure)), "{failure}");
    assert_eq!(beginning(&bench), FIRST as u64);
    goes_on(&bench, &origin);
}

#[test]
fn parts_that_were_complete_when_the_first_one_stalled_are_not_fetched_again() {
    let bench = Bench::new();
    let origin = Origin::start(&bench.bytes, Mood::Silent);
    let mut job = job(&bench, &origin);
    job.limits.stall = Duration::from_secs(2);
    assert_eq!(code(&bench.worker(&[]).download(&job, &mut Unattended).unwrap_err()), "download.stalled");
    assert_eq!(beginning(&bench), FIRST as u64);
    goes_on(&bench, &origin);
}

/// Kills the worker once the parts are on disk.
struct Killer<'a> {
    bench: &'a Bench,
    process: Option<u32>,
}

impl Attend for Killer<'_> {
    fn progress(&mut self, _: Progress) {}

    fn stop(&mut self) -> bool {
        if self.process.is_none() && left(self.bench) == all_of_it(beginning(self.bench)) {
            self.process = self.bench.processes().first().copied();
            signal(self.process.unwrap(), Signal::KILL);
        }
        false
    }
}

#[test]
fn parts_that_were_complete_when_the_worker_was_killed_are_not_fetched_again() {
    let bench = Bench::new();
    let origin = Origin::start(&bench.bytes, Mood::Silent);
    let mut killer = Killer { bench: &bench, process: None };
    let failure = bench.worker(&[]).download(&job(&bench, &origin), &mut killer).unwrap_err();
    assert_eq!(code(&failure), "worker.died");
    goes_on(&bench, &origin);
}

/// An interrupted download, and one of the parts that it left.
fn interrupted() -> (Bench, Origin, PathBuf) {
    let bench = Bench::new();
    let origin = Origin::start(&bench.bytes, Mood::Cut);
    bench.worker(&[]).download(&job(&bench, &origin), &mut Unattended).unwrap_err();
    assert_eq!(left(&bench), all_of_it(FIRST as u64));
    let part = bench.staging().join(format!("key.{}.ahead", 2 * PART));
    (bench, origin, part)
}

#[test]
fn a_part_that_was_changed_on_disk_costs_one_restart() {
    let (bench, origin, part) = interrupted();
    let mut bytes = fs::read(&part).unwrap();
    bytes[PART / 2] ^= 1;
    fs::write(&part, bytes).unwrap();
    origin.is_now(Mood::Well, "\"one\"");
    assert_eq!(bench.succeeds(&mut bench.worker(&[]), &job(&bench, &origin)).resumed_from, 0);
    assert_eq!(left(&bench), [("key.artifact".to_owned(), SIZE as u64)]);
}

#[test]
fn parts_of_another_object_are_fetched_again() {
    let (bench, origin, part) = interrupted();
    // Whoever used it would be found out by the digest, and begin a second time.
    fs::write(&part, vec![0; PART]).unwrap();
    origin.is_now(Mood::Well, "\"two\"");
    assert_eq!(bench.succeeds(&mut bench.worker(&[]), &job(&bench, &origin)).resumed_from, 0);
    assert_eq!(origin.asked().iter().filter(|first| **first == 0).count(), 0, "{:?}", origin.asked());
    assert_eq!(left(&bench), [("key.artifact".to_owned(), SIZE as u64)]);
}

#[test]
fn a_part_that_was_cut_short_is_used_as_far_as_it_goes() {
    let (bench, origin, part) = interrupted();
    fs::OpenOptions::new().write(true).open(&part).unwrap().set_len(1000).unwrap();
    origin.is_now(Mood::Well, "\"one\"");
    bench.succeeds(&mut bench.worker(&[]), &job(&bench, &origin));
    let asked = origin.asked();
    assert!(asked.contains(&(2 * PART + 1000)) && !asked.contains(&(2 * PART)), "{asked:?}");
    assert_eq!(left(&bench), [("key.artifact".to_owned(), SIZE as u64)]);
}
