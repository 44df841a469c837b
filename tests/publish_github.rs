//! Publishing to a repository on GitHub: whole or not at all, whatever breaks off, and read by hosts.

// A test may stop at anything unexpected, its helpers too.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fetchd::clock::Timestamp;
use fetchd::digest::Sha256;
use fetchd::failure::Failure as _;
use fetchd::publish::{
    ArtifactFile, HostedRelease, KeyFiles, Protection, PublishError, PublishedRelease, Sending, SigningKey, keygen_at,
    publish_to_github,
};
use fetchd::trust::{self, Bound, Expect, KeySet, Offer, Proof, Signature, Trust, blake2b512};
use fetchd_fetchers::github::Repository;
use fetchd_fetchers::{AssetName, Polled, Registry, Release, Start};
use fetchd_stand_ins::github::{Fault, GitHub, On, Seen};
use futures_util::TryStreamExt as _;
use semver::Version;
use tempfile::TempDir;

const REPOSITORY: &str = "fetchd/web";
const TOKEN: &str = "ghp_of_a_member";
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];
/// To make the draft, to upload two artifacts, two signatures and the checksums, and to publish.
const WRITES: usize = 7;

/// A publisher with two artifacts, and the GitHub it publishes to.
struct Desk {
    github: GitHub,
    key: SigningKey,
    dir: TempDir,
    artifacts: Vec<ArtifactFile>,
}

impl Desk {
    fn new() -> Desk {
        Desk::of(GitHub::start())
    }

    fn of(github: GitHub) -> Desk {
        github.repository(REPOSITORY);
        github.token(TOKEN);
        let dir = TempDir::new().unwrap();
        let artifact = |target: &&str| {
            let path = dir.path().join(target);
            fs::write(&path, format!("the web server for {target}").repeat(1000)).unwrap();
            ArtifactFile { target: target.to_string(), path, format: None, entry: None }
        };
        let artifacts = TARGETS.iter().map(artifact).collect();
        Desk { github, key: SigningKey::generate().unwrap(), dir, artifacts }
    }

    fn publish(&self, version: &str) -> Result<PublishedRelease, PublishError> {
        self.publish_as(version, None, &|_| {})
    }

    fn publish_as(
        &self,
        version: &str,
        tag: Option<&str>,
        progress: &dyn Fn(Sending<'_>),
    ) -> Result<PublishedRelease, PublishError> {
        let options = self.github.options_with(TOKEN);
        let repository = Repository::open(&self.github.source(REPOSITORY), &options).unwrap();
        publish_to_github(&HostedRelease {
            repository: &repository,
            tag,
            product: "web",
            channel: "stable",
            version: &Version::parse(version).unwrap(),
            artifacts: &self.artifacts,
            key: &self.key,
            now: Timestamp::now(),
            unpack: &|_, _, _| Ok((Sha256::of(b"the binary"), 10)),
            progress,
            dry_run: false,
        })
    }

    /// The only release of the repository.
    fn only(&self) -> Seen {
        let mut releases = self.github.releases(REPOSITORY);
        assert_eq!(releases.len(), 1, "{releases:?}");
        releases.remove(0)
    }

    fn writes(&self) -> usize {
        self.github.requests().iter().filter(|request| request.method != "GET").count()
    }

    /// What a host without a token makes of the latest release: the version and the bytes it would take.
    fn host(&self, target: &str) -> (String, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fetcher = Registry::builtin().open(&self.github.source(REPOSITORY), &self.github.options()).unwrap();
            let Polled::Offers(release) = fetcher.poll(None).await.unwrap() else { panic!("nothing is offered") };
            let read = async |release: &Release, name: &AssetName| -> Vec<u8> {
                let body = fetcher.open(release, name, &Start::default()).await.unwrap();
                body.stream.try_fold(Vec::new(), async |all, chunk| Ok([&all[..], &chunk[..]].concat())).await.unwrap()
            };
            let wanted = release.assets.iter().find(|asset| asset.name.as_str().ends_with(target));
            let asset = wanted.expect("there is an artifact for the target").name.clone();
            let signature = read(&release, &AssetName::new(format!("{asset}.minisig")).unwrap()).await;
            let bytes = read(&release, &asset).await;
            let trust = Trust::Bound { keys: KeySet::new(vec![self.key.public().clone()], 1).unwrap() };
            let expect = Expect {
                product: "web".to_owned(),
                channel: "stable".to_owned(),
                target: target.to_owned(),
                epoch: None,
                max_size: 1 << 30,
            };
            let offer = Offer { release: &release, document: None, signature: Some(&signature), asset: Some(&asset) };
            let manifest = trust::read(&offer, &trust, &expect, Timestamp::now()).unwrap();
            let Proof::Artifact(proof) = manifest.proof() else { panic!("the signature is not of the artifact") };
            proof.check(&blake2b512(&bytes)).unwrap();
            let only = &manifest.releases()[0];
            assert_eq!(only.artifacts[0].binary_sha256, Some(Sha256::of(&bytes)));
            (only.version.as_ref().unwrap().to_string(), bytes)
        })
    }

    fn must_be_whole(&self, version: &str) {
        let release = self.only();
        assert!(!release.draft, "it is not public");
        let mut names: Vec<_> = release.assets.iter().map(|asset| asset.name.clone()).collect();
        names.sort();
        let artifacts = TARGETS.map(|target| format!("web-{version}-{target}"));
        let mut expected: Vec<_> =
            artifacts.iter().flat_map(|name| [name.clone(), format!("{name}.minisig")]).collect();
        expected.push("SHA256SUMS".to_owned());
        expected.sort();
        assert_eq!(names, expected);
        assert!(release.assets.iter().all(|asset| asset.state == "uploaded"), "{release:?}");
        for artifact in &self.artifacts {
            let (found, bytes) = self.host(&artifact.target);
            assert_eq!((found.as_str(), bytes == fs::read(&artifact.path).unwrap()), (version, true));
        }
    }

    fn cli(&self, args: &[&str]) -> Output {
        let token = self.github.options_with(TOKEN)["token_file"][0].clone();
        let to = format!("{}&proxy=none&token_file={token}", self.github.source(REPOSITORY));
        let key = self.key_file();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fetchd"));
        command.env_clear().args(["publish", "--to", &to, "--product", "web", "--target-check", "off"]);
        command.arg("--secret-key").arg(key).args(args).output().unwrap()
    }

    fn key_file(&self) -> PathBuf {
        let path = self.dir.path().join("release.key");
        if !path.exists() {
            let KeyFiles { .. } =
                keygen_at(&path, &self.dir.path().join("release.pub"), Protection::None, false).unwrap();
        }
        path
    }
}

