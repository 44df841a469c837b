//! What the tests share: sources, and ways to drain them.

use std::error::Error;
use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use fetchd_fetchers::conformance::scripted::ScriptedOrigin;
use fetchd_fetchers::{AssetName, Body, FetchError, Fetcher, Options, Polled, Registry, Release, Start};
use futures_util::StreamExt;
use url::Url;

pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(50), work).await }).expect("it ends within 50 s")
}

pub(crate) fn options(pairs: &[(&str, &str)]) -> Options {
    let mut options = Options::new();
    for (name, value) in pairs {
        options.entry((*name).to_owned()).or_default().push((*value).to_owned());
    }
    options
}

/// The object `releases/<key>` of a scripted server, read without a signature, with these options besides.
pub(crate) fn unsigned(origin: &ScriptedOrigin, key: &str, more: &[(&str, &str)]) -> Box<dyn Fetcher> {
    let endpoint = origin.url("").to_string();
    let mut all = vec![("endpoint", endpoint.as_str()), ("unsigned", "true"), ("proxy", "none")];
    all.extend(more);
    open(&format!("s3://releases/{key}"), &options(&all))
}

pub(crate) fn open(source: &str, options: &Options) -> Box<dyn Fetcher> {
    Registry::builtin().open(&Url::parse(source).unwrap(), options).unwrap()
}

pub(crate) fn name(text: &str) -> AssetName {
    AssetName::new(text).unwrap()
}

pub(crate) async fn offered(fetcher: &dyn Fetcher) -> Release {
    match fetcher.poll(None).await.unwrap() {
        Polled::Offers(release) => release,
        Polled::Unchanged | Polled::Renewed(_) => panic!("a poll without a revision is unchanged"),
    }
}

pub(crate) async fn body(fetcher: &dyn Fetcher, release: &Release, start: &Start) -> Result<Body, FetchError> {
    fetcher.open(release, &release.assets[0].name, start).await
}

pub(crate) async fn bytes(fetcher: &dyn Fetcher, release: &Release) -> Result<Vec<u8>, FetchError> {
    read(body(fetcher, release, &Start::default()).await?).await
}

pub(crate) async fn read(body: Body) -> Result<Vec<u8>, FetchError> {
    let (bytes, end) = read_up_to_error(body).await;
    end.map(|()| bytes)
}

/// All that came before the end, and whether the end was an error.
pub(crate) async fn read_up_to_error(mut body: Body) -> (Vec<u8>, Result<(), FetchError>) {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.stream.next().await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) => {
                assert!(body.stream.next().await.is_none(), "an error is not the last item");
                return (bytes, Err(error));
            }
        }
    }
    (bytes, Ok(()))
}

/// Bytes without a period that a part's size could hide.
pub(crate) fn pattern(size: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

/// An error with everything that it holds.
pub(crate) fn whole_text(error: &FetchError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(next) = source {
        let _ = write!(text, " {next} {next:?}");
        source = next.source();
    }
    text
}
