//! The rules, one function each. A rule that does not hold panics, as a test does.

use std::error::Error;
use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;

use super::journal::Journal;
use super::{Contrast, Declined, Fault, Origin};
use crate::{AssetName, Body, FetchError, Fetcher, Kind, Options, Polled, Release, Retry, Start};

/// What a rule comes to: it holds, or the origin cannot be asked.
pub type Verdict = Result<(), Declined>;

const APP: &str = "app";
/// Time for what should happen at once.
const SOON: Duration = Duration::from_secs(20);

/// A poll offers what is published: the object by name, with a size that is true if it is told.
pub async fn poll_offers_the_published_release(origin: &mut impl Origin) -> Verdict {
    origin.publish(&[(APP, b"one")]);
    let fetcher = open(origin);
    let release = offered(&*fetcher).await;
    let asset = release.assets.iter().find(|asset| asset.name == name(APP)).expect("the object is among the assets");
    assert!(asset.size.is_none_or(|size| size == 3), "the size is {:?}, not 3", asset.size);
    Ok(())
}

/// The revision of a poll, handed back, makes the next one `Unchanged`; another release does not.
pub async fn poll_with_the_current_revision_is_unchanged(origin: &mut impl Origin) -> Verdict {
    origin.publish(&[(APP, b"one")]);
    let fetcher = open(origin);
    let first = offered(&*fetcher).await;
    for _ in 0..2 {
        let again = fetcher.poll(Some(&first.revision)).await.expect("the second poll succeeds");
        assert!(
            matches!(again, Polled::Unchanged | Polled::Renewed(_)),
            "the same release is offered again: {again:?}"
        );
    }
    origin.publish(&[(APP, b"two")]);
    let second = fetcher.poll(Some(&first.revision)).await.expect("the third poll succeeds");
    assert!(matches!(second, Polled::Offers(_)), "a new release is not offered");
    Ok(())
}

/// Without any validator a new release of the same size is still seen.
pub async fn a_source_without_validators_still_shows_a_new_release(origin: &mut impl Origin) -> Verdict {
    origin.publish(&[(APP, b"one")]);
    origin.inject(Fault::NoValidators)?;
    let fetcher = open(origin);
    let first = offered(&*fetcher).await;
    origin.publish(&[(APP, b"two")]);
    match fetcher.poll(Some(&first.revision)).await.expect("the poll succeeds") {
        Polled::Unchanged | Polled::Renewed(_) => panic!("a new release is called unchanged"),
        Polled::Offers(release) => assert_eq!(bytes(&*fetcher, &release, APP).await, b"two"),
    }
    Ok(())
}

/// A fetcher has no memory: after a failed `open` the release is offered as before, and opens.
pub async fn failed_open_does_not_consume_the_release(origin: &mut impl Origin) -> Verdict {
    origin.publish(&[(APP, b"one")]);
    let fetcher = open(origin);
    let before = offered(&*fetcher).await;
    origin.publish(&[(APP, b"two")]);
    let release = since(&*fetcher, &before).await;
    origin.inject(Fault::OpenFails)?;
    let failed = fetcher.open(&release, &name(APP), &Start::default()).await;
    assert!(failed.is_err(), "the fault was injected and `open` succeeds");
    origin.clear();
    let release = since(&*fetcher, &before).await;
    assert_eq!(bytes(&*fetcher, &release, APP).await, b"two");
    Ok(())
}

/// The exact bytes, of the object and of a sibling: none, one, and more than any buffer holds.
pub async fn open_yields_exactly_the_published_bytes(origin: &mut impl Origin) -> Verdict {
    for size in [0, 1, 3 * 1024 * 1024 + 7] {
        let (app, sibling) = (pattern(size, 1), pattern(size, 2));
        origin.publish(&[(APP, &app), ("app.minisig", &sibling)]);
        let fetcher = open(origin);
        let release = offered(&*fetcher).await;
        assert!(bytes(&*fetcher, &release, APP).await == app, "the object of {size} bytes arrives otherwise");
        assert!(bytes(&*fetcher, &release, "app.minisig").await == sibling, "a sibling of {size} bytes does");
    }
    Ok(())
}

