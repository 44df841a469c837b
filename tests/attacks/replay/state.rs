//! What is remembered is deleted, damaged or edited.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::SEEN;
use crate::bench::{Bench, FETCHD};
use crate::maker::{FIRST, POINTER, SEQ, bundle, manifest};
use crate::table::{Change, Verdict};

/// What runs was asked for its version, because nothing remembers it; nothing else was executed.
#[track_caller]
fn only_what_runs_was_asked(bench: &Bench) {
    let asked = fs::read_to_string(bench.canary()).unwrap_or_default();
    assert!(!asked.is_empty() && asked.lines().all(|line| line.starts_with("1.0.0 ")), "{asked}");
    fs::remove_file(bench.canary()).unwrap();
}

pub fn deleted_and_older(bench: &mut Bench, verdict: &Verdict) {
    fs::remove_dir_all(bench.state_dir()).unwrap();
    older_is_refused(bench, verdict);
}

pub fn record_deleted_and_older(bench: &mut Bench, verdict: &Verdict) {
    fs::remove_file(record(bench)).unwrap();
    bench.mark();
    let older = bench.maker.good(FIRST - 1, "0.9.0");
    bench.show(&older);
    let ended = bench.apply(&[]);
    // The manifest that was kept proves the floor, and says so.
    only_what_runs_was_asked(bench);
    assert_eq!((ended.exit, ended.code.as_str()), (0, "source.stale"), "{ended:#?}");
    assert!(bench.history().iter().any(|event| event.event == "state.floor_edited"));
    bench.assert_verdict(&bench.apply(&[]), verdict);
    assert_eq!(bench.record().seq, FIRST);
    bench.assert_recovers();
}

/// Its number is below the floor that was forgotten. That it is older than what runs is still known.
fn older_is_refused(bench: &mut Bench, verdict: &Verdict) {
    bench.mark();
    let older = bench.maker.good(FIRST - 1, "0.9.0");
    bench.show(&older);
    let ended = bench.apply(&[]);
    only_what_runs_was_asked(bench);
    bench.assert_verdict(&ended, verdict);
    bench.assert_recovers();
}

pub fn deleted_and_newer(bench: &mut Bench, verdict: &Verdict) {
    fs::remove_dir_all(bench.state_dir()).unwrap();
    bench.mark();
    let newer = bench.maker.good(SEQ, "1.1.0");
    bench.play(&newer, &[], verdict);
}

fn record(bench: &Bench) -> PathBuf {
    bench.state_dir().join("state.json")
}

/// Updates stop after `damage`, what is damaged is left as it is, and once `repair` has undone it they go on.
#[track_caller]
fn damaged(bench: &mut Bench, verdict: &Verdict, damage: impl FnOnce(&Path), repair: impl FnOnce(&Path)) {
    let path = record(bench);
    damage(&path);
    let left = fs::read(&path).unwrap();
    let good = bench.maker.good(SEQ, "1.1.0");
    bench.show(&good);
    for flags in [&[][..], &["--force"]] {
        bench.assert_verdict(&bench.apply(flags), verdict);
    }
    assert!(!bench.canary().exists(), "something was executed");
    assert_eq!(fs::read(&path).unwrap(), left);
    repair(&path);
    bench.assert_recovers();
}

/// The same with other bytes in the record.
#[track_caller]
fn overwritten(bench: &mut Bench, verdict: &Verdict, bytes: &[u8]) {
    let whole = fs::read(record(bench)).unwrap();
    damaged(bench, verdict, |path| fs::write(path, bytes).unwrap(), |path| fs::write(path, whole).unwrap());
}

pub fn truncated(bench: &mut Bench, verdict: &Verdict) {
    let whole = fs::read(record(bench)).unwrap();
    overwritten(bench, verdict, &whole[..whole.len() / 2]);
}

pub fn empty(bench: &mut Bench, verdict: &Verdict) {
    overwritten(bench, verdict, b"");
}

pub fn not_json(bench: &mut Bench, verdict: &Verdict) {
    overwritten(bench, verdict, b"seq = 0\n");
}

pub fn of_somebody_else(bench: &mut Bench, verdict: &Verdict) {
    if rustix::process::geteuid().is_root() {
        let give = |to| move |path: &Path| chown(path, Some(to), None).unwrap();
        return damaged(bench, verdict, give(12_345), give(0));
    }
    // Only root can give a file away. To anybody else a directory of root's is a state of somebody else.
    let (own, mut apply) = (bench.state_dir(), bench.command("apply", &["--json"]));
    apply.arg("--").arg(bench.program());
    let args = apply.get_args().map(|arg| if arg == own { "/".as_ref() } else { arg });
    let ended = bench.end(Command::new(FETCHD).args(args).current_dir(bench.path()));
    assert_eq!((ended.exit, ended.code.as_str()), (50, "state.unsafe"), "{ended:#?}");
    bench.assert_change(Change::Nothing);
    bench.assert_recovers();
}

pub fn symlinked(bench: &mut Bench, verdict: &Verdict) {
    let elsewhere = bench.path().join("elsewhere.json");
    let back = elsewhere.clone();
    damaged(
        bench,
        verdict,
        |path| {
            fs::rename(path, &elsewhere).unwrap();
            symlink(&elsewhere, path).unwrap();
        },
        |path| fs::rename(back, path).unwrap(),
    );
}

pub fn open_to_all(bench: &mut Bench, verdict: &Verdict) {
    let mode = |mode| move |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    damaged(bench, verdict, mode(0o666), mode(0o600));
}

pub fn directory_symlinked(bench: &mut Bench, verdict: &Verdict) {
    let (dir, moved) = (bench.state_dir(), bench.path().join("moved"));
    damaged(
        bench,
        verdict,
        |_| {
            fs::rename(&dir, &moved).unwrap();
            symlink(&moved, &dir).unwrap();
        },
        |_| {
            fs::remove_file(&dir).unwrap();
            fs::rename(&moved, &dir).unwrap();
        },
    );
}

/// Puts another manifest where the last accepted one is kept.
fn keep(bench: &mut Bench, bytes: &[u8]) {
    let kept = bench.state_dir().join("last.bundle");
    assert!(kept.is_file());
    fs::write(kept, bytes).unwrap();
    bench.mark();
}

pub fn kept_garbage(bench: &mut Bench, verdict: &Verdict) {
    keep(bench, b"{}");
    ignored(bench, verdict);
    assert!(bench.history().iter().any(|event| event.event == "state.last_bundle"));
}

/// By a key that is not trusted, and far above what was accepted.
pub fn kept_raised(bench: &mut Bench, verdict: &Verdict) {
    let forged = bundle(manifest(1 << 40, "9.0.0").to_string().as_bytes(), &[&bench.maker.stranger]);
    keep(bench, &forged);
    ignored(bench, verdict);
    assert!(bench.history().iter().any(|event| event.event == "state.last_bundle"));
}

/// Neither is the next release refused for it, nor is anything taken from it.
fn ignored(bench: &mut Bench, verdict: &Verdict) {
    let same = bench.maker.good(FIRST, "1.0.0");
    bench.show(&same);
    bench.assert_verdict(&bench.apply(&[]), &SEEN);
    let good = bench.maker.good(SEQ, "1.1.0");
    bench.play(&good, &[], verdict);
}

/// A genuine one from before does not lower the floor.
pub fn kept_lowered(bench: &mut Bench, verdict: &Verdict) {
    let older = bench.maker.good(FIRST - 1, "0.9.0");
    keep(bench, &older[POINTER]);
    bench.play(&older, &[], verdict);
}
