//! What has happened since the supervisor began, in numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcome::{Outcome, PassFailure};
use crate::clock::Timestamp;
use crate::failure::Failure as _;
use crate::restart::{Handoff, HandoffError, Launch, RestartDriver};

/// Numbers, each under a word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByWord(BTreeMap<String, u64>);

impl ByWord {
    /// Adds `number` under `word`. Words are few; should they not be, the newest share one, `other`.
    pub fn add(&mut self, word: &str, number: u64) {
        let full = self.0.len() >= MOST_WORDS && !self.0.contains_key(word);
        let word = if full { "other" } else { word };
        let so_far = self.0.entry(word.to_owned()).or_default();
        *so_far = so_far.saturating_add(number);
    }

    /// What is under `word`.
    pub fn of(&self, word: &str) -> u64 {
        self.0.get(word).copied().unwrap_or_default()
    }

    /// Every word that anything was added under.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(word, number)| (word.as_str(), *number))
    }
}

/// What has happened since the supervisor began: in this program, and in those that it has replaced in its process. What an
/// earlier program has not counted is 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Passes, by the word for how they ended.
    pub passes: ByWord,
    /// Passes that took nothing for a reason, by the word of their end and the stable code of the reason.
    pub reasons: BTreeMap<String, ByWord>,
    /// When a pass came to its end last.
    pub succeeded: Option<Timestamp>,
    /// When one failed last.
    pub failed: Option<Timestamp>,
    /// Releases that were fetched and verified, by the way they came: `full`, `dcz`, `fxd-1`.
    pub fetched: ByWord,
    /// Bytes of completed downloads, by the same.
    pub received: ByWord,
    /// Bytes that deltas were smaller than the full artifacts.
    pub saved: u64,
    /// Releases that came whole, by the code of why not by a delta.
    pub whole: ByWord,
    /// Deltas that were tried and did not do, by the code of what was wrong.
    pub bad_deltas: ByWord,
    /// Handoffs: `ready`, `failed`.
    pub handoffs: ByWord,
    /// From the request to the readiness of the last one that was ready.
    pub handoff_took: Option<Duration>,
    /// Watches: `passed`, `failed`.
    pub watches: ByWord,
    /// Releases that gave way to the one before: `handoff`, `watch`, `crash_loop`, `operator`.
    pub rollbacks: ByWord,
    /// Processes of the service that became ready.
    pub starts: u64,
    /// Serving processes that ended by themselves.
    pub crashes: u64,
    /// Times that they were too many.
    pub crash_loops: u64,
}

impl Counts {
    pub(super) fn passed(&mut self, result: &Result<Outcome, PassFailure>, at: Timestamp) {
        let word = result_word(result);
        self.passes.add(word, 1);
        let code = match result {
            Ok(outcome) => {
                self.succeeded = Some(at);
                outcome.held_back().map(|why| why.code.clone())
            }
            Err(failure) if failure.was_interrupted() => None,
            Err(failure) => {
                self.failed = Some(at);
                Some(failure.code().to_owned())
            }
        };
        if let Some(code) = code {
            self.reasons.entry(word.to_owned()).or_default().add(&code, 1);
        }
    }
}

/// How a pass ended, in one of [`RESULT_WORDS`].
fn result_word(result: &Result<Outcome, PassFailure>) -> &'static str {
    match result {
        Ok(outcome) => outcome.word(),
        Err(failure) if failure.was_interrupted() => "interrupted",
        Err(PassFailure::Fetch(_)) => "fetch_failed",
        Err(PassFailure::Refused(_) | PassFailure::Verify(_)) => "refused",
        Err(PassFailure::Install(_)) => "install_failed",
        Err(PassFailure::Handoff(_)) => "handoff_failed",
        Err(PassFailure::State(_) | PassFailure::Panicked(_)) => "failed",
    }
}

/// Every way in which a pass can end.
pub const RESULT_WORDS: [&str; 13] = [
    "unchanged",
    "up_to_date",
    "available",
    "held",
    "not_ready",
    "stale",
    "updated",
    "interrupted",
    "fetch_failed",
    "refused",
    "install_failed",
    "handoff_failed",
    "failed",
];

/// [`Counts`] that several write: the agent and the loop of the supervisor.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Counts>>);

impl Ledger {
    /// One that goes on from `counts`.
    pub fn of(counts: Counts) -> Ledger {
        Ledger(Arc::new(Mutex::new(counts)))
    }