/// A body that begins later is the rest of the same bytes; one that cannot says that it begins at 0.
pub async fn a_body_can_be_resumed(origin: &mut impl Origin) -> Verdict {
    let app = pattern(100_000, 1);
    origin.publish(&[(APP, &app)]);
    let fetcher = open(origin);
    let release = offered(&*fetcher).await;
    let whole = fetcher.open(&release, &name(APP), &Start::default()).await.expect("the object opens");
    assert_eq!(whole.start, 0, "a body from the beginning begins later");
    for validator in [whole.validator.clone(), None] {
        let start = Start { byte: 40_000, validator };
        let body = fetcher.open(&release, &name(APP), &start).await.expect("the rest opens");
        assert!(body.start == 0 || body.start == 40_000, "the body begins at {}", body.start);
        assert!(start.validator.is_some() || body.start == 0, "bytes are resumed without a validator");
        let from = body.start as usize;
        assert!(read(body).await.expect("the rest can be read") == app[from..], "the rest is not the rest");
    }
    Ok(())
}

/// A body with fewer bytes than announced is [`Kind::Incomplete`], not a short success.
pub async fn a_short_body_is_incomplete(origin: &mut impl Origin) -> Verdict {
    let error = broken_body(origin, Fault::Short).await?;
    assert_eq!(error.kind(), Kind::Incomplete, "{error}");
    Ok(())
}

/// A transport that fails in the middle is an error of the stream, not its end.
pub async fn a_read_error_is_not_the_end(origin: &mut impl Origin) -> Verdict {
    let error = broken_body(origin, Fault::ReadError).await?;
    assert!(matches!(error.kind(), Kind::Incomplete | Kind::Unreachable), "{error}");
    Ok(())
}

/// A release that was replaced after the poll is [`Kind::Changed`], or its old bytes in full;
/// never the new bytes under the old name, and never both.
pub async fn a_release_replaced_after_poll_is_changed_not_mixed(origin: &mut impl Origin) -> Verdict {
    let (old, new) = (pattern(1_000_000, 1), pattern(1_000_000, 2));
    origin.publish(&[(APP, &old)]);
    let fetcher = open(origin);
    let release = offered(&*fetcher).await;
    origin.publish(&[(APP, &new)]);
    let got = match fetcher.open(&release, &name(APP), &Start::default()).await {
        Ok(body) => read(body).await,
        Err(error) => Err(error),
    };
    match got {
        Err(error) => assert_eq!(error.kind(), Kind::Changed, "{error}"),
        Ok(bytes) => assert!(bytes == old, "bytes of another release are taken for those that were polled"),
    }
    Ok(())
}

/// While a body stalls, its reader can stop waiting.
pub async fn a_stalled_body_can_be_cancelled(origin: &mut impl Origin) -> Verdict {
    origin.publish(&[(APP, &pattern(100_000, 1))]);
    let fetcher = open(origin);
    let release = offered(&*fetcher).await;
    origin.inject(Fault::Stall)?;
    let body = soon(fetcher.open(&release, &name(APP), &Start::default())).await.expect("the head arrives");
    let cancelled = tokio::time::timeout(Duration::from_millis(300), read(body)).await;
    assert!(cancelled.is_err(), "the body does not stall: {cancelled:?}");
    Ok(())
}

/// A body that is dropped half-read leaves nothing open at the source.
pub async fn dropping_the_body_closes_the_connection(origin: &mut impl Origin) -> Verdict {
    origin.open_bodies()?;
    origin.publish(&[(APP, &pattern(8 * 1024 * 1024, 1))]);
    let fetcher = open(origin);
    let release = offered(&*fetcher).await;
    assert!(reaches(origin, 0).await, "a poll leaves something open");
    let mut body = fetcher.open(&release, &name(APP), &Start::default()).await.expect("the object opens");
    soon(body.stream.next()).await.expect("there is a first chunk").expect("the first chunk arrives");
    assert_eq!(origin.open_bodies()?, 1, "the body is not open");
    drop(body);
    assert!(reaches(origin, 0).await, "the dropped body is still open");
    Ok(())
}