#[test]
fn hosts_read_what_was_published() {
    for github in [GitHub::start(), GitHub::start_enterprise()] {
        let desk = Desk::of(github);
        let published = desk.publish("1.4.2").unwrap();
        assert_eq!((published.tag.as_str(), desk.writes()), ("v1.4.2", WRITES));
        assert!(published.assets.iter().all(|asset| !asset.kept));
        desk.must_be_whole("1.4.2");
        let release = desk.only();
        let sums = release.assets.iter().find(|asset| asset.name == "SHA256SUMS").unwrap();
        let mut lines: Vec<_> = desk
            .artifacts
            .iter()
            .map(|file| (format!("web-1.4.2-{}", file.target), Sha256::of(&fs::read(&file.path).unwrap())))
            .collect();
        lines.sort_by(|one, other| one.0.cmp(&other.0));
        let expected: String = lines.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
        assert_eq!(String::from_utf8(sums.bytes.clone()).unwrap(), expected);
    }
}

#[test]
fn an_archive_is_bound_with_its_entry_and_its_binary() {
    let mut desk = Desk::new();
    let path = desk.dir.path().join("web.tar.gz");
    fs::write(&path, "an archive").unwrap();
    let target = TARGETS[0].to_owned();
    desk.artifacts = vec![ArtifactFile { target, path, format: None, entry: Some("bin/web".to_owned()) }];
    desk.publish("1.4.2").unwrap();
    let release = desk.only();
    let name = format!("web-1.4.2-{}.tar.gz", TARGETS[0]);
    let signature = release.assets.iter().find(|asset| asset.name == format!("{name}.minisig")).unwrap();
    let comment = Signature::parse(&signature.bytes).unwrap().claimed_comment().to_owned();
    let bound = Bound::parse(&comment).unwrap();
    assert_eq!((bound.file, bound.size, bound.entry.as_deref()), (name, 10, Some("bin/web")));
    assert_eq!(bound.binsha256, Some(Sha256::of(b"the binary")));
    // A binary that is found elsewhere in the same archive is another release.
    desk.artifacts[0].entry = Some("bin/other".to_owned());
    assert_eq!(desk.publish("1.4.2").unwrap_err().code(), "publish.exists");
}

