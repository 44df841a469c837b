//! An S3 server in this process: strict, linearizable, and made to misbehave when a test asks.
//!
//! ```
//! use fetchd_stand_ins::s3::S3Server;
//!
//! let server = S3Server::start();
//! server.put("app", "the artifact");
//! assert_eq!(server.get("app").as_deref(), Some(b"the artifact".as_slice()));
//! assert!(server.source("app").as_str().starts_with("s3://releases/app?endpoint=http"));
//! ```
//!
//! Requests are signed (SigV4) with [`ACCESS_KEY`] and [`SECRET_KEY`]; anybody may read the bucket
//! [`PUBLIC`]. It speaks the part of S3 that releases and conditional writes need: objects with
//! ranges and conditions, checksums, versions, lists, multipart uploads. [`S3Server::inject`] makes
//! it lose replies, refuse, break bodies off, or behave as other servers that speak S3 do.

mod access;
mod bucket;
mod conditions;
mod effect;
mod fault;
mod list;
mod origin;
mod peer;
mod quirks;
mod read;
mod refusal;
mod reply;
mod request;
mod serve;
mod service;
mod store;
mod sums;
mod upload;
mod when;
mod write;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fetchd_fetchers::Options;
use tokio::sync::oneshot;
use url::Url;

pub use bucket::Bucket;
pub use fault::Fault;
pub use origin::S3Origin;
pub use refusal::Refusal;
pub use request::{Operation, Request};
pub use when::When;

use serve::Shared;

/// The one access key that is known.
pub const ACCESS_KEY: &str = "AKIAFETCHDSTANDIN000";
/// The secret to [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "stand-in/secret+key/of/the/releases/bucket";
/// The region of every bucket.
pub const REGION: &str = "us-east-1";
/// The account that owns every bucket.
pub const OWNER: &str = "111122223333";
/// The bucket of releases; [`S3Server::put`] and its like mean this one.
pub const RELEASES: &str = "releases";
/// A bucket that keeps every version of every object.
pub const VERSIONED: &str = "versioned";
/// A bucket that anybody may read.
pub const PUBLIC: &str = "public";

/// An S3 server on 127.0.0.1, under control of a test. Dropping it closes every connection.
pub struct S3Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    end: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl S3Server {
    /// Starts one on a port and a thread of its own.
    ///
    /// # Panics
    /// If no port of 127.0.0.1 can be bound.
    pub fn start() -> S3Server {
        let shared = Arc::new(Shared::new());
        let (end, ending) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let serving = thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve::run(&shared, &tell, ending)
        });
        let address = told.recv().expect("a port of 127.0.0.1 is free");
        S3Server { address, shared, end: Some(end), serving: Some(serving) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint, for a client with path-style addresses.
    ///
    /// # Panics
    /// Never: an address is the host of a URL.
    pub fn endpoint(&self) -> Url {
        Url::parse(&format!("http://{}", self.address)).expect("an address is the host of a URL")
    }

    /// `s3://releases/<key>`, with endpoint and region in its query.
    pub fn source(&self, key: &str) -> Url {
        self.source_in(RELEASES, key)
    }

    /// As [`S3Server::source`], of another bucket.
    ///
    /// # Panics
    /// If `bucket` or `key` cannot stand in a URL.
    pub fn source_in(&self, bucket: &str, key: &str) -> Url {
        let mut url = Url::parse(&format!("s3://{bucket}/{key}")).expect("bucket and key make a URL");
        let endpoint = format!("http://{}", self.address);
        url.query_pairs_mut().append_pair("endpoint", &endpoint).append_pair("region", REGION);
        url
    }

    /// The credentials, as options of a source.
    pub fn options(&self) -> Options {
        Options::from([
            ("access_key_id".to_owned(), vec![ACCESS_KEY.to_owned()]),
            ("secret_access_key".to_owned(), vec![SECRET_KEY.to_owned()]),
        ])
    }

    /// A bucket, past HTTP.
    pub fn bucket<'a>(&'a self, name: &'a str) -> Bucket<'a> {
        Bucket::new(&self.shared.store, name)
    }

    /// [`Bucket::put`] in [`RELEASES`].
    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) -> String {
        self.bucket(RELEASES).put(key, bytes)
    }

    /// [`Bucket::put_with_sha256`] in [`RELEASES`].
    pub fn put_with_sha256(&self, key: &str, bytes: impl Into<Bytes>) -> String {
        self.bucket(RELEASES).put_with_sha256(key, bytes)
    }

    /// [`Bucket::put_multipart`] in [`RELEASES`].
    pub fn put_multipart(&self, key: &str, bytes: impl Into<Bytes>) -> String {
        self.bucket(RELEASES).put_multipart(key, bytes)
    }

    /// [`Bucket::get`] of [`RELEASES`].
    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.bucket(RELEASES).get(key)
    }

    /// [`Bucket::remove`] from [`RELEASES`].
    pub fn remove(&self, key: &str) {
        self.bucket(RELEASES).remove(key);
    }

    /// [`Bucket::keys`] of [`RELEASES`].
    pub fn keys(&self) -> Vec<String> {
        self.bucket(RELEASES).keys()
    }

    /// Makes requests meet `fault`. Several may meet one request, in the order injected.
    pub fn inject(&self, fault: Fault, when: When) {
        self.shared.inject(fault, when);
    }

    /// Ends every fault.
    pub fn clear(&self) {
        self.shared.clear();
    }

    /// Every request so far, in the order received.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.clear_requests();
    }

    /// Waits until there were `count` requests; `false` if that takes longer than `limit`.
    pub fn wait_for_requests(&self, count: usize, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while self.shared.requests().len() < count {
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Bodies of objects that are not sent to their end yet.
    pub fn bodies(&self) -> usize {
        self.shared.bodies.count()
    }

    /// Connections that neither side has closed.
    pub fn connections(&self) -> usize {
        self.shared.connections.count()
    }
}

impl fmt::Debug for S3Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}
