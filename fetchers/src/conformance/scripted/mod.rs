//! An HTTP origin on 127.0.0.1 that behaves well until a script says otherwise.
//!
//! ```
//! use fetchd_fetchers::conformance::scripted::{ScriptedOrigin, Step};
//!
//! let origin = ScriptedOrigin::start();
//! origin.put("/app", b"the artifact");
//! // The next request for /app gets four bytes and then a reset; the one after it all of them.
//! origin.script("/app", vec![Step::Send(4), Step::Reset]);
//! let url = origin.url("/app");
//! # let _ = url;
//! assert!(origin.requests().is_empty());
//! ```
//!
//! It runs on threads of its own, so it serves async tests, blocking tests and other processes
//! alike. Nothing in it is random. Dropping it closes every connection.

mod answer;
mod request;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use url::Url;

pub use request::Request;

/// One step of a scripted answer.
///
/// A script changes the answer that the object at its path would get: steps about the head first,
/// then steps about the body. What is left of the body after the last step is sent, unless
/// [`Step::Close`], [`Step::Reset`] or [`Step::Raw`] has ended the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Answer with this status; from 300 on without the object's body.
    Status(u16),
    /// Set a header; `Content-Length` too, which is how to lie about the length.
    Header(String, String),
    /// Leave a header out.
    WithoutHeader(String),
    /// Redirect there, with 302: `Status` and `Location` in one.
    Redirect(String),
    /// Send these bytes instead of the object's, honestly announced.
    Instead(Vec<u8>),
    /// Flip this bit of the body, counted from its first byte as sent.
    FlipBit(usize),
    /// From the next request on the path has these bytes, with new validators.
    Swap(Vec<u8>),
    /// Send that many bytes more of the body, after the head if it is not sent yet.
    Send(usize),
    /// Send one byte, wait, and so on, for that many bytes.
    Trickle(usize, Duration),
    /// Send nothing for that long, or until the client goes away.
    Stall(Duration),
    /// Send these bytes as they are in place of the head and body, then close.
    Raw(Vec<u8>),
    /// Close the connection in order.
    Close,
    /// Reset the connection. What was sent just before may get lost with it.
    Reset,
}

impl Step {
    /// [`Step::Header`] from two texts.
    pub fn header(name: &str, value: &str) -> Step {
        Step::Header(name.to_owned(), value.to_owned())
    }
}

/// Which parts of HTTP an object is served with. All of them, by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serve {
    /// Send an `ETag`, and answer `If-None-Match`.
    pub etag: bool,
    /// Send a `Last-Modified` an hour in the past, and answer `If-Modified-Since`.
    pub last_modified: bool,
    /// Answer `Range` and `If-Range`.
    pub ranges: bool,
    /// Send a `Content-Length`; without it the end of the connection is the end of the body.
    pub length: bool,
}

impl Default for Serve {
    fn default() -> Serve {
        Serve { etag: true, last_modified: true, ranges: true, length: true }
    }
}

/// An HTTP origin under control of a test.
pub struct ScriptedOrigin {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    connections: AtomicUsize,
    ending: AtomicBool,
}

#[derive(Default)]
struct State {
    objects: HashMap<String, Object>,
    next: HashMap<String, VecDeque<Vec<Step>>>,
    every: HashMap<String, Vec<Step>>,
    guards: HashMap<String, (String, String)>,
    requests: Vec<Request>,
    versions: u64,
}

#[derive(Clone)]
struct Object {
    bytes: Arc<Vec<u8>>,
    serve: Serve,
    etag: String,
    modified: SystemTime,
}