#[test]
fn a_publish_interrupted_at_any_request_can_be_repeated() {
    for fault in [Fault::Dropped, Fault::LostReply, Fault::UploadBroken, Fault::Status(500)] {
        for write in 0..WRITES {
            let desk = Desk::new();
            desk.github.inject(On::writes().after(write).once(), fault.clone());
            let first = desk.publish("1.4.2");
            let lost_at_the_end = fault == Fault::LostReply && write + 1 == WRITES;
            // Only an upload has a body to break off in.
            if fault != Fault::UploadBroken || (1..WRITES - 1).contains(&write) {
                let error = first.expect_err("the fault is taken for an answer");
                assert_eq!(error.code(), "publish.unconfirmed", "{fault:?} at write {write}: {error}");
                let public = desk.github.releases(REPOSITORY).iter().any(|release| !release.draft);
                assert_eq!(public, lost_at_the_end, "{fault:?} at write {write}");
            }
            let sent = desk.writes();
            desk.publish("1.4.2").unwrap_or_else(|error| panic!("{fault:?} at write {write}: {error}"));
            desk.must_be_whole("1.4.2");
            // What arrived is not sent again; a stub is deleted first.
            let again = desk.writes() - sent;
            assert!(again <= WRITES - write + 1, "{again} writes after {fault:?} at write {write}");
        }
    }
}

#[test]
fn a_publish_that_cannot_read_writes_nothing_public() {
    for read in 0..12 {
        let desk = Desk::new();
        desk.github.inject(On::api("*").method("GET").after(read).once(), Fault::Status(503));
        let first = desk.publish("1.4.2");
        desk.github.clear();
        if first.is_err() {
            assert!(desk.github.releases(REPOSITORY).iter().all(|release| release.draft), "read {read}");
            desk.publish("1.4.2").unwrap();
        }
        desk.must_be_whole("1.4.2");
    }
}

#[test]
fn the_same_release_again_is_as_good() {
    let desk = Desk::new();
    desk.publish("1.4.2").unwrap();
    let before = desk.only();
    desk.github.clear_requests();
    let again = desk.publish("1.4.2").unwrap();
    assert!(again.assets.iter().all(|asset| asset.kept));
    assert_eq!((desk.writes(), desk.only()), (0, before));
}

#[test]
fn other_bytes_of_a_version_are_refused() {
    let desk = Desk::new();
    for public in [false, true] {
        if public {
            desk.publish("1.4.2").unwrap();
        } else {
            let name = format!("web-1.4.2-{}", TARGETS[1]);
            desk.github.release(REPOSITORY, "v1.4.2").draft().asset(&name, b"other bytes").publish();
        }
        let before = desk.github.releases(REPOSITORY);
        fs::write(&desk.artifacts[1].path, if public { "yet other bytes" } else { "our bytes" }).unwrap();
        desk.github.clear_requests();
        let error = desk.publish("1.4.2").unwrap_err();
        assert_eq!(error.code(), "publish.exists", "{error}");
        assert_eq!((desk.writes(), desk.github.releases(REPOSITORY)), (0, before));
        if !public {
            desk.github.delete_release(REPOSITORY, "v1.4.2");
        }
    }
}

#[test]
fn a_signature_by_another_key_is_other_bytes() {
    let mut desk = Desk::new();
    desk.publish("1.4.2").unwrap();
    desk.key = SigningKey::generate().unwrap();
    let error = desk.publish("1.4.2").unwrap_err();
    assert!(error.to_string().contains(".minisig` of the release `v1.4.2`"), "{error}");
}

#[test]
fn a_public_release_that_lacks_something_stays_as_it_is() {
    let desk = Desk::new();
    desk.publish("1.4.2").unwrap();
    desk.github.delete_asset(REPOSITORY, "v1.4.2", "SHA256SUMS");
    let before = desk.only();
    let error = desk.publish("1.4.2").unwrap_err();
    assert_eq!(error.code(), "publish.public");
    assert_eq!(error.to_string(), "the release `v1.4.2` is public already, without `SHA256SUMS`");
    assert_eq!(desk.only(), before);
}

#[test]
fn an_upload_that_broke_off_is_sent_again() {
    let desk = Desk::new();
    let name = format!("web-1.4.2-{}", TARGETS[0]);
    let draft = desk.github.release(REPOSITORY, "v1.4.2").draft();
    draft.starter_asset(&name).asset("notes.txt", b"somebody else's").publish();
    desk.publish("1.4.2").unwrap();
    desk.github.delete_asset(REPOSITORY, "v1.4.2", "notes.txt");
    desk.must_be_whole("1.4.2");
}

