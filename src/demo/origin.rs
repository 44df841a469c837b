//! The web server that the demo's releases come from, on this machine only.
//!
//! It knows what a real one knows: ETags, conditional requests, ranges. And it can stop in the
//! middle of a file, so that there is time to kill whoever is downloading it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::digest::Sha256;

/// A running origin. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// What the channel's pointer shows.
    document: Option<Vec<u8>>,
    /// The file that is sent up to its middle and no further.
    held: Option<String>,
    /// It has been sent that far.
    halfway: bool,
    /// Where answers that did not begin at the beginning began: file and byte.
    resumed: Vec<(String, u64)>,
}

/// The name under which the channel's pointer is served.
pub(super) const POINTER: &str = "stable.fetchd";

impl Origin {
    /// Serves the files in `dir`, and no pointer yet.
    pub(super) fn start(dir: PathBuf) -> io::Result<Origin> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared =
            Arc::new(Shared { dir, state: Mutex::default(), changed: Condvar::new(), stop: AtomicBool::new(false) });
        let serving = Arc::clone(&shared);
        let accept = move || {
            for stream in listener.incoming().flatten() {
                if serving.stop.load(Ordering::Relaxed) {
                    break;
                }
                let serving = Arc::clone(&serving);
                // A client that goes away in the middle is what the demo is about.
                let one = move || drop(serving.answer(stream));
                // Without a thread the connection is closed, and the client comes again.
                drop(std::thread::Builder::new().stack_size(256 * 1024).spawn(one));
            }
        };
        let thread = std::thread::Builder::new().name("demo-origin".to_owned()).spawn(accept)?;
        Ok(Origin { address, shared, thread: Some(thread) })
    }

    /// The source to configure.
    pub(super) fn source(&self) -> String {
        format!("http://{}/{POINTER}", self.address)
    }

    /// Shows `document` as the channel's pointer from now on.
    pub(super) fn show(&self, document: Vec<u8>) {
        self.shared.state().document = Some(document);
    }

    /// Stops in the middle of the file `name` until [`Origin::release`].
    pub(super) fn hold(&self, name: &str) {
        let mut state = self.shared.state();
        (state.held, state.halfway) = (Some(name.to_owned()), false);
    }

    /// Whether somebody has been sent the first half of what is held, and of nothing else.
    pub(super) fn is_halfway(&self) -> bool {
        self.shared.state().halfway
    }

    /// Ends a hold.
    pub(super) fn release(&self) {
        self.shared.state().held = None;
        self.shared.changed.notify_all();
    }

    /// The byte at which the last answer for `name` that was not whole began.
    pub(super) fn resumed(&self, name: &str) -> Option<u64> {
        self.shared.state().resumed.iter().rev().find(|(file, _)| file == name).map(|(_, byte)| *byte)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.release();
        // Wakes the accepting thread, which then sees that it is to stop.
        let woken = TcpStream::connect_timeout(&self.address, PATIENCE).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            // A panic of the thread has been printed by it.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let request = Request::read(&stream)?;
        let name = request.path.trim_start_matches('/');
        if name == POINTER {
            let document = self.state().document.clone();
            let Some(document) = document else { return refuse(&mut stream, "404 Not Found") };
            let etag = format!("\"{}\"", Sha256::of(&document).short());
            if request.header("if-none-match") == Some(&etag) {
                return head(&mut stream, "304 Not Modified", &etag, None, "");
            }
            head(&mut stream, "200 OK", &etag, Some(document.len() as u64), "")?;
            return if request.body { stream.write_all(&document) } else { Ok(()) };
        }
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return refuse(&mut stream, "404 Not Found");
        }
        match File::open(self.dir.join(name)) {
            Ok(file) => self.file(&mut stream, &request, name, file),
            Err(_) => refuse(&mut stream, "404 Not Found"),
        }
    }

    fn file(&self, stream: &mut TcpStream, request: &Request, name: &str, mut file: File) -> io::Result<()> {
        let total = file.metadata()?.len();
        // A published file is never changed, so its name and size tell its states apart.
        let etag = format!("\"{name}-{total}\"");
        let from = request.from().filter(|from| *from < total && request.header("if-range") == Some(&etag));
        let start = from.unwrap_or(0);
        match from {
            Some(from) => {
                let range = format!("Content-Range: bytes {from}-{}/{total}\r\n", total - 1);
                self.state().resumed.push((name.to_owned(), from));
                head(stream, "206 Partial Content", &etag, Some(total - from), &range)?;
            }
            None => head(stream, "200 OK", &etag, Some(total), "")?,
        }
        if !request.body {
            return Ok(());
        }
        file.seek(SeekFrom::Start(start))?;
        let middle = (total / 2).saturating_sub(start);
        io::copy(&mut (&mut file).take(middle), stream)?;
        let held = |state: &mut State| {
            // A file that was published before may still be asked for: its half is not the one that is waited for.
            let held = state.held.as_deref() == Some(name);
            state.halfway |= held;
            held
        };
        drop(self.changed.wait_timeout_while(self.state(), HOLD, held));
        io::copy(&mut file, stream)?;
        Ok(())
    }
}

/// What was asked, as far as it matters.
#[derive(Debug, Default)]
struct Request {
    path: String,
    /// Not for `HEAD`.
    body: bool,
    headers: Vec<(String, String)>,
}

impl Request {
    fn read(stream: &TcpStream) -> io::Result<Request> {
        let mut lines = BufReader::new(stream.take(LONGEST_HEAD)).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let mut words = first.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let path = words.next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        for line in lines {
            let line = line?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Request { path, body: method != "HEAD", headers })
    }

    fn header(&self, name: &str) -> Option<&String> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The first byte of a range without an end.
    fn from(&self) -> Option<u64> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

fn refuse(stream: &mut TcpStream, status: &str) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn head(stream: &mut TcpStream, status: &str, etag: &str, length: Option<u64>, more: &str) -> io::Result<()> {
    let length = length.map(|length| format!("Content-Length: {length}\r\n")).unwrap_or_default();
    let text = format!("HTTP/1.1 {status}\r\nETag: {etag}\r\n{length}{more}Connection: close\r\n\r\n");
    stream.write_all(text.as_bytes())
}

const PATIENCE: Duration = Duration::from_secs(20);

/// A hold that nobody ends does.
const HOLD: Duration = Duration::from_secs(60);

const LONGEST_HEAD: u64 = 16 << 10;
