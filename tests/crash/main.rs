//! SIGKILL at every checkpoint of the line: of the supervisor, of the worker, of a plain `fetchd apply`.
//!
//! Whatever is killed, at the program path is one whole binary that was verified, the next start
//! settles the journal, and the next pass gets where the killed one was going.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod scene;

#[path = "../support/processes.rs"]
mod processes;
#[path = "../support/site.rs"]
mod site;

use std::process::{Child, Stdio};
use std::time::Duration;

use fetchd::checkpoint::Checkpoint;
use fetchd::demo::{Fault, Trailer};
use fetchd::load::{Load, LoadPlan, Target};
use rustix::process::Signal;

use processes::{Leftovers, runs, services_of, slow_request, worker_of};
use scene::{Layout, Scene};
use site::{get, text, wait_until};

/// One row for each checkpoint; a checkpoint without a row does not compile.
macro_rules! rows {
    ($($row:ident: $checkpoint:ident;)*) => {
        $(mod $row {
            use super::*;

            #[test]
            fn supervisor() {
                supervisor_is_killed(Layout::Replace, Checkpoint::$checkpoint);
            }

            #[test]
            fn apply() {
                apply_is_ended(Layout::Replace, Checkpoint::$checkpoint, Signal::KILL);
            }
        })*

        const ROWS: &[Checkpoint] = &[$(Checkpoint::$checkpoint),*];

        /// Fails to compile when a checkpoint has no row.
        fn row(checkpoint: Checkpoint) -> &'static str {
            match checkpoint {
                $(Checkpoint::$checkpoint => stringify!($row),)*
            }
        }
    };
}

rows! {
    keys_kept: KeysKept;
    download_partial: DownloadPartial;
    download_complete: DownloadComplete;
    custody_taken: CustodyTaken;
    extracted: Extracted;
    before_smoke: BeforeSmoke;
    verified: Verified;
    journal_begun: JournalBegun;
    renamed: Renamed;
    activated: Activated;
    before_handoff: BeforeHandoff;
    ready: Ready;
    watching: Watching;
    before_confirm: BeforeConfirm;
    confirmed: Confirmed;
    rollback_begun: RollbackBegun;
    rolled_back: RolledBack;
}

#[test]
fn every_checkpoint_has_a_row() {
    for checkpoint in Checkpoint::ALL {
        assert!(ROWS.contains(&checkpoint), "{} is missing", row(checkpoint));
    }
    // A variant that has a row and is not in ALL would be left out by others that loop over it.
    assert_eq!(ROWS, Checkpoint::ALL);
}

/// The same where the other layouts differ: between the journal's first word and its last.
macro_rules! layouts {
    ($($name:ident: $layout:ident $checkpoint:ident;)*) => {
        $(#[test]
        fn $name() {
            supervisor_is_killed(Layout::$layout, Checkpoint::$checkpoint);
        })*
    };
}

layouts! {
    releases_journal_begun: Releases JournalBegun;
    releases_renamed: Releases Renamed;
    releases_activated: Releases Activated;
    releases_before_handoff: Releases BeforeHandoff;
    releases_watching: Releases Watching;
    releases_before_confirm: Releases BeforeConfirm;
    releases_confirmed: Releases Confirmed;
    releases_rollback_begun: Releases RollbackBegun;
    releases_rolled_back: Releases RolledBack;
    external_renamed: External Renamed;
    external_watching: External Watching;
    external_confirmed: External Confirmed;
    external_rolled_back: External RolledBack;
}

#[test]
fn releases_apply_renamed() {
    apply_is_ended(Layout::Releases, Checkpoint::Renamed, Signal::KILL);
}

#[test]
fn worker_download_partial() {
    worker_is_killed(Checkpoint::DownloadPartial);
}

#[test]
fn worker_download_complete() {
    worker_is_killed(Checkpoint::DownloadComplete);
}

#[test]
fn worker_extracted() {
    worker_is_killed(Checkpoint::Extracted);
}

#[test]
fn apply_is_interrupted_in_a_download() {
    apply_is_ended(Layout::Replace, Checkpoint::DownloadPartial, Signal::INT);
}

