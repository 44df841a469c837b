//! The same signed bundle from a file, from a web server, from S3 and from GitHub: one verdict, and the same bytes.
//! What carries a release decides nothing about it.

#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

#[path = "support/site.rs"]
mod site;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use fetchd::clock::Timestamp;
use fetchd::demo::Trailer;
use fetchd::digest::Sha256;
use fetchd::failure::Failure as _;
use fetchd::fetch::{
    DownloadJob, Limits, LocalWorker, Meant, PollJob, PollReply, Source, Unattended, Want, Worker as _,
};
use fetchd::publish::{Publisher, host_target};
use fetchd::state::Record;
use fetchd::trust::{self, Choice, Offer, Policy, Trust};
use fetchd_fetchers::conformance::scripted::ScriptedOrigin;
use fetchd_fetchers::{Options, Registry, parse_source};
use fetchd_stand_ins::github::GitHub;
use fetchd_stand_ins::s3::S3Server;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use site::{Site, text};
use url::Url;

const REPOSITORY: &str = "acme/app";
const POINTER: &str = "stable.fetchd";

/// Four places that show the files of one directory.
struct Places {
    web: ScriptedOrigin,
    s3: S3Server,
    github: GitHub,
    tag: String,
}

impl Places {
    fn new() -> Places {
        let github = GitHub::start();
        github.limit(1_000_000);
        Places { web: ScriptedOrigin::start(), s3: S3Server::start(), github, tag: String::new() }
    }

    /// Shows the files of `directory` everywhere, and where they are.
    fn show(&mut self, directory: &Path) -> [(&'static str, Url, Options); 4] {
        let files: Vec<(String, Vec<u8>)> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
            .collect();
        for key in self.s3.keys() {
            self.s3.remove(&key);
        }
        if !self.tag.is_empty() {
            self.github.delete_release(REPOSITORY, &self.tag);
        }
        self.tag = "v1.0.0".to_owned();
        let mut release = self.github.release(REPOSITORY, &self.tag);
        let folder = directory.file_name().unwrap().to_str().unwrap();
        for (name, bytes) in &files {
            self.web.put(&format!("/{folder}/{name}"), bytes);
            self.s3.put(name, bytes.clone());
            release = release.asset(name, bytes);
        }
        release.publish();
        let file = parse_source(&format!("file:{}/{POINTER}?settle=0s", directory.display())).unwrap();
        let direct = Options::from([("proxy".to_owned(), vec!["none".to_owned()])]);
        [
            ("file", file, Options::new()),
            ("http", self.web.url(&format!("/{folder}/{POINTER}")), direct),
            ("s3", self.s3.source(POINTER), self.s3.options()),
            ("github", self.github.source(REPOSITORY), self.github.options()),
        ]
    }
}

/// What is done to a release after it was signed, or with the wrong key.
#[derive(Debug, Clone)]
enum Deed {
    Nothing,
    FlipInBundle(prop::sample::Index),
    CutBundle(prop::sample::Index),
    FlipInArtifact(prop::sample::Index),
    CutArtifact(prop::sample::Index),
    LongerArtifact,
    NoArtifact,
    Stranger,
    OtherChannel,
    OtherProduct,
    OtherTarget,
    Expired,
    FromTheFuture,
    Yanked,
    Revoked,
    Rollout(u8),
}

fn deed() -> impl Strategy<Value = Deed> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        Just(Deed::Nothing),
        at().prop_map(Deed::FlipInBundle),
        at().prop_map(Deed::CutBundle),
        at().prop_map(Deed::FlipInArtifact),
        at().prop_map(Deed::CutArtifact),
        Just(Deed::LongerArtifact),
        Just(Deed::NoArtifact),
        Just(Deed::Stranger),
        Just(Deed::OtherChannel),
        Just(Deed::OtherProduct),
        Just(Deed::OtherTarget),
        Just(Deed::Expired),
        Just(Deed::FromTheFuture),
        Just(Deed::Yanked),
        Just(Deed::Revoked),
        (0..=100_u8).prop_map(Deed::Rollout),
    ]
}

