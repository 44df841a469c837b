//! `file:` against real directories.
#![cfg(feature = "file")]
// A test may stop at anything unexpected, its helpers too.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::future::Future;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fetchd_fetchers::{
    AssetName, Body, ConfigError, DOCUMENT_LIMIT, FetchError, Fetcher, Kind, Options, Polled, Registry, Release, Retry,
    Start,
};
use futures_util::StreamExt;
use tempfile::tempdir;
use url::Url;

fn settle(time: &str) -> Options {
    Options::from([("settle".to_owned(), vec![time.to_owned()])])
}

fn fetcher(path: &Path) -> Box<dyn Fetcher> {
    Registry::builtin().open(&Url::from_file_path(path).unwrap(), &settle("0s")).unwrap()
}

fn refused(url: &str, options: &Options) -> ConfigError {
    Registry::builtin().open(&Url::parse(url).unwrap(), options).unwrap_err()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn poll(fetcher: &dyn Fetcher) -> Result<Release, FetchError> {
    match run(fetcher.poll(None))? {
        Polled::Offers(release) => Ok(release),
        Polled::Unchanged | Polled::Renewed(_) => panic!("unchanged without a revision"),
    }
}

fn open(fetcher: &dyn Fetcher, release: &Release, name: &str, start: &Start) -> Result<Body, FetchError> {
    run(fetcher.open(release, &AssetName::new(name).unwrap(), start))
}

fn read(mut body: Body) -> Result<Vec<u8>, FetchError> {
    run(async {
        let mut bytes = Vec::new();
        while let Some(chunk) = body.stream.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes)
    })
}

#[test]
fn a_link_that_is_pointed_elsewhere_is_seen() {
    let directory = tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for version in ["1", "2"] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("app"), version).unwrap();
    }
    symlink("1", at("current")).unwrap();
    let fetcher = fetcher(&at("current/app"));
    let first = poll(&*fetcher).unwrap();
    symlink("2", at("next")).unwrap();
    fs::rename(at("next"), at("current")).unwrap();
    let Polled::Offers(second) = run(fetcher.poll(Some(&first.revision))).unwrap() else { panic!("unchanged") };
    assert_eq!(read(open(&*fetcher, &second, "app", &Start::default()).unwrap()).unwrap(), b"2");
    assert_eq!(open(&*fetcher, &first, "app", &Start::default()).unwrap_err().kind(), Kind::Changed);
}

#[test]
fn a_file_that_was_written_just_now_is_not_offered() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("app");
    let file = File::create(&path).unwrap();
    let fetcher = Registry::builtin().open(&Url::from_file_path(&path).unwrap(), &settle("1h")).unwrap();
    let error = poll(&*fetcher).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Kind::Incomplete, Retry::After(Duration::from_secs(3600))));
    assert!(error.to_string().contains("may still be being written"), "{error}");
    // As a file has that was written elsewhere and renamed into place.
    file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
    assert!(poll(&*fetcher).is_ok());
    // A clock that was wrong once must not hold up updates for ever.
    file.set_modified(SystemTime::now() + Duration::from_secs(7200)).unwrap();
    assert!(poll(&*fetcher).is_ok());
}

#[test]
fn a_second_is_the_time_to_settle() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("app");
    let file = File::create(&path).unwrap();
    let fetcher = Registry::builtin().open(&Url::from_file_path(&path).unwrap(), &Options::new()).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_millis(1500)).unwrap();
    assert!(poll(&*fetcher).is_ok());
}

#[test]
fn the_query_holds_options_too() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("app");
    fs::write(&path, "x").unwrap();
    let mut url = Url::from_file_path(&path).unwrap();
    url.set_query(Some("settle=0s"));
    assert!(poll(&*Registry::builtin().open(&url, &Options::new()).unwrap()).is_ok());
    let error = refused("file:/srv/app?setle=1s", &Options::new());
    assert_eq!(error.message, "unknown option `setle`");
    assert_eq!(error.hint.as_deref(), Some("did you mean `settle`? there are `settle`"));
    let twice = refused("file:/srv/app?settle=1s", &settle("1s"));
    assert_eq!(twice.message, "the option `settle` is given 2 times, not once");
}

#[test]
fn a_directory_is_an_error_that_names_the_fix() {
    let directory = tempdir().unwrap();
    let error = poll(&*fetcher(directory.path())).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Kind::Misconfigured, Retry::Never));
    assert!(error.to_string().ends_with("is a directory, not a file; point the source at one file in it"), "{error}");
    for name in ["stable.fetchd", "beta.fetchd", "README"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    let error = poll(&*fetcher(directory.path())).unwrap_err();
    assert!(error.to_string().ends_with("point the source at one of `beta.fetchd`, `stable.fetchd`"), "{error}");
}

#[test]
fn a_pipe_or_a_device_is_refused_and_does_not_block() {
    let directory = tempdir().unwrap();
    let pipe = directory.path().join("app");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for path in [pipe.as_path(), Path::new("/dev/null")] {
        let error = poll(&*fetcher(path)).unwrap_err();
        assert_eq!(error.kind(), Kind::Misconfigured, "{error}");
    }
    // The pipe took the place of a file after the poll, or is a sibling.
    let bundle = directory.path().join("stable.fetchd");
    fs::write(&bundle, "{}").unwrap();
    let fetcher = fetcher(&bundle);
    let release = poll(&*fetcher).unwrap();
    assert_eq!(open(&*fetcher, &release, "app", &Start::default()).unwrap_err().kind(), Kind::Misconfigured);
}