/// Nothing there is [`Kind::NotFound`], for the object and for a sibling.
pub async fn missing_is_not_found(origin: &mut impl Origin) -> Verdict {
    origin.publish(&[(APP, b"one")]);
    let fetcher = open(origin);
    let release = offered(&*fetcher).await;
    let sibling = fetcher.open(&release, &name("app.minisig"), &Start::default()).await;
    assert_eq!(sibling.expect_err("a sibling that was never there opens").kind(), Kind::NotFound);
    origin.inject(Fault::Missing)?;
    assert_eq!(refused(&*fetcher).await.kind(), Kind::NotFound);
    Ok(())
}

/// A refusal is [`Kind::Denied`].
pub async fn forbidden_is_denied(origin: &mut impl Origin) -> Verdict {
    origin.publish(&[(APP, b"one")]);
    let fetcher = open(origin);
    origin.inject(Fault::Forbidden)?;
    assert_eq!(refused(&*fetcher).await.kind(), Kind::Denied);
    Ok(())
}

/// How long the source asks us to stay away reaches the caller.
pub async fn throttled_carries_retry_after(origin: &mut impl Origin) -> Verdict {
    origin.publish(&[(APP, b"one")]);
    let fetcher = open(origin);
    let wait = Duration::from_secs(77);
    origin.inject(Fault::Throttled(wait))?;
    let error = refused(&*fetcher).await;
    assert_eq!((error.kind(), error.retry()), (Kind::Throttled, Retry::After(wait)));
    Ok(())
}

/// Options belong to one fetcher, not to its kind: neither the first nor the last ones win.
pub async fn two_fetchers_with_different_options_do_not_share_them(origin: &mut impl Origin) -> Verdict {
    origin.publish(&[(APP, b"one")]);
    let Contrast { works, fails } = origin.contrast()?;
    let works = open_with(origin, &works);
    let fails = open_with(origin, &fails);
    for _ in 0..2 {
        offered(&*works).await;
        refused(&*fails).await;
    }
    Ok(())
}

/// Polls at the same time each give what they would give alone.
pub async fn concurrent_polls_do_not_interfere(origin: &mut impl Origin) -> Verdict {
    origin.publish(&[(APP, b"one")]);
    let fetcher = open(origin);
    let first = offered(&*fetcher).await;
    let polls = (0..8).map(|index| {
        let (fetcher, first) = (&fetcher, &first);
        async move { (index, fetcher.poll((index % 2 == 0).then_some(&first.revision)).await) }
    });
    for (index, polled) in soon(join_all(polls)).await {
        match polled.expect("each poll succeeds") {
            Polled::Unchanged | Polled::Renewed(_) => {
                assert_eq!(index % 2, 0, "a poll without a revision is unchanged")
            }
            Polled::Offers(release) => {
                assert_eq!(index % 2, 1, "a poll with the revision is offered the release again");
                assert_eq!(release.revision, first.revision, "polls differ in the revision");
            }
        }
    }
    Ok(())
}

/// A secret among the options appears in no error, no Debug and no log line, whatever goes wrong.
pub async fn no_secret_appears_in_errors_debug_or_logs(origin: &mut impl Origin) -> Verdict {
    let secret = origin.secret()?;
    let journal = Journal::default();
    let guard = tracing::subscriber::set_default(journal.clone());
    let mut options = origin.options();
    options.extend(secret.options);
    origin.publish(&[(APP, &pattern(100_000, 1))]);
    let fetcher = open_with(origin, &options);
    let release = offered(&*fetcher).await;
    let mut seen = format!("{fetcher:?} {release:?}");
    for fault in
        [Fault::Missing, Fault::Forbidden, Fault::Throttled(SOON), Fault::OpenFails, Fault::Short, Fault::ReadError]
    {
        if origin.inject(fault).is_ok() {
            if let Err(error) = fetcher.poll(None).await {
                append(&mut seen, &error);
            }
            match fetcher.open(&release, &name(APP), &Start::default()).await {
                Err(error) => append(&mut seen, &error),
                Ok(body) => {
                    let _ = write!(seen, "{body:?}");
                    if let Err(error) = read(body).await {
                        append(&mut seen, &error);
                    }
                }
            }
        }
        origin.clear();
    }
    options.insert("no-such-option".to_owned(), secret.texts.clone());
    let error = origin.registry().open(&origin.source(), &options).expect_err("an unknown option is taken");
    let _ = write!(seen, "{error} {error:?}");
    drop(guard);
    seen.push_str(&journal.text());
    for text in &secret.texts {
        assert!(!seen.contains(text.as_str()), "a secret is shown");
    }
    Ok(())
}