/// Publishes `binary` into `directory`, and does the deed. Whether the release may still be taken after it.
fn publish(directory: &Path, publisher: &Publisher, binary: &[u8], deed: &Deed) -> bool {
    let publisher = publisher.clone().dir(directory);
    let month = Duration::from_secs(30 * 24 * 3600);
    match deed {
        Deed::Stranger => drop(Publisher::new(directory).unwrap().publish("1.2.0", binary).unwrap()),
        Deed::OtherTarget => {
            drop(publisher.clone().target("riscv64gc-unknown-linux-gnu").publish("1.2.0", binary).unwrap());
        }
        Deed::Rollout(percent) => {
            let rollout = trust::manifest::Rollout { percent: *percent, salt: "1.2.0".to_owned() };
            publisher.publish_with("1.2.0", binary, |release| release.rollout = Some(rollout)).unwrap();
        }
        _ => drop(publisher.publish("1.2.0", binary).unwrap()),
    }
    let pointer = publisher.pointer();
    let artifact = directory.join(format!("app-1.2.0-{}", host_target()));
    let edit = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        // The artifact itself is read-only once it is published.
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let signed = signed_parts(&fs::read(&pointer).unwrap());
    let forge = |key: &str, value: String| publisher.forge(|manifest| manifest[key] = value.into()).unwrap();
    match deed {
        Deed::FlipInBundle(at) => edit(&pointer, &|bytes| {
            let at = at.index(bytes.len());
            bytes[at] ^= 1;
        }),
        Deed::CutBundle(at) => edit(&pointer, &|bytes| bytes.truncate(at.index(bytes.len()))),
        Deed::FlipInArtifact(at) => edit(&artifact, &|bytes| {
            let at = at.index(bytes.len());
            bytes[at] ^= 1;
        }),
        Deed::CutArtifact(at) => edit(&artifact, &|bytes| bytes.truncate(at.index(bytes.len()))),
        Deed::LongerArtifact => edit(&artifact, &|bytes| bytes.push(0)),
        Deed::NoArtifact => fs::remove_file(&artifact).unwrap(),
        Deed::OtherChannel => forge("channel", "beta".to_owned()),
        Deed::OtherProduct => forge("product", "other".to_owned()),
        Deed::Expired => forge("expires", "2020-01-01T00:00:00Z".to_owned()),
        Deed::FromTheFuture => forge("issued", Timestamp::now().plus(month).to_string()),
        Deed::Yanked => drop(publisher.yank("1.2.0").unwrap()),
        Deed::Revoked => drop(publisher.revoke("1.2.0", "it leaks").unwrap()),
        Deed::Nothing | Deed::Stranger | Deed::OtherTarget | Deed::Rollout(_) => {}
    }
    match deed {
        Deed::Nothing | Deed::Rollout(_) => true,
        Deed::FlipInBundle(_) | Deed::CutBundle(_) => {
            signed.is_some() && signed_parts(&fs::read(&pointer).unwrap()) == signed
        }
        _ => false,
    }
}

/// What the key signed of a bundle: its payload, and its signatures without their first lines, which are
/// comments that nobody signs. The file's last line feed is no part of it either.
fn signed_parts(bundle: &[u8]) -> Option<(String, Vec<String>)> {
    let value: serde_json::Value = serde_json::from_slice(bundle).ok()?;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let signature = |value: &serde_json::Value| Some(text(value)?.split_once('\n')?.1.to_owned());
    Some((text(&value["payload"])?, value["minisig"].as_array()?.iter().map(signature).collect::<Option<_>>()?))
}

/// What a host that knows `publisher` makes of a source: a code, or the digest of what it would install.
fn verdict(worker: &mut LocalWorker, publisher: &Publisher, url: Url, options: Options, now: Timestamp) -> String {
    let source = Source { url, options };
    let limits = Limits { poll: Duration::from_secs(20), stall: Duration::from_secs(20), ..Limits::default() };
    let expect = publisher.expect();
    let meant = Meant {
        product: expect.product.clone(),
        channel: expect.channel.clone(),
        target: expect.target.clone(),
        pattern: None,
    };
    let job = PollJob { source: source.clone(), since: None, want: Want::Document, meant, limits: limits.clone() };
    let offered = match worker.poll(&job, &mut Unattended) {
        Ok(PollReply::Offers(offered)) => offered,
        Ok(other) => return format!("{other:?}"),
        Err(failure) => return failure.code().to_owned(),
    };
    let offer = Offer {
        release: &offered.release,
        document: offered.document.as_deref(),
        signature: None,
        asset: Some(&offered.asset),
    };
    let manifest = match trust::read(&offer, &Trust::Bundle { keys: publisher.keys().unwrap() }, &expect, now) {
        Ok(manifest) => manifest,
        Err(refused) => return refused.code().to_owned(),
    };
    let policy = Policy { host_id: Some("a host".to_owned()), ..Policy::default() };
    let chosen = match trust::choose(&manifest, &Record::default(), &policy, &expect, now) {
        Choice::Take(chosen) => *chosen,
        Choice::Held(refused) => return refused.code().to_owned(),
        Choice::UpToDate { .. } => return "up to date".to_owned(),
    };
    let staging = tempfile::tempdir().unwrap();
    let job = DownloadJob {
        source,
        release: offered.release,
        urls: chosen.urls().to_vec(),
        size: chosen.size(),
        sha256: chosen.sha256(),
        staging: staging.path().to_owned(),
        limits: Limits { max_size: chosen.max_size(), ..limits },
        key: "artifact".to_owned(),
    };
    match worker.download(&job, &mut Unattended) {
        Ok(downloaded) => Sha256::of(&fs::read(downloaded.path).unwrap()).to_string(),
        Err(failure) => failure.code().to_owned(),
    }
}

