//! Bad releases in a signed bundle.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use fetchd::demo::{Fault, Trailer};
use fetchd::digest::Sha256;
use fetchd::publish::{SigningKey, host_target, sign_manifest};
use serde_json::{Value, json};

use crate::scene::{Scene, Wiring, binary, only_quarantined};
use crate::site::{Site, wait_until};

/// What a bad release does to the process that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Nothing is ever installed.
    NotInstalled,
    /// It is installed and started, and never serves.
    Started,
    /// It serves, and takes requests with it when it goes.
    Served,
}

type Act = Box<dyn Fn(&Site)>;

/// A bad release, and what is to come of it.
struct Case {
    /// More flags for `run`.
    flags: &'static [&'static str],
    /// Publishes it.
    publish: Act,
    /// The event of the history, its code and its exit code.
    event: (&'static str, &'static str, u8),
    /// Whether the digest of its binary is shut out; then a second look says `release.quarantined`.
    quarantined: bool,
    reach: Reach,
    /// Whether its manifest was accepted, so that nothing older is.
    admitted: bool,
    /// Publishes what goes live next.
    good: Act,
    good_version: &'static str,
}

impl Case {
    fn new(publish: impl Fn(&Site) + 'static, event: (&'static str, &'static str, u8)) -> Case {
        Case {
            flags: &[],
            publish: Box::new(publish),
            event,
            quarantined: true,
            reach: Reach::NotInstalled,
            admitted: true,
            good: Box::new(|site| site.publish(&Trailer::version("1.2.0"))),
            good_version: "1.2.0",
        }
    }

    fn flags(self, flags: &'static [&'static str]) -> Case {
        Case { flags, ..self }
    }

    fn reach(self, reach: Reach) -> Case {
        Case { reach, ..self }
    }

    /// Its digest was never vouched for, or is not to blame.
    fn not_quarantined(self) -> Case {
        Case { quarantined: false, ..self }
    }

    /// Refused before the floor is raised.
    fn not_admitted(self) -> Case {
        Case { quarantined: false, admitted: false, ..self }
    }

    fn then(self, good_version: &'static str, good: impl Fn(&Site) + 'static) -> Case {
        Case { good: Box::new(good), good_version, ..self }
    }

    fn run(&self) {
        let site = Site::new();
        site.publish(&Trailer::version("1.0.0"));
        let mut scene = Scene::start(&site, Wiring::bundle(&site), self.flags).settled();

        (self.publish)(&site);
        let (event, code, exit) = self.event;
        let seen = scene.event(event, code);
        assert_eq!(seen.exit, Some(exit), "{seen:?}");

        scene.assert_old_process_serves();
        match self.reach {
            Reach::NotInstalled => scene.assert_program_untouched(),
            Reach::Started | Reach::Served => scene.assert_program_restored(),
        }
        if self.quarantined {
            let bad = only_quarantined(&site);
            assert_eq!((bad.sha256, bad.code.as_str(), bad.count), (digest_of_newest(&site), code, 1));
            assert!(site.happened("release.quarantined", ""));
            assert_eq!(scene.apply(), (22, "release.quarantined".to_owned()));
        } else {
            assert_eq!(site.record().quarantine, []);
            assert_eq!(scene.apply(), (i32::from(exit), code.to_owned()));
        }
        if !self.admitted {
            scene.assert_floor_unchanged();
        }
        scene.assert_no_stray_process();
        scene.assert_tidy(!self.quarantined);

        (self.good)(&site);
        // Four clients, each with one request or one connection that a crash can cut off.
        scene.goes_live(self.good_version, if self.reach == Reach::Served { 4 } else { 0 });
    }
}

macro_rules! cases {
    ($($name:ident: $case:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let case: Case = $case;
                case.run();
            }
        )*
    };
}

const UNREACHED: &str = "fetch.failed";
const REFUSED: &str = "release.refused";
const HELD: &str = "release.held";
const FAILED: &str = "handoff.failed";

