//! Duties of process 1 in a container.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions};

/// Reaps children that are nobody's: what loses its parent in a container ends up with its process 1.
///
/// Our own children (services, workers, smoke runs, probes) are reaped by whoever started them, within moments of their
/// end. What is still there [`STRANGER_AFTER`] later is nobody's. Waiting for "any child" instead would take our own from
/// their owners.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    seen: BTreeMap<i32, Instant>,
}

impl Strangers {
    /// Looks for children that have ended. Says when to look again.
    pub(super) fn reap(&mut self, now: Instant) -> Option<Instant> {
        if !rustix::process::getpid().is_init() {
            return None;
        }
        let ended = ended_children();
        self.seen.retain(|pid, _| ended.contains(pid));
        for pid in ended {
            let since = *self.seen.entry(pid).or_insert(now);
            if now.duration_since(since) >= STRANGER_AFTER
                && let Some(pid) = Pid::from_raw(pid)
            {
                let _ = rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
            }
        }
        self.seen.values().min().map(|since| (*since + STRANGER_AFTER).max(now + Duration::from_millis(100)))
    }
}

/// The children of process 1 that have ended and wait to be reaped.
fn ended_children() -> Vec<i32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ended = processes.flatten().filter_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        (fields.next() == Some("Z") && fields.next() == Some("1")).then_some(pid)
    });
    ended.collect()
}

/// Longer than any owner takes to reap its own child.
const STRANGER_AFTER: Duration = Duration::from_secs(5);