#[test]
fn every_transport_gives_the_same_verdict_and_the_same_bytes() {
    let publisher = Publisher::new("unused").unwrap();
    let world = RefCell::new((Places::new(), LocalWorker::new(Registry::builtin()).unwrap()));
    let (taken, refused) = (Cell::new(0), RefCell::new(BTreeSet::new()));
    let binary = proptest::collection::vec(any::<u8>(), 1..3000);
    let mut runner =
        TestRunner::new(Config { cases: 96, max_shrink_iters: 20, failure_persistence: None, ..Config::default() });
    let done = runner.run(&(deed(), binary), |(deed, binary)| {
        let directory = tempfile::tempdir().unwrap();
        let harmless = publish(directory.path(), &publisher, &binary, &deed);
        let now = Timestamp::now();
        let (places, worker) = &mut *world.borrow_mut();
        let verdicts = places
            .show(directory.path())
            .map(|(name, url, options)| (name, verdict(worker, &publisher, url, options, now)));
        for (name, verdict) in &verdicts[1..] {
            prop_assert_eq!(verdict, &verdicts[0].1, "{} after {:?}", name, &deed);
        }
        let right = Sha256::of(&binary).to_string();
        prop_assert!(harmless || verdicts[0].1 != right, "{:?} was not noticed", deed);
        if verdicts[0].1 == right {
            taken.set(taken.get() + 1);
        } else {
            refused.borrow_mut().insert(verdicts[0].1.clone());
        }
        Ok(())
    });
    done.unwrap();
    assert!(taken.get() > 0, "something must have been taken");
    let refused = refused.into_inner();
    assert!(refused.len() >= 5, "only these refusals were seen: {refused:?}");
}

/// Found by the test above: neither edit touches a byte that was signed.
#[test]
fn the_last_line_feed_and_the_unsigned_comment_of_a_bundle_prove_nothing() {
    let publisher = Publisher::new("unused").unwrap();
    let directory = tempfile::tempdir().unwrap();
    assert!(publish(directory.path(), &publisher, b"a binary", &Deed::Nothing));
    let pointer = fs::read(publisher.dir(directory.path()).pointer()).unwrap();
    let cut = &pointer[..pointer.len() - 1];
    let comment = String::from_utf8(pointer.clone()).unwrap().replace("signed with fetchd", "signed with nothing");
    assert!(cut != pointer && comment.as_bytes() != pointer, "both must be edits");
    for edited in [cut, comment.as_bytes()] {
        assert_eq!(signed_parts(edited), signed_parts(&pointer));
    }
    let tail = &pointer[..pointer.len() - 2];
    assert_eq!(signed_parts(tail), None, "without its brace it is no bundle");
}

#[test]
fn every_transport_installs_the_same_bytes() {
    let mut places = Places::new();
    let origin = Site::new();
    origin.publish(&Trailer::version("1.1.0"));
    let expected = origin.binary(&Trailer::version("1.1.0"));
    for (name, url, options) in places.show(&origin.path().join("pub")) {
        let site = Site::new().following(url.as_str());
        let mut command = std::process::Command::new(site::FETCHD);
        command.args(["apply", "--product", "app", "--signature", "bundle", "--source", url.as_str()]);
        command.args(["--key", &origin.publisher.public_key().to_string(), "--state-dir"]).arg(site.state_dir());
        for (option, values) in &options {
            for value in values {
                command.args(["--source-options", &format!("{option}={value}")]);
            }
        }
        let output = command.arg("--").arg(site.program()).current_dir(site.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {}", text(&output));
        assert!(fs::read(site.program()).unwrap() == expected, "{name} installed other bytes");
        assert_eq!(site.record().confirmed.unwrap().sha256, Sha256::of(&expected), "{name}");
    }
}