cases! {
    garbage_bytes_are_no_program: Case::new(|s| bytes(s, &[0xa5; 4096]), (REFUSED, "candidate.target", 23));
    a_text_without_an_interpreter_is_no_program:
        Case::new(|s| bytes(s, b"echo 1.1.0\n"), (REFUSED, "candidate.target", 23));
    garbage_bytes_do_not_start_where_the_target_is_not_checked:
        Case::new(|s| bytes(s, &[0xa5; 4096]), (REFUSED, "smoke.exec", 41)).flags(&["--target-check", "off"]);
    a_text_is_never_given_to_a_shell:
        Case::new(|s| bytes(s, b"echo 1.1.0\n"), (REFUSED, "smoke.exec", 41)).flags(&["--target-check", "off"]);
    an_empty_file: Case::new(|s| aside(s, |_, path| cut(path, 0), |_| {}), (UNREACHED, "download.size", 23))
        .not_quarantined()
        .then("1.1.0", |s| repair(s, "1.1.0"));
    a_release_that_is_signed_as_empty: Case::new(signed_as_empty, (REFUSED, "manifest.malformed", 20))
        .not_admitted()
        .then("1.2.0", restored);
    another_architecture: Case::new(other_machine, (REFUSED, "candidate.target", 23));

    a_crash_before_ready: fault(Fault::ExitBeforeReady, (FAILED, "handoff.exited", 42));
    an_exit_with_zero_before_ready: fault(Fault::ExitZeroBeforeReady, (FAILED, "handoff.exited", 42));
    a_hang_before_ready:
        fault(Fault::NeverReady, (FAILED, "handoff.not_ready", 42)).flags(&["--ready-deadline", "1s"]);
    a_release_that_cannot_take_over: fault(Fault::Reject, (FAILED, "handoff.rejected", 42));
    a_crash_in_the_watch:
        fault(Fault::CrashAfterReady, (FAILED, "watch.died", 42)).reach(Reach::Served).flags(&["--watch", "2s"]);

    another_version_is_printed: smoke(Fault::VersionWrong, "smoke.version");
    no_answer_to_version: smoke(Fault::VersionHang, "smoke.timeout").flags(&["--smoke-deadline", "1s"]);
    a_flood_of_output: smoke(Fault::VersionFlood, "smoke.output");
    a_smoke_run_that_fails: smoke(Fault::VersionExit1, "smoke.exit");

    a_missing_artifact_is_not_ready_yet:
        Case::new(|s| aside(s, |s, path| fs::rename(path, s.path().join("late")).unwrap(), |_| {}), (UNREACHED, "source.not_ready", 30))
            .not_quarantined()
            .then("1.1.0", |s| fs::rename(s.path().join("late"), artifact(s, "1.1.0")).unwrap());
    a_truncated_artifact:
        Case::new(|s| aside(s, |_, path| cut(path, -1000), |_| {}), (UNREACHED, "download.size", 23))
            .not_quarantined()
            .then("1.1.0", |s| repair(s, "1.1.0"));
    a_flipped_bit_in_the_artifact:
        Case::new(|s| aside(s, |_, path| flip(path), |_| {}), (UNREACHED, "download.digest", 23))
            .not_quarantined()
            .then("1.1.0", |s| repair(s, "1.1.0"));

    an_edited_manifest: Case::new(edited, (REFUSED, "signature.wrong", 20)).not_admitted().then("1.2.0", restored);
    another_key: Case::new(other_key, (REFUSED, "signature.unknown_key", 20)).not_admitted().then("1.2.0", restored);
    an_older_manifest: Case::new(replayed, (REFUSED, "manifest.rollback", 21)).not_quarantined().then("1.2.0", restored);
    other_bytes_of_the_same_number:
        Case::new(|s| forge(s, 0, |m| m["releases"][0]["notes_url"] = json!("https://example.com/")), (REFUSED, "manifest.equivocation", 21))
            .not_admitted()
            .then("1.2.0", restored);
    an_expired_manifest: Case::new(expired, (HELD, "manifest.expired", 22)).not_quarantined();
    another_product:
        Case::new(|s| forge(s, 1, |m| m["product"] = json!("other")), (REFUSED, "manifest.wrong_product", 21))
            .not_admitted()
            .then("1.2.0", restored);
    another_channel:
        Case::new(|s| forge(s, 1, |m| m["channel"] = json!("beta")), (REFUSED, "manifest.wrong_channel", 21))
            .not_admitted()
            .then("1.2.0", restored);
    only_an_older_release: Case::new(only_older, (HELD, "release.downgrade", 21)).not_quarantined();
    only_the_running_release_and_it_is_withdrawn:
        Case::new(|s| forge(s, 1, |m| m["releases"][0]["yanked"] = json!(true)), (HELD, "release.yanked", 22))
            .not_quarantined();
}

#[test]
fn a_crash_before_ready_is_remembered_with_its_last_words() {
    let site = Site::new();
    site.publish(&Trailer::version("1.0.0"));
    let scene = Scene::start(&site, Wiring::bundle(&site), &["--interval", "1h"]);
    site.publish(&Trailer::version("1.1.0").with_fault(Fault::ExitBeforeReady));
    // Asked for by hand: whoever asked learns the outcome.
    assert_eq!(scene.apply(), (42, "handoff.exited".to_owned()));
    let reason = only_quarantined(&site).reason;
    assert!(reason.contains("demo-service 1.1.0: the database schema is too new"), "{reason}");
    assert_eq!(scene.apply(), (22, "release.quarantined".to_owned()));
    site.publish(&Trailer::version("1.2.0"));
    assert_eq!(scene.apply(), (0, String::new()));
    scene.goes_live("1.2.0", 0);
}