#[test]
fn a_missing_file_does_not_exist_yet() {
    let directory = tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    symlink("nowhere", directory.path().join("dangling")).unwrap();
    for name in ["app", "no/such/app", "file/app", "dangling"] {
        let error = poll(&*fetcher(&directory.path().join(name))).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.to_string().ends_with("does not exist yet"), "{error}");
    }
}

#[test]
fn siblings_are_relative_to_the_path_as_given() {
    let directory = tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("store/1.2.0")).unwrap();
    fs::write(at("store/app"), "app").unwrap();
    fs::write(at("store/app.minisig"), "of the store").unwrap();
    symlink("store/app", at("app")).unwrap();
    fs::write(at("app.minisig"), "beside the link").unwrap();
    fs::create_dir(at("1.2.0")).unwrap();
    fs::write(at("1.2.0/app"), "older").unwrap();
    let fetcher = fetcher(&at("app"));
    let release = poll(&*fetcher).unwrap();
    for (name, bytes) in [("app.minisig", "beside the link"), ("1.2.0/app", "older"), ("app", "app")] {
        let body = open(&*fetcher, &release, name, &Start::default()).unwrap();
        assert_eq!(read(body).unwrap(), bytes.as_bytes());
    }
}

#[test]
fn a_small_document_is_read_by_the_poll() {
    let directory = tempdir().unwrap();
    for (name, document) in [("stable.fetchd", true), ("latest.json", true), ("app", false)] {
        let path = directory.path().join(name);
        fs::write(&path, "{}").unwrap();
        let release = poll(&*fetcher(&path)).unwrap();
        assert_eq!(release.document.as_deref(), document.then_some(&b"{}"[..]), "{name}");
        assert_eq!(release.assets[0].size, Some(2));
    }
}

#[test]
fn a_document_too_large_is_an_error_that_names_the_limit() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("stable.fetchd");
    File::create(&path).unwrap().set_len(DOCUMENT_LIMIT + 1).unwrap();
    let error = poll(&*fetcher(&path)).unwrap_err();
    assert!(error.to_string().ends_with("is 524,289 bytes; a document is at most 524,288 bytes"), "{error}");
}

#[test]
fn a_file_written_to_while_it_is_read_is_changed() {
    for truncate in [false, true] {
        let directory = tempdir().unwrap();
        let path = directory.path().join("app");
        fs::write(&path, vec![1; 2 * 1024 * 1024]).unwrap();
        let fetcher = fetcher(&path);
        let release = poll(&*fetcher).unwrap();
        let body = open(&*fetcher, &release, "app", &Start::default()).unwrap();
        let mut file = File::options().write(true).open(&path).unwrap();
        if truncate {
            file.set_len(10).unwrap();
        } else {
            file.write_all(b"overwritten").unwrap();
        }
        // Not left to the resolution of the clock.
        file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
        assert_eq!(read(body).unwrap_err().kind(), Kind::Changed, "truncate: {truncate}");
    }
}

#[test]
fn a_file_replaced_while_it_is_read_still_gives_the_bytes_that_were_polled() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("app");
    fs::write(&path, vec![1; 2 * 1024 * 1024]).unwrap();
    let fetcher = fetcher(&path);
    let release = poll(&*fetcher).unwrap();
    let body = open(&*fetcher, &release, "app", &Start::default()).unwrap();
    fs::write(path.with_extension("new"), vec![2; 2 * 1024 * 1024]).unwrap();
    fs::rename(path.with_extension("new"), &path).unwrap();
    assert!(read(body).unwrap().iter().all(|byte| *byte == 1));
}

#[test]
fn a_body_is_resumed_only_with_the_file_it_began_with() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("stable.fetchd");
    fs::write(&path, "{}").unwrap();
    let app = directory.path().join("app");
    fs::write(&app, "0123456789").unwrap();
    let fetcher = fetcher(&path);
    let release = poll(&*fetcher).unwrap();
    let validator = open(&*fetcher, &release, "app", &Start::default()).unwrap().validator;
    let start = Start { byte: 4, validator };
    let body = open(&*fetcher, &release, "app", &start).unwrap();
    assert_eq!((body.start, body.total, read(body).unwrap()), (4, Some(10), b"456789".to_vec()));
    let past = Start { byte: 11, ..start.clone() };
    assert_eq!(open(&*fetcher, &release, "app", &past).unwrap().start, 0);
    fs::write(app.with_extension("new"), "abcdefghij").unwrap();
    fs::rename(app.with_extension("new"), &app).unwrap();
    let body = open(&*fetcher, &release, "app", &start).unwrap();
    assert_eq!((body.start, read(body).unwrap()), (0, b"abcdefghij".to_vec()));
}

#[test]
fn a_url_that_names_no_file_of_this_machine_is_refused() {
    assert!(refused("file://server/share/app", &Options::new()).message.ends_with("names no file of this machine"));
    assert!(refused("file:/", &Options::new()).message.ends_with("does not end in the name of a file"));
    assert_eq!(refused("file:/srv/app#2", &Options::new()).message, "the source has a `#`");
}
