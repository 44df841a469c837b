//! A GitHub of our own: the releases API and the origin of the bytes behind it, in the shapes of
//! GitHub's documentation, on two ports of 127.0.0.1.
//!
//! ```
//! use fetchd_stand_ins::github::{Fault, GitHub, On};
//!
//! let github = GitHub::start();
//! github.release("fetchd/app", "v1.0.0").asset("app", b"the artifact").publish();
//! // The next request for the latest release is refused; the one after it is answered.
//! github.inject(On::api("*/releases/latest").once(), Fault::SecondaryLimit(None));
//! let source = github.source("fetchd/app");
//! # assert_eq!(source.scheme(), "github");
//! assert!(github.requests().is_empty());
//! ```
//!
//! It runs on a thread of its own and nothing in it is random. Dropping it closes every connection.

mod answer;
mod api;
mod fault;
mod origin;
mod release;
mod shapes;
mod state;
mod storage;
mod wire;
mod write;

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use fetchd_fetchers::Options;
use hyper::http::request::Parts;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::oneshot;
use url::Url;

pub use fault::{Fault, On, hostile};
pub use origin::GitHubOrigin;
pub use release::{NewRelease, Seen, SeenAsset};
use state::State;

/// Which of the two origins a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The API.
    Api,
    /// The origin of the bytes.
    Storage,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which origin it came to.
    pub side: Side,
    /// The method.
    pub method: String,
    /// The path, with the prefix and without the query.
    pub path: String,
    /// The query, without `?`.
    pub query: String,
    /// The headers in the order they came, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The status of the answer; 0 if there was none.
    pub status: u16,
}

