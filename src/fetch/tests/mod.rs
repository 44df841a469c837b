//! A source that misbehaves as its options say, for the tests of this stage.

mod local;
mod poll;
mod wire;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fetchd_fetchers::{
    Asset, AssetName, Body, ConfigError, FetchError, Fetcher, Kind, Options, Polled, Registry, Release, Revision, Start,
};
use futures_util::StreamExt as _;
use futures_util::stream;
use url::Url;

use super::asset::Meant;
use super::job::Source;

/// The fetchers of these tests: `script:` alone.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register("script", make).unwrap();
    registry
}

fn make(url: &Url, options: &Options) -> Result<Box<dyn Fetcher>, ConfigError> {
    Ok(Box::new(Script { url: url.clone(), options: options.clone() }))
}

/// What these tests look for.
pub(super) fn meant() -> Meant {
    let text = str::to_owned;
    Meant { product: text("app"), channel: text("stable"), target: text("x86_64-unknown-linux-gnu"), pattern: None }
}

/// A source over the files of `directory`, with `options` as `name=value` or `name`.
pub(super) fn source(directory: &Path, options: &[&str]) -> Source {
    let mut map = Options::new();
    for option in options {
        let (name, value) = option.split_once('=').unwrap_or((option, "1"));
        map.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    Source { url: Url::parse(&format!("script://{}/app", directory.display())).unwrap(), options: map }
}

/// What such a source shows.
pub(super) fn release(assets: &[&str]) -> Release {
    let asset = |name: &&str| Asset { name: AssetName::new(*name).unwrap(), size: None, digest: None, handle: None };
    Release {
        revision: Revision("r1".to_owned()),
        label: None,
        assets: assets.iter().map(asset).collect(),
        document: None,
    }
}

/// The bytes at which requests began.
pub(super) fn requests(directory: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[derive(Debug)]
struct Script {
    url: Url,
    options: Options,
}

impl Script {
    fn text(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(|values| values[0].as_str())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name).map(|value| value.parse().unwrap())
    }

    fn directory(&self) -> PathBuf {
        Path::new(self.url.path()).parent().unwrap().to_owned()
    }

    fn error(&self, kind: Kind) -> FetchError {
        FetchError::new(kind, &self.url, "as scripted")
    }
}

#[async_trait]
impl Fetcher for Script {
    async fn poll(&self, since: Option<&Revision>) -> Result<Polled, FetchError> {
        if self.text("panic").is_some() {
            panic!("a bug in a fetcher");
        }
        if self.text("silent").is_some() {
            std::future::pending::<()>().await;
        }
        if since.is_some_and(|since| since.0 == "r1") || self.text("always_unchanged").is_some() {
            return Ok(Polled::Unchanged);
        }
        let names: Vec<&str> = self.text("assets").unwrap_or("app").split(',').collect();
        let document = self.text("document").map(|text| Bytes::from(text.to_owned()));
        let mut release = Release { document, ..release(&names) };
        release.assets[0].digest = self.text("digest").map(str::to_owned);
        Ok(Polled::Offers(release))
    }

    async fn open(&self, _: &Release, asset: &AssetName, start: &Start) -> Result<Body, FetchError> {
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(self.directory().join("log")).unwrap();
        writeln!(log, "{}", start.byte).unwrap();
        if start.byte > 0 && self.text("refuse_resume").is_some() {
            return Err(self.error(Kind::Changed));
        }
        match self.text("open") {
            Some("denied") => return Err(self.error(Kind::Denied)),
            Some("unreachable") => return Err(self.error(Kind::Unreachable)),
            Some("never") => std::future::pending::<()>().await,
            _ => {}
        }
        let bytes = std::fs::read(self.directory().join(asset.as_str())).map_err(|_| self.error(Kind::NotFound))?;
        let validator = self.text("validator").unwrap_or("v1");
        let known = start.validator.as_ref().is_some_and(|sent| sent.0 == validator);
        let resumed = known && self.text("no_resume").is_none() && start.byte <= bytes.len() as u64;
        let honest = if resumed { start.byte } else { 0 };
        let begin = match self.number("start") {
            Some(wrong) if start.byte > 0 => wrong,
            _ => honest,
        };
        let total = match self.text("total") {
            Some("none") => None,
            Some(claim) => Some(claim.parse().unwrap()),
            None => Some(bytes.len() as u64),
        };
        let (chunk, end) = (self.number("chunk").unwrap_or(16 * 1024) as usize, self.number("end"));
        let (stall, breaks) = (self.number("stall"), self.number("break"));
        let (pause, endless) = (self.number("pause_ms"), self.text("endless").is_some());
        let failure = self.url.clone();
        let stream = stream::unfold(begin as usize, move |at| {
            let (bytes, failure) = (bytes.clone(), failure.clone());
            async move {
                if let Some(pause) = pause {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                if stall.is_some_and(|stall| at as u64 >= stall) {
                    std::future::pending::<()>().await;
                }
                if breaks.is_some_and(|breaks| at as u64 >= breaks) {
                    return Some((Err(FetchError::new(Kind::Incomplete, &failure, "as scripted")), usize::MAX));
                }
                if end.is_some_and(|end| at as u64 >= end) {
                    return None;
                }
                if endless {
                    return Some((Ok(Bytes::from(vec![0; chunk])), at + chunk));
                }
                let next = bytes.len().min(at.saturating_add(chunk));
                (at < bytes.len()).then(|| (Ok(Bytes::copy_from_slice(&bytes[at..next])), next))
            }
        });
        let validator = (validator != "none").then(|| Revision(validator.to_owned()));
        Ok(Body { start: begin, total, validator, stream: stream.boxed() })
    }
}