#[test]
fn what_fails_its_smoke_run_is_told_to_whoever_asked_for_it() {
    let site = Site::new();
    site.publish(&Trailer::version("1.0.0"));
    let scene = Scene::start(&site, Wiring::bundle(&site), &["--interval", "1h"]);
    site.publish(&Trailer::version("1.1.0").with_fault(Fault::VersionWrong));
    assert_eq!(scene.apply(), (41, "smoke.version".to_owned()));
    scene.assert_program_untouched();
    let reason = only_quarantined(&site).reason;
    assert!(reason.contains("0.0.0-wrong"), "{reason}");
    site.publish(&Trailer::version("1.2.0"));
    assert_eq!(scene.apply(), (0, String::new()));
    scene.goes_live("1.2.0", 0);
}

#[test]
fn a_release_that_is_unwell_in_its_watch_is_undone() {
    let site = Site::new();
    site.publish(&Trailer::version("1.0.0"));
    let sick = site.path().join("sick");
    let health = format!("test ! -e {}", sick.display());
    let flags = ["--watch", "3s", "--health", &health, "--health-interval", "50ms"];
    let mut scene = Scene::start(&site, Wiring::bundle(&site), &flags).settled();
    fs::write(&sick, "").unwrap();
    site.publish(&Trailer::version("1.1.0"));
    let event = scene.event(FAILED, "watch.unhealthy");
    assert_eq!(event.exit, Some(42));
    scene.assert_old_process_serves();
    scene.assert_program_restored();
    assert_eq!(only_quarantined(&site).sha256, digest_of_newest(&site));
    scene.assert_no_stray_process();
    fs::remove_file(&sick).unwrap();
    site.publish(&Trailer::version("1.2.0"));
    scene.goes_live("1.2.0", 0);
}

#[test]
fn a_smoke_run_that_leaves_a_child_with_its_output_passes_and_leaves_nothing() {
    let site = Site::new();
    site.publish(&Trailer::version("1.0.0"));
    let mut scene = Scene::start(&site, Wiring::bundle(&site), &[]).settled();
    site.publish(&Trailer::version("1.1.0").with_fault(Fault::VersionFork));
    scene.fetchd.wait_for_version("1.1.0");
    scene.assert_no_stray_process();
    scene.goes_live("1.1.0", 0);
}

#[test]
fn a_withdrawn_newer_release_is_passed_over() {
    let site = Site::new();
    site.publish(&Trailer::version("1.0.0"));
    let mut scene = Scene::start(&site, Wiring::bundle(&site), &[]).settled();
    forge(&site, 1, |manifest| {
        let mut newer = manifest["releases"][0].clone();
        newer["version"] = json!("1.1.0");
        newer["yanked"] = json!(true);
        manifest["releases"].as_array_mut().unwrap().push(newer);
    });
    assert_eq!(scene.apply(), (0, String::new()));
    assert_eq!(site.record().seq, 2);
    scene.assert_old_process_serves();
    scene.assert_program_untouched();
    site.publish(&Trailer::version("1.2.0"));
    scene.goes_live("1.2.0", 0);
}

/// A release that passes every check and does not hold.
fn fault(fault: Fault, event: (&'static str, &'static str, u8)) -> Case {
    let publish = move |site: &Site| site.publish(&Trailer::version("1.1.0").with_fault(fault));
    Case::new(publish, event).reach(Reach::Started)
}

/// A release that answers the smoke run wrongly.
fn smoke(fault: Fault, code: &'static str) -> Case {
    let publish = move |site: &Site| site.publish(&Trailer::version("1.1.0").with_fault(fault));
    Case::new(publish, (REFUSED, code, 41))
}

fn bytes(site: &Site, bytes: &[u8]) {
    site.publisher.publish("1.1.0", bytes).unwrap();
}

/// The demo service with the header of a program for another machine.
fn other_machine(site: &Site) {
    const E_MACHINE: usize = 18;
    let mut program = binary(site, "1.1.0");
    let other: u16 = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
    program[E_MACHINE..E_MACHINE + 2].copy_from_slice(&other.to_le_bytes());
    bytes(site, &program);
}

/// Where the artifact of a version is published.
fn artifact(site: &Site, version: &str) -> PathBuf {
    site.path().join("pub").join(format!("app-{version}-{}", host_target()))
}

