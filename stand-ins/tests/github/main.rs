//! `github:` against a GitHub of our own.
// A test may stop at anything unexpected, its helpers too.
#![allow(clippy::unwrap_used)]

mod foreign;
mod limits;
mod open;
mod options;
mod poll;
mod redirects;
mod repository;
mod tags;

use std::future::Future;

use fetchd_fetchers::{
    AssetName, Body, ConfigError, FetchError, Fetcher, Options, Polled, Registry, Release, Revision, Start,
};
use fetchd_stand_ins::github::GitHub;
use futures_util::StreamExt;
use url::Url;

const APP: &str = "0123456789abcdefghij";

/// A GitHub with one release of `fetchd/app`.
fn github() -> GitHub {
    let github = GitHub::start();
    github.release("fetchd/app", "v1.0.0").asset("app", APP).asset("app.minisig", "signature").publish();
    github
}

/// Options that keep a proxy and a token of the machine's out of the tests, and `more`.
fn options(more: &[(&str, &str)]) -> Options {
    let mut options = Options::from([("proxy".to_owned(), vec!["none".to_owned()])]);
    for (name, value) in more {
        options.entry((*name).to_owned()).or_default().push((*value).to_owned());
    }
    options.entry("token_file".to_owned()).or_insert_with(|| vec!["none".to_owned()]);
    options
}

fn fetcher(github: &GitHub, more: &[(&str, &str)]) -> Box<dyn Fetcher> {
    Registry::builtin().open(&github.source("fetchd/app"), &options(more)).unwrap()
}

fn refused(source: &str, more: &[(&str, &str)]) -> ConfigError {
    Registry::builtin().open(&Url::parse(source).unwrap(), &options(more)).unwrap_err()
}

/// A file with a token in it, and what it lies in.
fn token_file(token: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    (directory, file.to_str().unwrap().to_owned())
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

fn tag(fetcher: &dyn Fetcher) -> String {
    offered(fetcher).label.unwrap()
}

fn unchanged(fetcher: &dyn Fetcher, since: &Release) -> bool {
    matches!(poll(fetcher, Some(&since.revision)).unwrap(), Polled::Unchanged | Polled::Renewed(_))
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

fn read(fetcher: &dyn Fetcher, release: &Release, asset: &str) -> Vec<u8> {
    open(fetcher, release, asset, &Start::default()).unwrap().1.unwrap()
}

/// The error of an `open`, at once or at the end of its body.
fn broken(fetcher: &dyn Fetcher, release: &Release, asset: &str) -> FetchError {
    match open(fetcher, release, asset, &Start::default()) {
        Err(error) => error,
        Ok((_, read)) => read.unwrap_err(),
    }
}

fetchd_fetchers::conformance_tests!(conformance, fetchd_stand_ins::github::GitHubOrigin::start);