    /// A copy of what is in it.
    pub fn read(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds to it.
    pub fn enter(&self, add: impl FnOnce(&mut Counts)) {
        add(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn rolled_back(&self, cause: &str) {
        self.enter(|counts| counts.rollbacks.add(cause, 1));
    }
}

/// A driver whose handoffs and watches are entered in a [`Ledger`].
#[derive(Debug)]
pub struct Entered {
    driver: Box<dyn RestartDriver>,
    ledger: Ledger,
}

impl Entered {
    /// `driver`, with `ledger` kept.
    pub fn new(driver: Box<dyn RestartDriver>, ledger: Ledger) -> Entered {
        Entered { driver, ledger }
    }
}

impl RestartDriver for Entered {
    fn name(&self) -> &'static str {
        self.driver.name()
    }

    fn handoff(&mut self, to: &Launch) -> Result<Handoff, HandoffError> {
        let result = self.driver.handoff(to);
        self.ledger.enter(|counts| match &result {
            Ok(handoff) => {
                counts.handoffs.add("ready", 1);
                counts.handoff_took = Some(handoff.took);
            }
            // Nothing is said of a release when the supervisor ends.
            Err(HandoffError::Stopping) => {}
            Err(_) => counts.handoffs.add("failed", 1),
        });
        result
    }

    fn watch(&mut self) -> Result<(), HandoffError> {
        let result = self.driver.watch();
        self.ledger.enter(|counts| match &result {
            Ok(()) => counts.watches.add("passed", 1),
            Err(HandoffError::Stopping) => {}
            Err(_) => counts.watches.add("failed", 1),
        });
        result
    }

    fn confirm(&mut self) {
        self.driver.confirm();
    }

    fn abort(&mut self) {
        self.driver.abort();
    }

    fn roll_back(&mut self, to: &Launch) -> Result<Handoff, HandoffError> {
        self.driver.roll_back(to)
    }

    fn give_up(&mut self) {
        self.driver.give_up();
    }
}

/// More stable codes than one part of a pass has.
const MOST_WORDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Exit, Reported};
    use crate::trust::Refused;

    #[test]
    fn passes_are_counted_by_their_end_and_reasons_by_their_code() {
        let refused = || Refused::new("trust.signature", Exit::Trust, "no");
        let results = [
            Ok(Outcome::Unchanged),
            Ok(Outcome::Held(Reported::from(Refused::new("policy.hold", Exit::Stale, "held")))),
            Err(PassFailure::Refused(refused())),
            Err(PassFailure::Refused(refused())),
            Err(PassFailure::Handoff(HandoffError::Stopping)),
        ];
        let mut counts = Counts::default();
        for (at, result) in (10..).zip(&results) {
            assert!(RESULT_WORDS.contains(&result_word(result)));
            counts.passed(result, Timestamp(at));
        }
        let passes: Vec<_> = counts.passes.iter().collect();
        assert_eq!(passes, [("held", 1), ("interrupted", 1), ("refused", 2), ("unchanged", 1)]);
        assert_eq!(counts.reasons["refused"].of("trust.signature"), 2);
        assert_eq!(counts.reasons["held"].of("policy.hold"), 1);
        assert_eq!(counts.reasons.len(), 2);
        assert_eq!((counts.succeeded, counts.failed), (Some(Timestamp(11)), Some(Timestamp(13))));
    }

    #[test]
    fn words_without_end_share_one() {
        let mut counts = ByWord::default();
        for number in 0..1000 {
            counts.add(&format!("code.{number:04}"), 1);
        }
        assert_eq!((counts.iter().count(), counts.of("other")), (MOST_WORDS + 1, (1000 - MOST_WORDS) as u64));
        counts.add("code.0000", 1);
        assert_eq!(counts.of("code.0000"), 2);
    }

    #[test]
    fn what_another_fetchd_has_counted_is_taken_as_far_as_it_is_known() {
        let counts: Counts = serde_json::from_str("{\"starts\":3,\"of_tomorrow\":[1]}").unwrap();
        assert_eq!(counts, Counts { starts: 3, ..Counts::default() });
        let text = serde_json::to_string(&counts).unwrap();
        assert_eq!(serde_json::from_str::<Counts>(&text).unwrap(), counts);
    }
}