/// Publishes 1.1.0 with the pointer last, after `spoil` has done something to its artifact and `edit` to the manifest.
fn aside(site: &Site, spoil: impl FnOnce(&Site, &Path), edit: impl FnOnce(&mut Value)) {
    let side = site.path().join("side");
    fs::create_dir(&side).unwrap();
    fs::copy(site.publisher.pointer(), side.join("stable.fetchd")).unwrap();
    let publisher = site.publisher.clone().dir(&side);
    publisher.publish("1.1.0", &binary(site, "1.1.0")).unwrap();
    publisher.forge(edit).unwrap();
    let path = artifact(site, "1.1.0");
    fs::rename(side.join(path.file_name().unwrap()), &path).unwrap();
    spoil(site, &path);
    fs::rename(publisher.pointer(), site.publisher.pointer()).unwrap();
}

/// Leaves the first `length` bytes; negative: all but the last ones.
fn cut(path: &Path, length: i64) {
    let file = File::options().write(true).open(path).unwrap();
    let whole = if length < 0 { file.metadata().unwrap().len() } else { 0 };
    file.set_len(whole.checked_add_signed(length).unwrap()).unwrap();
}

fn signed_as_empty(site: &Site) {
    keep(site);
    let spoil = |_: &Site, path: &Path| fs::remove_file(path).unwrap();
    aside(site, spoil, |manifest| {
        for field in ["size", "binary_size"] {
            manifest["releases"][0]["artifacts"][0][field] = json!(0);
        }
    });
}

/// One release is listed, and it is older than what runs.
fn only_older(site: &Site) {
    aside(
        site,
        |_, _| {},
        |manifest| {
            manifest["releases"].as_array_mut().unwrap().truncate(1);
            manifest["releases"][0]["version"] = json!("0.9.0");
        },
    );
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The publisher notices, and puts the right bytes there. The manifest stays as it is.
fn repair(site: &Site, version: &str) {
    let whole = site.path().join("whole");
    fs::write(&whole, binary(site, version)).unwrap();
    fs::rename(whole, artifact(site, version)).unwrap();
}

/// Signs an edited manifest whose number is `ahead` of the one that is there, which is kept for [`restored`].
fn forge(site: &Site, ahead: u64, edit: impl FnOnce(&mut Value)) {
    keep(site);
    let forged = site.publisher.forge(|manifest| {
        manifest["seq"] = json!(manifest["seq"].as_u64().unwrap() + ahead);
        edit(manifest);
    });
    forged.unwrap();
}

fn kept(site: &Site) -> PathBuf {
    site.path().join("kept.fetchd")
}

fn keep(site: &Site) {
    fs::copy(site.publisher.pointer(), kept(site)).unwrap();
}

/// Puts bytes at the pointer, at once.
fn point(site: &Site, bytes: &[u8]) {
    let next = site.path().join("next.fetchd");
    fs::write(&next, bytes).unwrap();
    fs::rename(next, site.publisher.pointer()).unwrap();
}

/// The publisher goes on from its last good manifest.
fn restored(site: &Site) {
    point(site, &fs::read(kept(site)).unwrap());
    site.publish(&Trailer::version("1.2.0"));
}

/// The bundle with other contents under the same signature.
fn edited(site: &Site) {
    keep(site);
    let mut manifest = site.publisher.manifest().unwrap();
    manifest["seq"] = json!(7);
    let genuine: Value = serde_json::from_slice(&site.publisher.document().unwrap()).unwrap();
    let mut forged: Value =
        serde_json::from_slice(&sign_manifest(&manifest, &[SigningKey::generate().unwrap()]).unwrap()).unwrap();
    forged["minisig"] = genuine["minisig"].clone();
    point(site, &serde_json::to_vec(&forged).unwrap());
}

/// The next manifest, by somebody else.
fn other_key(site: &Site) {
    keep(site);
    let mut manifest = site.publisher.manifest().unwrap();
    manifest["seq"] = json!(7);
    point(site, &sign_manifest(&manifest, &[SigningKey::generate().unwrap()]).unwrap());
}

/// A newer manifest is seen, then the older one again.
fn replayed(site: &Site) {
    let old = site.publisher.document().unwrap();
    site.publisher.change(|_| {}).unwrap();
    keep(site);
    wait_until("the newer manifest is seen", || site.record().seq == 2);
    point(site, &old);
}

fn expired(site: &Site) {
    forge(site, 1, |manifest| {
        manifest["issued"] = json!("2020-01-01T00:00:00Z");
        manifest["expires"] = json!("2020-02-01T00:00:00Z");
    });
}

/// The signed digest of the newest release's binary.
fn digest_of_newest(site: &Site) -> Sha256 {
    let manifest = site.publisher.manifest().unwrap();
    serde_json::from_value(manifest["releases"][0]["artifacts"][0]["binary_sha256"].clone()).unwrap()
}
