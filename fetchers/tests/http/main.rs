//! `http:` against a scripted origin on a socket of its own.
#![cfg(feature = "http")]
// A test may stop at anything unexpected, its helpers too.
#![allow(clippy::unwrap_used)]

mod capped;
mod open;
mod options;
mod parallel;
mod poll;
mod redirects;
mod tls;

use std::future::Future;

use fetchd_fetchers::conformance::scripted::ScriptedOrigin;
use fetchd_fetchers::{AssetName, Body, FetchError, Fetcher, Options, Polled, Registry, Release, Revision, Start};
use futures_util::StreamExt;

/// Options that keep a proxy of the machine's out of the tests, and `more`.
fn options(more: &[(&str, &str)]) -> Options {
    let mut options = Options::from([("proxy".to_owned(), vec!["none".to_owned()])]);
    for (name, value) in more {
        options.entry((*name).to_owned()).or_default().push((*value).to_owned());
    }
    options
}

fn fetcher(origin: &ScriptedOrigin, path: &str, more: &[(&str, &str)]) -> Box<dyn Fetcher> {
    Registry::builtin().open(&origin.url(path), &options(more)).unwrap()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn poll(fetcher: &dyn Fetcher, since: Option<&Revision>) -> Result<Polled, FetchError> {
    run(fetcher.poll(since))
}

fn offered(fetcher: &dyn Fetcher) -> Release {
    match poll(fetcher, None).unwrap() {
        Polled::Offers(release) => release,
        Polled::Unchanged | Polled::Renewed(_) => panic!("unchanged without a revision"),
    }
}

fn unchanged(fetcher: &dyn Fetcher, since: &Release) -> bool {
    matches!(poll(fetcher, Some(&since.revision)).unwrap(), Polled::Unchanged)
}

fn name(text: &str) -> AssetName {
    AssetName::new(text).unwrap()
}

/// The head of a body, and its bytes or the error it ends with.
fn open(
    fetcher: &dyn Fetcher,
    release: &Release,
    asset: &str,
    start: &Start,
) -> Result<(Body, Result<Vec<u8>, FetchError>), FetchError> {
    run(async {
        let mut body = fetcher.open(release, &name(asset), start).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.stream.next().await {
            match chunk {
                Ok(chunk) => bytes.extend_from_slice(&chunk),
                Err(error) => return Ok((body, Err(error))),
            }
        }
        Ok((body, Ok(bytes)))
    })
}

/// The error of an `open`, at once or at the end of its body.
fn broken(fetcher: &dyn Fetcher, release: &Release, asset: &str) -> FetchError {
    match open(fetcher, release, asset, &Start::default()) {
        Err(error) => error,
        Ok((_, read)) => read.unwrap_err(),
    }
}