impl ScriptedOrigin {
    /// Starts one on a port of its own.
    ///
    /// # Panics
    /// If no port of 127.0.0.1 can be bound.
    pub fn start() -> ScriptedOrigin {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1 is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            connections: AtomicUsize::new(0),
            ending: AtomicBool::new(false),
        });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        ScriptedOrigin { address, shared, accepting: Some(accepting) }
    }

    /// The URL of `path`, which begins with `/` and may have a query.
    ///
    /// # Panics
    /// If `path` is not the path of a URL.
    pub fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).expect("`path` is the path of a URL")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `bytes` at `path`, with new validators. Queries are ignored when an object is looked up.
    pub fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        self.put_with(path, bytes, Serve::default());
    }

    /// As [`ScriptedOrigin::put`], with less than all of HTTP.
    pub fn put_with(&self, path: &str, bytes: impl AsRef<[u8]>, serve: Serve) {
        self.shared.state().put(path, bytes.as_ref().to_vec(), serve);
    }

    /// Serves nothing at `path` any more: 404.
    pub fn remove(&self, path: &str) {
        self.shared.state().objects.remove(path);
    }

    /// Answers the next request for `path` by these steps. Scripts for one path queue up, one for
    /// each request.
    pub fn script(&self, path: &str, steps: Vec<Step>) {
        self.shared.state().next.entry(path.to_owned()).or_default().push_back(steps);
    }

    /// Answers every request for `path` by these steps, unless a queued script comes first.
    pub fn script_every(&self, path: &str, steps: Vec<Step>) {
        self.shared.state().every.insert(path.to_owned(), steps);
    }

    /// Forgets every script.
    pub fn clear_scripts(&self) {
        let mut state = self.shared.state();
        state.next.clear();
        state.every.clear();
    }

    /// Answers 403 at `path` to requests without this header.
    pub fn require_header(&self, path: &str, name: &str, value: &str) {
        self.shared.state().guards.insert(path.to_owned(), (name.to_lowercase(), value.to_owned()));
    }

    /// Every request so far, in the order received.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.state().requests.clear();
    }

    /// Connections that neither side has closed.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until there are `count` connections; `false` if that takes longer than `limit`.
    pub fn wait_for_connections(&self, count: usize, limit: Duration) -> bool {
        super::wait_until(limit, || self.connections() == count)
    }

    /// Waits until there were `count` requests; `false` if that takes longer than `limit`.
    pub fn wait_for_requests(&self, count: usize, limit: Duration) -> bool {
        super::wait_until(limit, || self.shared.state().requests.len() >= count)
    }
}

impl fmt::Debug for ScriptedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedOrigin").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for ScriptedOrigin {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }
}

impl State {
    fn put(&mut self, path: &str, bytes: Vec<u8>, serve: Serve) {
        self.versions += 1;
        let modified = SystemTime::now() - Duration::from_secs(3600) + Duration::from_secs(self.versions);
        let etag = format!("\"v{}\"", self.versions);
        self.objects.insert(path.to_owned(), Object { bytes: Arc::new(bytes), serve, etag, modified });
    }

    /// Records `request` and takes what it is to be answered with.
    fn take(&mut self, request: &Request) -> (Option<Object>, Vec<Step>) {
        self.requests.push(request.clone());
        let path = request.path_only();
        let script = self.next.get_mut(path).and_then(VecDeque::pop_front);
        let script = script.or_else(|| self.every.get(path).cloned()).unwrap_or_default();
        let guard = self.guards.get(path);
        if guard.is_some_and(|(name, value)| request.header(name) != Some(value)) {
            return (None, vec![Step::Status(403)]);
        }
        (self.objects.get(path).cloned(), script)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut serving: Vec<JoinHandle<()>> = Vec::new();
    for stream in listener.incoming() {
        if shared.ending() {
            break;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        shared.connections.fetch_add(1, Ordering::SeqCst);
        serving.retain(|thread| !thread.is_finished());
        serving.push(thread::spawn(move || {
            // What goes wrong here is the client's doing, and the test sees it there.
            let _ = serve(stream, &shared);
            shared.connections.fetch_sub(1, Ordering::SeqCst);
        }));
    }
    for thread in serving {
        let _ = thread.join();
    }
}

/// One request and its answer; then the connection ends.
fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TICK))?;
    stream.set_write_timeout(Some(TICK))?;
    let mut peer = Peer { stream, shared };
    let Some(request) = request::read(&mut peer)? else { return Ok(()) };
    let (object, script) = shared.state().take(&request);
    answer::run(&mut peer, &request, object.as_ref(), script)
}

/// How long a read or write may hold up the look at whether the origin is ending.
const TICK: Duration = Duration::from_millis(10);

/// The client's end of a connection.
struct Peer<'a> {
    stream: TcpStream,
    shared: &'a Shared,
}

impl Peer<'_> {
    /// Reads once; `None` if `until` passed first.
    fn read(&mut self, buffer: &mut [u8], until: Option<Instant>) -> io::Result<Option<usize>> {
        loop {
            match io::Read::read(&mut self.stream, buffer) {
                Err(error) if waits(&error) => {}
                other => return other.map(Some),
            }
            if self.shared.ending() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(None);
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match io::Write::write(&mut self.stream, bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if waits(&error) && !self.shared.ending() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Does nothing for `time`; an error once the client has gone.
    fn stall(&mut self, time: Duration) -> io::Result<()> {
        let until = Instant::now().checked_add(time);
        while let Some(read) = self.read(&mut [0; 1024], until)? {
            if read == 0 {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        Ok(())
    }
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
