//! A fetcher written outside of `fetchd-fetchers`, against its public API alone: releases in the
//! memory of this process. It keeps the way for third parties open.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use fetchd_fetchers::conformance::{Contrast, Declined, Fault, Origin, Secret};
use fetchd_fetchers::{
    Asset, AssetName, Body, ConfigError, FetchError, Fetcher, Kind, Known, Options, Polled, Registry, Release,
    Revision, Start,
};
use futures_util::{StreamExt, stream};
use url::Url;

/// What is stored under one URL.
#[derive(Debug, Default)]
struct Shelf {
    files: BTreeMap<String, Bytes>,
    version: u64,
    token: Option<String>,
    fault: Option<Fault>,
    reading: Arc<AtomicUsize>,
}

/// A [`fetchd_fetchers::Make`] captures nothing, so shelves are found by the name in the URL.
static SHELVES: Mutex<BTreeMap<String, Shelf>> = Mutex::new(BTreeMap::new());

fn shelves() -> MutexGuard<'static, BTreeMap<String, Shelf>> {
    SHELVES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens `memory:<shelf>/<object>`.
pub(crate) fn make(url: &Url, options: &Options) -> Result<Box<dyn Fetcher>, ConfigError> {
    let token = Known::check(options, &["token"])?.one("token")?.map(str::to_owned);
    let (shelf, object) = url.path().split_once('/').ok_or_else(|| ConfigError::new("the URL names no object"))?;
    let object = AssetName::new(object).map_err(|bad| ConfigError::new(bad.to_string()))?;
    Ok(Box::new(MemoryFetcher { url: url.clone(), shelf: shelf.to_owned(), object, token: Token(token) }))
}

#[derive(Debug)]
struct MemoryFetcher {
    url: Url,
    shelf: String,
    object: AssetName,
    token: Token,
}