/// An option nobody knows is an error that names it and not its value.
pub async fn unknown_options_are_refused_by_name(origin: &mut impl Origin) -> Verdict {
    origin.publish(&[(APP, b"one")]);
    let mut options = origin.options();
    options.insert("no-such-option".to_owned(), vec!["hunter2".to_owned()]);
    let error = origin.registry().open(&origin.source(), &options).expect_err("an unknown option is taken");
    assert!(error.to_string().contains("`no-such-option`"), "the option is not named: {error}");
    assert!(!format!("{error:?}").contains("hunter2"), "its value is shown");
    Ok(())
}

fn name(text: &str) -> AssetName {
    AssetName::new(text).expect("the rules use plain names")
}

fn open(origin: &impl Origin) -> Box<dyn Fetcher> {
    open_with(origin, &origin.options())
}

fn open_with(origin: &impl Origin, options: &Options) -> Box<dyn Fetcher> {
    origin.registry().open(&origin.source(), options).expect("the origin's own options are accepted")
}

async fn offered(fetcher: &dyn Fetcher) -> Release {
    match soon(fetcher.poll(None)).await.expect("the poll succeeds") {
        Polled::Offers(release) => release,
        Polled::Unchanged | Polled::Renewed(_) => panic!("a poll without a revision is unchanged"),
    }
}

async fn since(fetcher: &dyn Fetcher, before: &Release) -> Release {
    match soon(fetcher.poll(Some(&before.revision))).await.expect("the poll succeeds") {
        Polled::Offers(release) => release,
        Polled::Unchanged | Polled::Renewed(_) => panic!("the new release is not offered"),
    }
}

async fn refused(fetcher: &dyn Fetcher) -> FetchError {
    soon(fetcher.poll(None)).await.expect_err("the poll succeeds")
}

async fn bytes(fetcher: &dyn Fetcher, release: &Release, asset: &str) -> Vec<u8> {
    let body = soon(fetcher.open(release, &name(asset), &Start::default())).await.expect("the asset opens");
    assert_eq!(body.start, 0, "a body from the beginning begins later");
    let total = body.total;
    let bytes = soon(read(body)).await.expect("the asset can be read");
    assert!(total.is_none_or(|total| total == bytes.len() as u64), "{total:?} bytes are announced");
    bytes
}

async fn read(mut body: Body) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.stream.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

/// The error that a body ends with under `fault`, before all of its bytes have come.
async fn broken_body(origin: &mut impl Origin, fault: Fault) -> Result<FetchError, Declined> {
    let app = pattern(1_000_000, 1);
    origin.publish(&[(APP, &app)]);
    let fetcher = open(origin);
    let release = offered(&*fetcher).await;
    origin.inject(fault)?;
    match soon(fetcher.open(&release, &name(APP), &Start::default())).await {
        Ok(body) => Ok(soon(read(body)).await.expect_err("the broken body is taken for a whole one")),
        Err(error) => Ok(error),
    }
}

async fn reaches(origin: &impl Origin, count: usize) -> bool {
    let reached = async {
        while origin.open_bodies() != Ok(count) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, reached).await.is_ok()
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.expect("it takes no longer than 20 s")
}

/// Bytes without a period that a buffer's size could hide.
fn pattern(size: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

fn append(text: &mut String, error: &FetchError) {
    let _ = write!(text, "{error} {error:?} ");
    let mut source = error.source();
    while let Some(next) = source {
        let _ = write!(text, "{next} {next:?} ");
        source = next.source();
    }
}