#[test]
fn apply_is_terminated_between_two_journal_entries() {
    apply_is_ended(Layout::Replace, Checkpoint::Activated, Signal::TERM);
}

#[test]
fn apply_is_interrupted_before_it_confirms() {
    apply_is_ended(Layout::Releases, Checkpoint::BeforeConfirm, Signal::INT);
}

/// What may be at the program path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binary {
    Old,
    New,
}

/// What is at the program path when a process is killed there.
fn at_the_kill(checkpoint: Checkpoint) -> Binary {
    match checkpoint {
        Checkpoint::KeysKept
        | Checkpoint::DownloadPartial
        | Checkpoint::DownloadComplete
        | Checkpoint::CustodyTaken
        | Checkpoint::Extracted
        | Checkpoint::BeforeSmoke
        | Checkpoint::Verified
        | Checkpoint::JournalBegun
        | Checkpoint::RolledBack => Binary::Old,
        Checkpoint::Renamed
        | Checkpoint::Activated
        | Checkpoint::BeforeHandoff
        | Checkpoint::Ready
        | Checkpoint::Watching
        | Checkpoint::BeforeConfirm
        | Checkpoint::Confirmed
        | Checkpoint::RollbackBegun => Binary::New,
    }
}

/// What is there once the next start has settled it: only what was confirmed stays.
fn once_settled(checkpoint: Checkpoint) -> Binary {
    if checkpoint == Checkpoint::Confirmed { Binary::New } else { Binary::Old }
}

/// Whether a pass that drives no service gets there.
fn apply_gets_there(checkpoint: Checkpoint) -> bool {
    use Checkpoint::{Ready, RollbackBegun, RolledBack, Watching};
    !matches!(checkpoint, Ready | Watching | RollbackBegun | RolledBack)
}