struct Token(Option<String>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[async_trait]
impl Fetcher for MemoryFetcher {
    async fn poll(&self, since: Option<&Revision>) -> Result<Polled, FetchError> {
        self.with_shelf(|shelf| {
            let revision = self.revision(shelf);
            if since == Some(&revision) && shelf.fault != Some(Fault::NoValidators) {
                return Ok(Polled::Unchanged);
            }
            let size = self.file(shelf, &self.object)?.len() as u64;
            let assets = vec![Asset { name: self.object.clone(), size: Some(size), digest: None, handle: None }];
            Ok(Polled::Offers(Release { revision, label: None, assets, document: None }))
        })
    }

    async fn open(&self, release: &Release, asset: &AssetName, start: &Start) -> Result<Body, FetchError> {
        self.with_shelf(|shelf| {
            let revision = self.revision(shelf);
            if *asset == self.object && revision != release.revision {
                return Err(self.error(Kind::Changed, "was replaced since the poll"));
            }
            if shelf.fault == Some(Fault::OpenFails) {
                return Err(self.error(Kind::Unreachable, "does not open"));
            }
            let bytes = self.file(shelf, asset)?;
            let total = bytes.len();
            let resumed = start.validator.as_ref() == Some(&revision) && start.byte <= total as u64;
            let from = if resumed { start.byte as usize } else { 0 };
            let mut chunks: Vec<Result<Bytes, FetchError>> = Vec::new();
            let mut at = from;
            let breaks = matches!(shelf.fault, Some(Fault::Short | Fault::ReadError | Fault::Stall));
            let end = if breaks { total / 2 } else { total };
            while at < end {
                let next = (at + 65_536).min(end);
                chunks.push(Ok(bytes.slice(at..next)));
                at = next;
            }
            match shelf.fault {
                Some(Fault::Short) => chunks.push(Err(self.error(Kind::Incomplete, "ended early"))),
                Some(Fault::ReadError) => chunks.push(Err(self.error(Kind::Unreachable, "broke off"))),
                _ => {}
            }
            let stalls = shelf.fault == Some(Fault::Stall);
            let reading = Reading::of(&shelf.reading);
            let mut chunks = chunks.into_iter();
            let stream = stream::poll_fn(move |_| {
                let _held_while_the_stream_lives = &reading;
                match chunks.next() {
                    // Nobody wakes this task: the body has stalled for good.
                    None if stalls => std::task::Poll::Pending,
                    next => std::task::Poll::Ready(next),
                }
            });
            Ok(Body {
                start: from as u64,
                total: Some(total as u64),
                validator: Some(revision),
                stream: stream.boxed(),
            })
        })
    }
}

impl MemoryFetcher {
    fn with_shelf<T>(&self, work: impl FnOnce(&Shelf) -> Result<T, FetchError>) -> Result<T, FetchError> {
        let shelves = shelves();
        let shelf = shelves.get(&self.shelf).ok_or_else(|| self.error(Kind::NotFound, "has no shelf"))?;
        match shelf.fault {
            Some(Fault::Missing) => Err(self.error(Kind::NotFound, "does not exist yet")),
            Some(Fault::Forbidden) => Err(self.error(Kind::Denied, "is refused to us")),
            Some(Fault::Throttled(wait)) => {
                Err(self.error(Kind::Throttled, "asks for fewer requests").retry_after(Some(wait)))
            }
            _ if shelf.token.is_some() && shelf.token != self.token.0 => {
                Err(self.error(Kind::Denied, "asks for another token"))
            }
            _ => work(shelf),
        }
    }

    fn file(&self, shelf: &Shelf, name: &AssetName) -> Result<Bytes, FetchError> {
        shelf.files.get(name.as_str()).cloned().ok_or_else(|| self.error(Kind::NotFound, "does not exist yet"))
    }

    fn revision(&self, shelf: &Shelf) -> Revision {
        match shelf.fault {
            Some(Fault::NoValidators) => Revision(String::new()),
            _ => Revision(shelf.version.to_string()),
        }
    }

    fn error(&self, kind: Kind, detail: &str) -> FetchError {
        FetchError::new(kind, &self.url, detail)
    }
}

/// Counts one body for as long as it lives.
struct Reading(Arc<AtomicUsize>);

impl Reading {
    fn of(count: &Arc<AtomicUsize>) -> Reading {
        count.fetch_add(1, Ordering::SeqCst);
        Reading(Arc::clone(count))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A shelf of its own for each test.
#[derive(Debug)]
pub(crate) struct MemoryOrigin {
    shelf: String,
}

impl MemoryOrigin {
    pub(crate) fn start() -> MemoryOrigin {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let shelf = format!("shelf-{}", COUNT.fetch_add(1, Ordering::SeqCst));
        shelves().insert(shelf.clone(), Shelf::default());
        MemoryOrigin { shelf }
    }

    fn change(&self, change: impl FnOnce(&mut Shelf)) {
        change(shelves().get_mut(&self.shelf).unwrap());
    }

    fn with_token(token: &str) -> Options {
        Options::from([("token".to_owned(), vec![token.to_owned()])])
    }
}

impl Origin for MemoryOrigin {
    fn publish(&mut self, files: &[(&str, &[u8])]) {
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), Bytes::copy_from_slice(bytes))).collect();
        self.change(|shelf| {
            shelf.files = files;
            shelf.version += 1;
        });
    }

    fn source(&self) -> Url {
        Url::parse(&format!("memory:{}/app", self.shelf)).unwrap()
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::builtin();
        registry.register("memory", make).unwrap();
        registry
    }

    fn inject(&mut self, fault: Fault) -> Result<(), Declined> {
        self.change(|shelf| shelf.fault = Some(fault));
        Ok(())
    }

    fn clear(&mut self) {
        self.change(|shelf| shelf.fault = None);
    }

    fn open_bodies(&self) -> Result<usize, Declined> {
        Ok(shelves()[&self.shelf].reading.load(Ordering::SeqCst))
    }

    fn secret(&self) -> Result<Secret, Declined> {
        Ok(Secret { options: MemoryOrigin::with_token("hunter2"), texts: vec!["hunter2".to_owned()] })
    }

    fn contrast(&mut self) -> Result<Contrast, Declined> {
        self.change(|shelf| shelf.token = Some("right".to_owned()));
        Ok(Contrast { works: MemoryOrigin::with_token("right"), fails: MemoryOrigin::with_token("wrong") })
    }
}

impl Drop for MemoryOrigin {
    fn drop(&mut self) {
        shelves().remove(&self.shelf);
    }
}
