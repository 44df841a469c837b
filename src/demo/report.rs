//! What the demo says while it is played, and afterwards.

use serde::Serialize;

use super::site::Site;
use crate::failure::Reported;
use crate::state::Event;

/// Who watches.
pub trait Watcher {
    /// Something happens, or has happened. False: nobody watches any more.
    fn tell(&mut self, news: &News<'_>) -> bool;
}

/// What a watcher is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum News<'a> {
    /// Everything is in place.
    Begun {
        /// The temporary directory.
        dir: &'a str,
        /// The supervisor's process id.
        supervisor: u32,
        /// Where the service is reached.
        address: &'a str,
        /// How many clients ask, of either kind.
        clients: usize,
    },
    /// A step begins.
    Next {
        /// The release or the command.
        release: &'a str,
        /// What is wrong with it.
        flaw: &'a str,
    },
    /// It has ended, well or badly.
    Done(&'a Step),
}

/// One step and what came of it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// The release, or the operator's command.
    pub release: String,
    /// What is wrong with it; `nothing` for a good one.
    pub flaw: String,
    /// `live`, `rolled_back`, `refused`, or `unexpected`.
    pub outcome: &'static str,
    /// What fetchd did, in words.
    pub did: String,
    /// The stable code of the failure, where there was one.
    pub code: Option<String>,
    /// From the publication to the outcome.
    pub ms: u64,
    /// Requests that ended meanwhile.
    pub requests: u64,
    /// How many of them failed.
    pub failed: u64,
    /// The longest request, in milliseconds; those that were asked to be slow are not counted.
    pub longest_ms: f64,
}

/// Everything that happened.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Requests that ended.
    pub requests: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How often a new process took over.
    pub handoffs: usize,
    /// How often the release before was brought back.
    pub rollbacks: usize,
    /// How many releases were never started.
    pub refused: usize,
    /// The supervisor's process id at the beginning.
    pub supervisor_pid_before: u32,
    /// And at the end.
    pub supervisor_pid_after: u32,
    /// From the start of each new process until it took over; the old one served meanwhile.
    pub handoff_ms: Vec<u64>,
    /// How long it all took.
    pub elapsed_ms: u64,
    /// Each step.
    pub steps: Vec<Step>,
    /// Why it does not count as a success.
    pub error: Option<Reported>,
    /// The directory, if it was left behind.
    pub directory: Option<String>,
    /// The end of the supervisor's log, if something went wrong.
    pub log_tail: Option<String>,
}

impl Report {
    /// Counts what the supervisor wrote down, so that the numbers do not rest on the plan.
    pub(super) fn count(&mut self, site: &Site) {
        let number = |value: &serde_json::Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        self.handoff_ms = site
            .log_lines()
            .iter()
            .filter(|line| line.get("event").is_some_and(|event| event == "handoff.ready"))
            // The first process took over from nobody.
            .filter(|line| line.get("generation").and_then(number).is_some_and(|generation| generation > 1))
            .filter_map(|line| line.get("took_ms").and_then(number))
            .collect();
        self.handoffs = self.handoff_ms.len();
        let undone = |event: &&Event| matches!(event.event.as_str(), "handoff.failed" | "release.rolled_back");
        self.rollbacks = site.history().iter().filter(undone).count();
        self.refused = self.steps.iter().filter(|step| step.outcome == "refused").count();
    }
}
