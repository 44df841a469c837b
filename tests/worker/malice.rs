//! A worker that somebody else has taken over: whatever it hands over and says, nothing of it is installed or executed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use fetchd::demo::Trailer;
use fetchd::digest::Sha256;

use crate::site::{Site, Supervised, get, text};
use crate::web::{all_was_answered, light_load};

/// Every measure that could stop a worker before the supervisor has to.
pub(crate) const BARE: &str = "no_new_privs,landlock,capabilities,seccomp";

/// What a pass with a lying worker comes to.
enum Comes {
    /// It fails with a code that begins so.
    To(&'static str),
    /// The lie is one that nobody listens to: the signed release is installed.
    Nothing,
    /// One or the other, as it happens; the bytes that are installed are the signed ones.
    Either(&'static str),
    /// The worker may say that nothing is new, as any source may.
    Unchanged,
}

/// A site whose worker takes orders, and a supervisor that makes passes when it is told to.
pub(crate) struct Stage<'a> {
    pub(crate) fetchd: Supervised<'a>,
    order: PathBuf,
}

pub(crate) fn orders(site: &Site) -> PathBuf {
    let directory = site.path().join("orders");
    fs::create_dir_all(&directory).unwrap();
    directory.join("order")
}

impl<'a> Stage<'a> {
    /// `without` names the measures that this kernel is to lack.
    pub(crate) fn new(site: &'a Site, without: &str, more: &[&str]) -> Stage<'a> {
        let order = orders(site);
        let variables = [
            ("FETCHD_TEST_WORKER_FILE", order.to_str().unwrap()),
            ("FETCHD_TEST_WORKER_SILENCE_MS", "2500"),
            ("FETCHD_TEST_WORKER_WITHOUT", without),
        ];
        let options = [&["--interval", "1h", "--watch", "300ms"], more].concat();
        let mut fetchd = site.run_with(&options, &variables);
        fetchd.address();
        // Held, the passes of its own accord install nothing and get no further than a poll; ours are forced.
        let held = fetchd.fetchd("hold", &[]);
        assert!(held.status.success(), "{}", text(&held));
        let stage = Stage { fetchd, order };
        stage.pass();
        stage
    }

    /// The next worker that does a job of this kind does this instead.
    pub(crate) fn order(&self, mode: &str, phase: &str) {
        let next = self.order.with_extension("next");
        fs::write(&next, format!("{mode}@{phase}")).unwrap();
        fs::rename(next, &self.order).unwrap();
    }

    /// One pass: its exit code, and the code of its failure if it failed, and all that it said.
    pub(crate) fn pass(&self) -> (i32, String, String) {
        let output = self.fetchd.fetchd("apply", &["--force", "--json"]);
        let said = text(&output);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let code = json.pointer("/error/code").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        (output.status.code().unwrap(), code, said)
    }
}

/// Each row is a release that meets a worker with one lie, and then an honest one.
fn table(without: &str, rows: &[(&str, &str, Comes)]) {
    let site = Site::new();
    let mut stage = Stage::new(&site, without, &[]);
    let address = stage.fetchd.address();
    let load = light_load(&mut stage.fetchd);
    for (number, (phase, mode, comes)) in rows.iter().enumerate() {
        let (before, version) = (installed(&site), format!("1.{}.0", number + 1));
        site.publish(&Trailer::version(&version));
        let signed = Sha256::of(&site.binary(&Trailer::version(&version)));
        stage.order(mode, phase);
        let (exit, code, said) = stage.pass();
        assert!(!orders(&site).exists(), "{mode}: nobody looked at the order: {said}");
        let state = site.record();
        match comes {
            Comes::To(expected) => {
                assert!(code.starts_with(expected), "{mode}: not {expected}: {said}");
                assert_ne!(exit, 0, "{mode}");
            }
            Comes::Either(expected) if !code.is_empty() => assert!(code.starts_with(expected), "{mode}: {said}"),
            Comes::Unchanged => assert_eq!(exit, 0, "{mode}: {said}"),
            Comes::Nothing | Comes::Either(_) => {
                assert_eq!((exit, code.as_str()), (0, ""), "{mode}: {said}");
                assert_eq!(installed(&site).1, signed, "{mode}");
            }
        }
        if matches!(comes, Comes::To(_) | Comes::Unchanged) {
            assert_eq!(installed(&site), before, "{mode}: the program is what it was, inode and bytes");
            assert_eq!(state.journal, None, "{mode}");
        }
        assert_eq!(state.quarantine, [], "{mode}: what a worker says is not the release's fault");
        let log = stage.fetchd.log();
        assert!(!said.contains('\u{1b}') && !log.contains("\u{1b}[2J") && !log.contains('\u{9b}'), "{mode}: {said}");
        let history = fs::read_to_string(site.state_dir().join("history.jsonl")).unwrap_or_default();
        assert!(!history.contains("evil") && !history.contains("[2J\\n"), "{mode}");
        assert!(get(address, "/").unwrap().contains("\"version\""), "{mode}: it serves");
        let (exit, code, said) = stage.pass();
        assert_eq!((exit, code.as_str()), (0, ""), "{mode}: the next honest pass works: {said}");
        stage.fetchd.wait_for_version(&version);
        assert_eq!(installed(&site).1, signed, "{mode}");
        let custody = site.path().join("srv/.fetchd/app/custody");
        assert_eq!(fs::read_dir(custody).unwrap().count(), 0, "{mode}");
    }
    all_was_answered(load);
    assert_eq!(stage.fetchd.stop().code(), Some(0));
}

/// The inode and the digest of the program.
fn installed(site: &Site) -> (u64, Sha256) {
    let program = site.program();
    (fs::metadata(&program).unwrap().ino(), Sha256::of(&fs::read(&program).unwrap()))
}

#[test]
fn a_worker_that_hands_over_something_else_changes_nothing() {
    table(
        BARE,
        &[
            ("download", "path /etc/passwd", Comes::To("disk.failed")),
            ("download", "path ../../app", Comes::To("disk.failed")),
            ("download", "path ", Comes::To("disk.failed")),
            ("download", "kind symlink", Comes::To("staged.kind")),
            ("download", "kind zero", Comes::To("staged.kind")),
            ("download", "kind fifo", Comes::To("staged.kind")),
            ("download", "kind directory", Comes::To("staged.kind")),
            ("download", "bytes 0", Comes::To("artifact.digest")),
            ("download", "bytes -1", Comes::To("artifact.size")),
            ("download", "bytes 1", Comes::To("artifact.size")),
            ("download", "claim", Comes::Nothing),
            ("download", "swap", Comes::Either("artifact.")),
        ],
    );
}

/// A hard link needs no right to the file, only one file system; a device needs root.
#[test]
fn a_second_name_and_a_device_are_refused_by_kernel_or_supervisor() {
    let refused = if rustix::process::geteuid().is_root() { "staged.kind" } else { "source.other" };
    table("landlock,seccomp,capabilities", &[("download", "kind device", Comes::To(refused))]);
}

#[test]
fn a_hardened_worker_cannot_even_make_what_is_refused() {
    let site = Site::new();
    let stage = Stage::new(&site, "", &[]);
    site.publish(&Trailer::version("1.1.0"));
    let seccomp = ["fifo", "device"];
    let landlock = ["symlink", "zero", "hardlink", "directory"];
    let lacks = stage.fetchd.try_status().unwrap().updates.worker.unwrap().landlock.is_none();
    for kind in seccomp.iter().chain(landlock.iter().filter(|_| !lacks)) {
        stage.order(&format!("kind {kind}"), "download");
        let (_, code, said) = stage.pass();
        assert_eq!(code, "source.other", "{kind}: {said}");
        assert!(said.contains("refused: "), "{kind}: {said}");
    }
    assert_eq!(stage.pass().0, 0);
}

#[test]
fn a_worker_that_lies_about_the_source_changes_nothing() {
    table(
        "",
        &[
            ("poll", "document", Comes::To("signature.")),
            ("poll", "signature", Comes::To("bundle.")),
            ("poll", "release", Comes::Nothing),
            ("poll", "sizes", Comes::Nothing),
            ("poll", "assets", Comes::To("worker.protocol")),
            ("poll", "control", Comes::To("worker.protocol")),
            ("poll", "revision", Comes::To("worker.protocol")),
            ("poll", "terminal", Comes::To("source.other")),
            ("poll", "never", Comes::To("source.throttled")),
            ("poll", "lacking", Comes::Unchanged),
            ("poll", "twice", Comes::Unchanged),
        ],
    );
}

#[test]
fn a_worker_that_abuses_its_channel_changes_nothing() {
    table(
        "",
        &[
            ("poll", "crossed", Comes::To("worker.protocol")),
            ("poll", "again", Comes::To("worker.protocol")),
            ("poll", "length", Comes::To("worker.protocol")),
            ("poll", "half", Comes::To("worker.silent")),
            ("poll", "close", Comes::To("worker.died")),
            ("download", "flood", Comes::To("worker.protocol")),
            ("download", "hang", Comes::To("worker.silent")),
            ("download", "progress", Comes::Nothing),
        ],
    );
}