#[test]
fn without_digests_the_bytes_themselves_are_compared() {
    let desk = Desk::new();
    desk.github.without_digests();
    desk.publish("1.4.2").unwrap();
    desk.must_be_whole("1.4.2");
    assert!(desk.publish("1.4.2").unwrap().assets.iter().all(|asset| asset.kept));
    let bytes = fs::read(&desk.artifacts[0].path).unwrap();
    fs::write(&desk.artifacts[0].path, bytes.iter().rev().copied().collect::<Vec<_>>()).unwrap();
    assert_eq!(desk.publish("1.4.2").unwrap_err().code(), "publish.exists", "of the same size");
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_not_published() {
    let desk = Desk::new();
    let path = desk.artifacts[0].path.clone();
    let right = fs::read(&path).unwrap();
    let begun = RefCell::new(0);
    let rewrite = |_: Sending<'_>| {
        if begun.replace_with(|count| *count + 1) == 0 {
            fs::write(&path, right.iter().rev().copied().collect::<Vec<_>>()).unwrap();
        }
    };
    let error = desk.publish_as("1.4.2", None, &rewrite).unwrap_err();
    assert_eq!(error.code(), "publish.changed");
    assert!(desk.only().draft && desk.only().assets.is_empty(), "the wrong bytes lie in the way of the right ones");
    fs::write(&path, &right).unwrap();
    desk.publish("1.4.2").unwrap();
    desk.must_be_whole("1.4.2");
}

#[test]
fn a_prerelease_is_never_the_latest_and_the_tag_can_be_given() {
    let desk = Desk::new();
    let published = desk.publish_as("2.0.0-rc.1", Some("web/2.0.0-rc.1"), &|_| {}).unwrap();
    assert_eq!(published.tag, "web/2.0.0-rc.1");
    let release = desk.only();
    assert_eq!((release.tag.as_str(), release.prerelease, release.draft), ("web/2.0.0-rc.1", true, false));
}

#[test]
fn refusals_say_what_to_do() {
    let desk = Desk::new();
    desk.github.inject(On::api("*"), Fault::Status(404));
    assert_eq!(desk.publish("1.4.2").unwrap_err().code(), "publish.destination");
    desk.github.clear();
    desk.github.inject(On::writes(), Fault::Status(403));
    assert_eq!(desk.publish("1.4.2").unwrap_err().code(), "publish.denied");
    desk.github.clear();
    desk.github.inject(On::api("*"), Fault::SecondaryLimit(None));
    assert_eq!(desk.publish("1.4.2").unwrap_err().code(), "publish.throttled");
    assert!(desk.github.releases(REPOSITORY).is_empty());
}

#[test]
fn the_command_says_what_it_would_do_and_does_it() {
    let desk = Desk::new();
    let pair = |file: &ArtifactFile| format!("{}={}", file.target, file.path.display());
    let pairs: Vec<_> = desk.artifacts.iter().map(pair).collect();
    let release = ["--release", "1.4.2", pairs[0].as_str(), pairs[1].as_str()];
    let text = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    let dry = desk.cli(&[&release[..], &["--dry-run"]].concat());
    assert!(dry.status.success(), "{dry:?}");
    assert!(text(&dry).starts_with("would publish web 1.4.2 on stable as v1.4.2\n"), "{}", text(&dry));
    assert!(text(&dry).ends_with("nothing was written\n"), "{}", text(&dry));
    assert!(desk.github.releases(REPOSITORY).is_empty());
    let done = desk.cli(&release);
    assert!(done.status.success(), "{done:?}");
    assert!(text(&done).contains(&format!("--source 'github://{REPOSITORY}?api=")), "{}", text(&done));
    assert!(!text(&done).contains("token_file"), "{}", text(&done));
    assert_eq!((desk.only().draft, desk.only().assets.len()), (false, 5));
    let again = desk.cli(&[&release[..], &["--json"]].concat());
    let again: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&again["tag"], &again["assets"][0]["kept"]), (&"v1.4.2".into(), &true.into()));
}

#[test]
fn options_about_a_manifest_are_refused_by_name() {
    let desk = Desk::new();
    let pair = format!("{}={}", TARGETS[0], desk.artifacts[0].path.display());
    let refused = [
        &["--yank", "1.4.1"][..],
        &["--unyank", "1.4.1"],
        &["--revoke", "1.4.1", "--reason", "bad"],
        &["--rollout", "10"],
        &["--min-from", "1.0.0"],
        &["--min-version", "1.0.0"],
        &["--expires", "30d"],
        &["--epoch", "2"],
        &["--keep", "3"],
        &["--critical"],
        &["--notes-url", "https://example.com/notes"],
    ];
    for option in refused {
        let output = desk.cli(&[option, &["--release", "1.4.2", &pair]].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{option:?}: {text}");
        assert!(text.contains(&format!("`{}` is about a manifest", option[0])), "{text}");
    }
    let output = desk.cli(&[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(desk.github.requests().is_empty());
    let www = desk.dir.path().join("www");
    let key = desk.key_file();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fetchd"));
    command.env_clear().args(["publish", "--product", "web", "--target-check", "off", "--tag", "v1"]);
    command.args(["--release", "1.4.2", &pair]);
    let output = command.args([Path::new("--to"), &www, Path::new("--secret-key"), &key]).output().unwrap();
    assert_eq!((output.status.code(), www.exists()), (Some(64), false), "a directory has no tags");
}
