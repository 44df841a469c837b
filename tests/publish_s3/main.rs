//! A channel in a bucket: what hosts find there after every kind of trouble, and after a race.

#![cfg(all(feature = "cli", feature = "s3"))]
#![allow(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

mod deltas;
mod memory;
mod program;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use fetchd::clock::Timestamp;
use fetchd::digest::Sha256;
use fetchd::failure::Failure as _;
use fetchd::publish::{
    ArtifactFile, BucketPlace, NewRelease, PublishError, PublishOptions, Published, SigningKey, publish,
};
use fetchd::trust::{self, Expect, KeySet, Manifest, Offer, Trust};
use fetchd_fetchers::{Options, Polled, Registry, Release, Revision};
use fetchd_stand_ins::s3::{Fault, Operation, Refusal, S3Server, VERSIONED, When};
use fetchd_stand_ins::seaweed::Seaweed;
use tempfile::TempDir;
use url::Url;

const POINTER: &str = "web/stable.fetchd";

/// A release engineer with a key and a directory of builds, and the server that the channel is kept on.
struct Desk {
    server: S3Server,
    key: SigningKey,
    dir: TempDir,
}

impl Desk {
    fn new() -> Desk {
        Desk { server: S3Server::start(), key: SigningKey::generate().unwrap(), dir: tempfile::tempdir().unwrap() }
    }

    /// One whose channel holds 1.0.0.
    fn with_channel() -> Desk {
        let desk = Desk::new();
        desk.publish("1.0.0", &[("here", b"one")]).unwrap();
        desk.server.clear_requests();
        desk
    }

    fn place(&self) -> BucketPlace {
        self.place_at(&self.server.source("web"))
    }

    fn place_at(&self, url: &Url) -> BucketPlace {
        BucketPlace::open(url, &self.server.options()).unwrap()
    }

    fn release(&self, version: &str, artifacts: &[(&str, &[u8])]) -> NewRelease {
        let artifact = |(target, bytes): &(&str, &[u8])| {
            let path = self.dir.path().join(format!("app-{version}-{target}"));
            fs::write(&path, bytes).unwrap();
            ArtifactFile { target: (*target).to_owned(), path, format: None, entry: None }
        };
        NewRelease::new(version.parse().unwrap(), artifacts.iter().map(artifact).collect())
    }

    fn publish(&self, version: &str, artifacts: &[(&str, &[u8])]) -> Result<Published<Url>, PublishError> {
        self.publish_to(&self.place(), self.release(version, artifacts))
    }

    fn publish_to(&self, place: &BucketPlace, release: NewRelease) -> Result<Published<Url>, PublishError> {
        let mut options = PublishOptions::at(place, "web", "stable", std::slice::from_ref(&self.key));
        options.release = Some(release);
        options.keep = 64;
        publish(&options)
    }

    /// The channel as a host reads it: signed, and every artifact that is listed is there and whole.
    fn manifest(&self) -> Manifest {
        let manifest = read(&self.key, &self.server.get(POINTER).unwrap());
        for artifact in manifest.releases().iter().flat_map(|release| &release.artifacts) {
            let there = self.server.get(&format!("web/{}", artifact.urls[0])).unwrap();
            assert_eq!(Some(Sha256::of(&there)), artifact.sha256, "{}", artifact.urls[0]);
        }
        manifest
    }

    /// `version/target` of everything that is listed.
    fn listed(&self) -> BTreeSet<String> {
        let manifest = self.manifest();
        let of = |release: &trust::manifest::Release| {
            let version = release.version.as_ref().unwrap().to_string();
            release
                .artifacts
                .iter()
                .map(move |artifact| format!("{version}/{}", artifact.target.as_ref().unwrap()))
                .collect::<Vec<_>>()
        };
        manifest.releases().iter().flat_map(of).collect()
    }

    fn puts(&self, key: &str) -> usize {
        let put = |request: &&fetchd_stand_ins::s3::Request| {
            request.operation == Operation::Put && request.key.starts_with(key)
        };
        self.server.requests().iter().filter(put).count()
    }
}

/// A pointer as a host reads it that trusts `key`.
fn read(key: &SigningKey, document: &[u8]) -> Manifest {
    let keys = KeySet::new(vec![key.public().clone()], 1).unwrap();
    let release = Release { revision: Revision(String::new()), label: None, assets: Vec::new(), document: None };
    let offer = Offer { release: &release, document: Some(document), signature: None, asset: None };
    let expect = Expect {
        product: "web".into(),
        channel: "stable".into(),
        target: "here".into(),
        epoch: None,
        max_size: u64::MAX,
    };
    trust::read(&offer, &Trust::Bundle { keys }, &expect, Timestamp::now()).unwrap()
}