impl Request {
    fn new(side: Side, parts: &Parts) -> Request {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        Request {
            side,
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            status: 0,
        }
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A GitHub with the repositories a test puts there.
pub struct GitHub {
    shared: Arc<Shared>,
    /// Tokens, each in a file.
    files: TempDir,
    /// Dropped to end the thread.
    running: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    api: SocketAddr,
    storage: SocketAddr,
    /// Before every path of the API: `/api/v3`, or nothing.
    prefix: &'static str,
    state: Mutex<State>,
    bodies: AtomicUsize,
}

impl GitHub {
    /// Starts one whose API is at the root of its origin, as that of github.com is.
    ///
    /// # Panics
    /// If no port of 127.0.0.1 can be bound.
    pub fn start() -> GitHub {
        GitHub::start_at("")
    }

    /// Starts one whose API is below `/api/v3`, as that of GitHub Enterprise Server is.
    ///
    /// # Panics
    /// If no port of 127.0.0.1 can be bound.
    pub fn start_enterprise() -> GitHub {
        GitHub::start_at("/api/v3")
    }

    fn start_at(prefix: &'static str) -> GitHub {
        let (api, storage) = (bind(), bind());
        let address = |listener: &TcpListener| listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            api: address(&api),
            storage: address(&storage),
            prefix,
            state: Mutex::new(State::new()),
            bodies: AtomicUsize::new(0),
        });
        let (running, ended) = oneshot::channel::<()>();
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve(api, storage, &shared, ended)
        });
        let files = TempDir::new().expect("a directory can be made");
        GitHub { shared, files, running: Some(running), thread: Some(thread) }
    }

    /// The root of the API, as `api=` takes it.
    pub fn api(&self) -> Url {
        Url::parse(&self.shared.api_root()).expect("an address makes a URL")
    }

    /// The root of the origin of the bytes.
    pub fn storage(&self) -> Url {
        Url::parse(&self.shared.storage_root()).expect("an address makes a URL")
    }

    /// The source of the latest release of `owner/name`.
    ///
    /// # Panics
    /// If `repository` cannot stand in a URL.
    pub fn source(&self, repository: &str) -> Url {
        let text = format!("github://{repository}?api={}", self.shared.api_root());
        Url::parse(&text).expect("a repository makes a URL")
    }

    /// Options that the source needs here.
    pub fn options(&self) -> Options {
        Options::from([("proxy".to_owned(), vec!["none".to_owned()])])
    }

    /// The same with `token` in a file, whether it is a valid one or not.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn options_with(&self, token: &str) -> Options {
        let mut options = self.options();
        // Not by the token: a path may be shown.
        let file = self.files.path().join(&state::hex(&Sha256::digest(token))[..16]);
        let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file);
        made.and_then(|mut made| writeln!(made, "{token}")).expect("a token fits into a file");
        options.insert("token_file".to_owned(), vec![file.display().to_string()]);
        options
    }

    /// A release that is made, with its repository, once it is published.
    pub fn release(&self, repository: &str, tag: &str) -> NewRelease<'_> {
        NewRelease::new(self, repository, tag)
    }

    /// A repository, without releases if it is new.
    pub fn repository(&self, name: &str) {
        self.shared.state().repository(name);
    }

    /// Shows a repository to nobody without a [`GitHub::token`].
    pub fn make_private(&self, repository: &str) {
        self.shared.state().repository(repository).private = true;
    }

    /// Gives a repository another name; what asks by the old one is redirected.
    pub fn rename(&self, repository: &str, to: &str) {
        let mut state = self.shared.state();
        let known = state.repository(repository);
        known.former.push(std::mem::replace(&mut known.name, to.to_owned()));
    }

    /// Makes `token` valid; it may see and write every repository. Another one is answered 401.
    pub fn token(&self, token: &str) {
        self.shared.state().tokens.insert(token.to_owned(), true);
    }

    /// Makes `token` valid for somebody who may see public repositories only.
    pub fn strangers_token(&self, token: &str) {
        self.shared.state().tokens.insert(token.to_owned(), false);
    }

    /// Requests in an hour, in place of 60 without and 5000 with a token; the hours begin anew.
    pub fn limit(&self, requests: u64) {
        let mut state = self.shared.state();
        state.limit = Some(requests);
        state.quotas.clear();
    }

    /// Requests that have counted against the hour of `token`.
    pub fn used(&self, token: Option<&str>) -> u64 {
        self.shared.state().quota(token).used
    }

    /// Shows no `digest` of assets, as GitHub did before 2025 and its Enterprise Server may.
    pub fn without_digests(&self) {
        self.shared.state().digests = false;
    }

    /// Lets the requests that `on` says go wrong. The fault injected first applies first, and each
    /// request meets one at most.
    pub fn inject(&self, on: On, fault: Fault) {
        self.shared.state().rules.push(fault::Rule::new(on, fault));
    }

    /// Ends every fault.
    pub fn clear(&self) {
        self.shared.state().rules.clear();
    }

    /// Every request so far to either origin, in the order received.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.state().requests.clear();
    }

    /// Bodies of assets that are on their way.
    pub fn open_bodies(&self) -> usize {
        self.shared.bodies.load(Ordering::SeqCst)
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        self.running.take();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { api, storage, prefix, .. } = &*self.shared;
        f.debug_struct("GitHub")
            .field("api", api)
            .field("storage", storage)
            .field("prefix", prefix)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self, side: Side) -> SocketAddr {
        match side {
            Side::Api => self.api,
            Side::Storage => self.storage,
        }
    }

    fn web_root(&self) -> String {
        format!("http://{}", self.api)
    }

    fn api_root(&self) -> String {
        format!("http://{}{}", self.api, self.prefix)
    }

    fn upload_root(&self) -> String {
        let path = if self.prefix.is_empty() { "" } else { "/api/uploads" };
        format!("http://{}{path}", self.api)
    }

    fn storage_root(&self) -> String {
        format!("http://{}", self.storage)
    }

    /// The path without what stands before it on this origin.
    fn plain_path(&self, side: Side, path: &str) -> String {
        let prefixes: &[&str] = if self.prefix.is_empty() { &[] } else { &[self.prefix, "/api/uploads"] };
        let prefixes = if side == Side::Api { prefixes } else { &[] };
        let rest = prefixes.iter().find_map(|prefix| path.strip_prefix(prefix));
        rest.unwrap_or(path).to_owned()
    }
}

fn bind() -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1 is free");
    listener.set_nonblocking(true).expect("a socket can be made not to block");
    listener
}

fn serve(api: TcpListener, storage: TcpListener, shared: &Arc<Shared>, ended: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(async {
        let listen = |listener, side| {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener can be polled");
            wire::listen(listener, Arc::clone(shared), side)
        };
        tokio::select! {
            () = listen(api, Side::Api) => {}
            () = listen(storage, Side::Storage) => {}
            _ = ended => {}
        }
    });
}