fn supervisor_is_killed(layout: Layout, checkpoint: Checkpoint) {
    let scene = Scene::new(layout, checkpoint);
    let old = Trailer::version("1.0.0");
    let new = Trailer::version("1.1.0");
    let new = if scene.is_bad() { new.with_fault(Fault::CrashAfterReady) } else { new };
    let binary = |which| scene.digest(if which == Binary::Old { &old } else { &new });
    if layout == Layout::External {
        // What was deployed before fetchd came is not kept by it. What it confirmed is.
        let mut before = scene.run(false);
        before.wait_for_version("0.9.0");
        scene.publish(&old);
        before.wait_for_version("1.0.0");
        before.wait_for_event("release.confirmed", "");
        assert_eq!(before.stop().code(), Some(0));
    }

    let mut first = scene.run(true);
    let address = first.address();
    first.wait_for_version("1.0.0");
    // On the way back nobody accepts for a moment: this one was accepted before.
    let patient = scene.is_bad().then(|| slow_request(address, Duration::from_secs(4)));
    scene.publish(&new);
    scene.stopped();
    let services = services_of(first.pid());
    let left = Leftovers(services.clone());
    assert!(!services.is_empty());
    let in_flight = patient.unwrap_or_else(|| {
        let in_flight = slow_request(address, Duration::from_secs(1));
        for _ in 0..5 {
            assert!(get(address, "/").unwrap().contains("200 OK"));
        }
        in_flight
    });
    first.signal(Signal::KILL);
    first.wait_for_end();
    let external = layout == Layout::External;
    let found = scene.live();
    assert_eq!(found, binary(if external { Binary::New } else { at_the_kill(checkpoint) }));
    let answer = in_flight.join().unwrap().expect("what was in flight is answered");
    assert!(answer.contains("200 OK"), "{answer}");

    if !external {
        scene.offer(false);
    }
    let mut second = scene.run(false);
    let address = second.address();
    let answer = get(address, "/").unwrap();
    if !external {
        let settled = if once_settled(checkpoint) == Binary::Old { &old } else { &new };
        assert!(answer.contains(&format!(r#""version":"{}""#, settled.version)), "{answer}");
        assert_eq!(scene.live(), binary(once_settled(checkpoint)));
        assert_eq!(scene.site.record().journal, None);
        assert_eq!(scene.in_custody(), [] as [std::path::PathBuf; 0]);
        scene.offer(true);
    }
    if scene.is_bad() {
        second.wait("the bad release is in quarantine", |s| {
            s.updates.quarantine.iter().any(|bad| bad.sha256 == binary(Binary::New))
        });
        second.wait_for_version("1.0.0");
        let tries = scene.site.history().iter().filter(|event| event.event == "handoff.failed").count();
        assert!(tries <= 1, "{tries} more tries");
        assert!(get(address, "/").unwrap().contains(r#""version":"1.0.0""#));
        scene.publish(&Trailer::version("1.2.0"));
        second.wait_for_version("1.2.0");
        assert_eq!(scene.live(), scene.digest(&Trailer::version("1.2.0")));
    } else {
        second.wait_for_version("1.1.0");
        assert!(get(address, "/").unwrap().contains(r#""version":"1.1.0""#));
        assert_eq!(scene.live(), binary(Binary::New));
    }
    wait_until("the release is confirmed", || scene.site.record().journal.is_none());
    assert_eq!(scene.in_custody(), [] as [std::path::PathBuf; 0]);
    wait_until("the orphans have drained", || left.0.iter().all(|pid| !runs(*pid)));
    assert_eq!(second.stop().code(), Some(0));
}

fn worker_is_killed(checkpoint: Checkpoint) {
    let scene = Scene::new(Layout::Replace, checkpoint);
    let mut fetchd = scene.run(true);
    let address = fetchd.address();
    fetchd.wait_for_version("1.0.0");
    let gentle =
        LoadPlan { fresh: 1, keep_alive: 1, think: Duration::from_millis(20), ..LoadPlan::new(Target::Tcp(address)) };
    let load = Load::start(gentle).unwrap();
    scene.publish(&Trailer::version("1.1.0"));
    let worker = scene.stopped();
    assert_eq!(worker_of(fetchd.pid()), Some(worker), "it is the worker that got there");
    processes::signal(worker, Signal::KILL);
    fetchd.wait_for_event("fetch.failed", "worker.died");
    fetchd.wait_for_version("1.1.0");
    assert_eq!(scene.live(), scene.digest(&Trailer::version("1.1.0")));
    load.wait_for_version("1.1.0", site::PATIENCE).unwrap();
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{report:?}");
    assert_eq!(scene.in_custody(), [] as [std::path::PathBuf; 0]);
    assert_eq!(fetchd.stop().code(), Some(0));
}

/// A process that is killed when the test ends, however it does.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn apply_is_ended(layout: Layout, checkpoint: Checkpoint, signal: Signal) {
    let scene = Scene::new(layout, checkpoint);
    let (old, new) = (Trailer::version("1.0.0"), Trailer::version("1.1.0"));
    let binary = |which| scene.digest(if which == Binary::Old { &old } else { &new });
    scene.publish(&new);
    let mut armed = scene.command("apply", &[], true);
    if apply_gets_there(checkpoint) {
        let mut apply = Killed(armed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let stopped = scene.stopped();
        let in_worker =
            matches!(checkpoint, Checkpoint::DownloadPartial | Checkpoint::DownloadComplete | Checkpoint::Extracted);
        assert_eq!(Some(stopped), if in_worker { worker_of(apply.0.id()) } else { Some(apply.0.id()) });
        processes::signal(apply.0.id(), signal);
        let mut ended = None;
        wait_until("apply ends", || {
            ended = apply.0.try_wait().unwrap();
            ended.is_some()
        });
        assert!(!ended.unwrap().success());
        wait_until("its worker ends with it", || !runs(stopped));
        assert_eq!(scene.live(), binary(at_the_kill(checkpoint)));
    } else {
        let output = armed.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        assert!(!scene.was_reached());
    }
    let output = scene.command("apply", &[], false).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(scene.live(), binary(Binary::New));
    let record = scene.site.record();
    assert_eq!(record.journal, None);
    assert_eq!(record.confirmed.map(|known| known.sha256), Some(binary(Binary::New)));
    assert_eq!(scene.in_custody(), [] as [std::path::PathBuf; 0]);
    let mut fetchd = scene.run(false);
    let address = fetchd.address();
    assert!(get(address, "/").unwrap().contains(r#""version":"1.1.0""#));
    assert_eq!(fetchd.stop().code(), Some(0));
}