#[test]
fn a_release_is_put_beside_its_pointer_and_says_how_it_may_be_kept() {
    let desk = Desk::new();
    let published = desk.publish("1.0.0", &[("here", b"one"), ("there", b"uno")]).unwrap();
    assert_eq!(published.pointer.as_str(), "s3://releases/web/stable.fetchd");
    assert_eq!(published.artifacts[1].as_str(), "s3://releases/web/web-1.0.0-there");
    assert_eq!(desk.server.keys(), [POINTER, "web/web-1.0.0-here", "web/web-1.0.0-there"]);
    assert_eq!(desk.listed(), BTreeSet::from(["1.0.0/here".into(), "1.0.0/there".into()]));
    let requests = desk.server.requests();
    let writes: Vec<_> = requests.iter().filter(|request| request.operation == Operation::Put).collect();
    // The pointer is last, and nobody may keep it without asking.
    assert_eq!(writes.last().unwrap().key, POINTER);
    assert_eq!(writes.last().unwrap().header("cache-control"), Some("no-cache"));
    for write in &writes[..2] {
        assert_eq!(write.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(write.header("if-none-match"), Some("*"));
        assert!(write.header("x-amz-checksum-sha256").is_some());
    }
    let second = desk.publish("1.1.0", &[("here", b"two")]).unwrap();
    assert_eq!(second.seq, 2);
    assert!(desk.listed().contains("1.1.0/here"));
}

#[test]
fn a_prefix_may_be_empty_or_end_in_a_slash() {
    let desk = Desk::new();
    for (prefix, pointer) in [("", "stable.fetchd"), ("a/b/", "a/b/stable.fetchd"), ("c", "c/stable.fetchd")] {
        let place = desk.place_at(&desk.server.source(prefix));
        desk.publish_to(&place, desk.release("1.0.0", &[("here", b"one")])).unwrap();
        assert!(desk.server.get(pointer).is_some(), "{prefix}");
    }
    let place = desk.place_at(&desk.server.source("c"));
    let source = place.source("stable.fetchd");
    let endpoint = desk.server.endpoint();
    assert_eq!(source.query_pairs().count(), 2, "{source}");
    assert!(source.query_pairs().any(|(name, value)| name == "endpoint" && endpoint.as_str().starts_with(&*value)));
    for wrong in ["c/stable.fetchd", "c?version_id=1", "c?colour=red"] {
        let url = Url::parse(&format!("s3://releases/{wrong}")).unwrap();
        let error = BucketPlace::open(&url, &desk.server.options()).unwrap_err();
        assert_eq!((error.code(), error.exit().number()), ("publish.destination", 64), "{error}");
    }
}

#[test]
fn of_32_publishers_each_succeeds_or_says_so() {
    // As AWS, and a few more as Ceph.
    for (quirk, publishers) in [(None, 32), (Some(Fault::EtagsUnquoted), 8)] {
        let desk = Desk::with_channel();
        if let Some(quirk) = &quirk {
            desk.server.inject(quirk.clone(), When::any());
        }
        let barrier = Barrier::new(publishers);
        let race = |number: usize| {
            // Half of them bring versions of their own, half of them targets of one version.
            let (version, target) = match number % 2 {
                0 => (format!("1.{}.0", number + 1), "here".to_owned()),
                _ => ("2.0.0".to_owned(), format!("target-{number}")),
            };
            let bytes = format!("bytes of {number}").into_bytes();
            let (place, release) = (desk.place(), desk.release(&version, &[(&target, &bytes)]));
            barrier.wait();
            let mut conflicts = 0;
            loop {
                match desk.publish_to(&place, release.clone()) {
                    Ok(_) => return (format!("{version}/{target}"), conflicts),
                    Err(error @ PublishError::Conflict(_)) => {
                        assert_eq!((error.code(), error.exit().number()), ("publish.conflict", 75));
                        conflicts += 1;
                    }
                    Err(error) => panic!("{number}: {error:?}"),
                }
            }
        };
        let published: Vec<(String, usize)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..publishers).map(|number| scope.spawn(move || race(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut expected: BTreeSet<String> = published.iter().map(|(name, _)| name.clone()).collect();
        expected.insert("1.0.0/here".to_owned());
        assert_eq!(desk.listed(), expected, "{quirk:?}");
        assert!(published.iter().any(|(_, conflicts)| *conflicts > 0), "nobody met anybody");
        // Each number was given once: one winner for every swap.
        let swaps = desk.server.requests().into_iter().filter(|request| {
            request.operation == Operation::Put && request.key == POINTER && request.status == Some(200)
        });
        assert_eq!(Some(swaps.count() as u64 + 1), desk.manifest().seq(), "{quirk:?}");
    }
}

/// What publishing a release with two artifacts asks of the store, when nothing goes wrong.
fn requests_of_a_publish() -> usize {
    let desk = Desk::with_channel();
    desk.publish("1.1.0", &[("here", b"two"), ("there", b"due")]).unwrap();
    desk.server.requests().len()
}

#[test]
fn one_failure_at_any_request_is_got_over_or_leaves_the_channel() {
    let count = requests_of_a_publish();
    assert!(count >= 8, "{count}");
    let faults = [
        Fault::LostRequest,
        Fault::LostReply,
        Fault::Refuse(Refusal::InternalError),
        Fault::RefuseAfter(Refusal::InternalError),
        Fault::Refuse(Refusal::ServiceUnavailable),
        Fault::Refuse(Refusal::Conflict),
        Fault::RefuseAfter(Refusal::Conflict),
    ];
    let fail = |fault: &Fault, nth: usize| {
        let desk = Desk::with_channel();
        desk.server.inject(fault.clone(), When::any().nth(nth));
        let artifacts: [(&str, &[u8]); 2] = [("here", b"two"), ("there", b"due")];
        desk.publish("1.1.0", &artifacts).unwrap_or_else(|error| panic!("{fault:?} at {nth}: {error:?}"));
        assert_eq!(desk.listed().len(), 3, "{fault:?} at {nth}");
        assert_eq!(desk.manifest().seq(), Some(2), "{fault:?} at {nth}");
        assert_eq!(desk.server.keys().len(), 4, "{fault:?} at {nth}");
    };
    thread::scope(|scope| {
        for fault in &faults {
            scope.spawn(move || (1..=count).for_each(|nth| fail(fault, nth)));
        }
    });
}

#[test]
fn an_interrupted_publish_leaves_the_channel_and_can_be_repeated() {
    let count = requests_of_a_publish();
    let interrupt = |fault: Fault, nth: usize| {
        let desk = Desk::with_channel();
        let before = desk.server.get(POINTER).unwrap();
        desk.server.inject(fault.clone(), When::any().from(nth));
        let artifacts: [(&str, &[u8]); 2] = [("here", b"two"), ("there", b"due")];
        let error = desk.publish("1.1.0", &artifacts).unwrap_err();
        let swapped = desk.server.get(POINTER).unwrap() != before;
        // Only what is said to be unknown may have happened.
        assert!(!swapped || matches!(error, PublishError::Unconfirmed(_)), "{fault:?} from {nth}: {error:?}");
        assert!(desk.listed().contains("1.0.0/here"));
        assert_eq!(error.exit().number(), 30, "{fault:?} from {nth}: {error:?}");
        assert!(error.hint().is_some());
        desk.server.clear();
        desk.publish("1.1.0", &artifacts).unwrap();
        assert_eq!(desk.listed().len(), 3);
        assert_eq!(desk.server.keys().len(), 4);
    };
    thread::scope(|scope| {
        for nth in 1..=count {
            scope.spawn(move || interrupt(Fault::Refuse(Refusal::AccessDenied), nth));
            scope.spawn(move || interrupt(Fault::LostRequest, nth));
            scope.spawn(move || interrupt(Fault::LostReply, nth));
        }
    });
}

#[test]
fn a_lost_answer_is_no_second_write() {
    for (key, what) in [("web/web-1.1.0-here", "an artifact"), (POINTER, "the pointer")] {
        for fault in [Fault::LostReply, Fault::RefuseAfter(Refusal::InternalError)] {
            let desk = Desk::with_channel();
            desk.server.inject(fault.clone(), When::any().operation(Operation::Put).key(key).once());
            desk.publish("1.1.0", &[("here", b"two")]).unwrap();
            assert_eq!((desk.puts(key), desk.puts("web/")), (1, 2), "{what}: {fault:?}");
            assert_eq!(desk.manifest().seq(), Some(2));
        }
    }
}

#[test]
fn whoever_comes_second_changes_nothing_and_can_go_on() {
    // As AWS, as Ceph, and as those that ignore conditions.
    for quirk in [None, Some(Fault::EtagsUnquoted), Some(Fault::ConditionsIgnored)] {
        let desk = Desk::with_channel();
        if let Some(quirk) = &quirk {
            desk.server.inject(quirk.clone(), When::any());
        }
        let mut release = desk.release("1.1.0", &[("here", b"packed")]);
        release.artifacts[0].format = Some(trust::Format::TarGz);
        let place = desk.place();
        let publish_past_a_rival = |rival: bool| {
            let unpack = |_: &Path, _: trust::Format, _: Option<&str>| {
                if rival {
                    desk.publish("1.2.0", &[("here", b"theirs")]).unwrap();
                }
                Ok((Sha256::of(b"binary"), 6))
            };
            let mut options = PublishOptions::at(&place, "web", "stable", std::slice::from_ref(&desk.key));
            options.release = Some(release.clone());
            options.unpack = &unpack;
            publish(&options)
        };
        let error = publish_past_a_rival(true).unwrap_err();
        assert!(matches!(error, PublishError::Conflict(_)), "{quirk:?}: {error:?}");
        assert!(error.to_string().contains("s3://releases/web/stable.fetchd"), "{error}");
        assert_eq!(desk.listed(), BTreeSet::from(["1.0.0/here".into(), "1.2.0/here".into()]), "{quirk:?}");
        publish_past_a_rival(false).unwrap();
        assert_eq!(desk.listed().len(), 3, "{quirk:?}");
    }
}

#[test]
fn a_channel_that_somebody_else_begins_at_the_same_time_is_theirs() {
    for quirk in [None, Some(Fault::ConditionsIgnored)] {
        let desk = Desk::new();
        if let Some(quirk) = &quirk {
            desk.server.inject(quirk.clone(), When::any());
        }
        let (theirs, place) = (AtomicBool::new(false), desk.place());
        let progress = |_: fetchd::publish::Sending<'_>| {
            if !theirs.swap(true, Ordering::Relaxed) {
                let publish = || desk.publish("2.0.0", &[("here", b"theirs")]).unwrap();
                thread::scope(|scope| scope.spawn(publish).join().unwrap());
            }
        };
        let mut options = PublishOptions::at(&place, "web", "stable", std::slice::from_ref(&desk.key));
        options.release = Some(desk.release("1.0.0", &[("here", b"ours")]));
        options.progress = &progress;
        let error = publish(&options).unwrap_err();
        assert!(theirs.into_inner() && matches!(error, PublishError::Conflict(_)), "{quirk:?}: {error:?}");
        assert_eq!(desk.listed(), BTreeSet::from(["2.0.0/here".into()]));
    }
}

#[test]
fn a_swap_that_a_store_confirms_and_does_not_keep_is_a_conflict() {
    let desk = Desk::with_channel();
    desk.server.inject(Fault::ConditionsIgnored, When::any());
    let theirs = desk.server.get(POINTER).unwrap();
    desk.server.inject(Fault::ReplaceAfter(theirs), When::any().operation(Operation::Put).key(POINTER).once());
    let error = desk.publish("1.1.0", &[("here", b"two")]).unwrap_err();
    assert!(matches!(error, PublishError::Conflict(_)), "{error:?}");
    assert_eq!(desk.listed(), BTreeSet::from(["1.0.0/here".into()]));
}

#[test]
fn other_bytes_in_the_place_of_an_artifact_stay_and_are_said() {
    for quirk in [None, Some(Fault::ConditionsIgnored), Some(Fault::NoChecksums)] {
        let desk = Desk::with_channel();
        if let Some(quirk) = &quirk {
            desk.server.inject(quirk.clone(), When::any());
        }
        let before = desk.server.get(POINTER).unwrap();
        desk.server.put("web/web-1.1.0-here", "tow");
        let error = desk.publish("1.1.0", &[("here", b"two")]).unwrap_err();
        assert_eq!((error.code(), error.exit().number()), ("publish.exists", 64), "{error}");
        assert!(error.to_string().contains("s3://releases/web/web-1.1.0-here"), "{error}");
        assert_eq!((desk.server.get("web/web-1.1.0-here").unwrap(), desk.puts("web/")), ("tow".into(), 0));
        assert_eq!(desk.server.get(POINTER).unwrap(), before);
        // What a publish that was interrupted left behind is no obstacle.
        desk.server.put("web/web-1.1.0-here", "two");
        desk.publish("1.1.0", &[("here", b"two")]).unwrap();
        assert_eq!(desk.puts("web/"), 1);
    }
}

#[test]
fn a_bucket_that_keeps_versions_keeps_the_old_pointers() {
    let desk = Desk::new();
    let place = desk.place_at(&desk.server.source_in(VERSIONED, "web"));
    for (version, bytes) in [("1.0.0", b"one"), ("1.1.0", b"two"), ("1.2.0", b"six")] {
        desk.publish_to(&place, desk.release(version, &[("here", bytes)])).unwrap();
    }
    let bucket = desk.server.bucket(VERSIONED);
    assert_eq!((bucket.versions(POINTER).len(), bucket.versions("web/web-1.1.0-here").len()), (3, 1));
    // A channel that was deleted begins anew.
    bucket.remove(POINTER);
    assert_eq!(desk.publish_to(&place, desk.release("1.2.0", &[("here", b"six")])).unwrap().seq, 1);
}

#[test]
fn who_may_not_publish_is_told_why() {
    let desk = Desk::with_channel();
    let mut options = desk.server.options();
    options.insert("secret_access_key".to_owned(), vec!["hunter2".to_owned()]);
    let place = BucketPlace::open(&desk.server.source("web"), &options).unwrap();
    let error = desk.publish_to(&place, desk.release("1.1.0", &[("here", b"two")])).unwrap_err();
    assert_eq!((error.code(), error.exit().number()), ("publish.denied", 30), "{error}");
    assert!(error.to_string().contains("secret access key"), "{error}");
    assert!(!format!("{error:?} {place:?}").contains("hunter2"));
    let place = desk.place_at(&desk.server.source_in("nowhere", "web"));
    let error = desk.publish_to(&place, desk.release("1.1.0", &[("here", b"two")])).unwrap_err();
    assert_eq!(error.code(), "publish.not_found", "{error}");
    // May read, may not write.
    desk.server.inject(Fault::Refuse(Refusal::AccessDenied), When::any().operation(Operation::Put));
    let error = desk.publish("1.1.0", &[("here", b"two")]).unwrap_err();
    assert_eq!(error.code(), "publish.denied", "{error}");
    assert_eq!(desk.listed(), BTreeSet::from(["1.0.0/here".into()]));
}

/// What a host polls at `source`.
fn polled(source: &Url, options: &Options) -> Bytes {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let fetcher = Registry::builtin().open(source, options).unwrap();
    match runtime.block_on(fetcher.poll(None)).unwrap() {
        Polled::Offers(release) => release.document.unwrap(),
        Polled::Unchanged | Polled::Renewed(_) => panic!("unchanged, and nothing was seen before"),
    }
}

#[test]
fn a_host_follows_the_source_that_is_printed() {
    let desk = Desk::with_channel();
    let source = desk.place().source("stable.fetchd");
    assert_eq!(polled(&source, &desk.server.options()), desk.server.get(POINTER).unwrap());
}

#[test]
fn a_real_server_keeps_a_channel_that_eight_publish_to() {
    let server = Seaweed::start().unwrap_or_else(|error| panic!("{error}"));
    let key = SigningKey::generate().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let publish = |version: &str, target: &str, bytes: &[u8]| {
        let place = BucketPlace::open(&server.source("web"), &server.options()).unwrap();
        let path = dir.path().join(format!("{version}-{target}"));
        fs::write(&path, bytes).unwrap();
        let artifact = ArtifactFile { target: target.to_owned(), path, format: None, entry: None };
        let mut options = PublishOptions::at(&place, "web", "stable", std::slice::from_ref(&key));
        options.release = Some(NewRelease::new(version.parse().unwrap(), vec![artifact]));
        options.keep = 64;
        publish(&options)
    };
    let large = vec![7; 9_000_000];
    publish("1.0.0", "here", &large).unwrap();
    assert_eq!(publish("1.0.0", "here", b"other").unwrap_err().code(), "publish.exists");
    let race = |number: usize| {
        let (version, target) = (format!("1.{}.0", number / 2 + 1), format!("target-{}", number % 2));
        loop {
            match publish(&version, &target, version.as_bytes()) {
                Ok(_) => return,
                Err(PublishError::Conflict(_)) => {}
                Err(error) => panic!("{number}: {error:?}"),
            }
        }
    };
    thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || race(number));
        }
    });
    let place = BucketPlace::open(&server.source("web"), &server.options()).unwrap();
    let document = polled(&place.source("stable.fetchd"), &server.options());
    let manifest = read(&key, &document);
    assert_eq!((manifest.releases().len(), manifest.seq()), (5, Some(9)));
    assert_eq!(manifest.releases().iter().map(|release| release.artifacts.len()).sum::<usize>(), 9);
    assert_eq!(publish("1.0.0", "here", &large).unwrap().seq, 10);
}
