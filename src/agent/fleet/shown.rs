//! What a host of a fleet says of itself.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::Fleet;
use crate::agent::outcome::Outcome;
use crate::failure::{Exit, Reported};
use crate::fleet::cohort::HostId;
use crate::fleet::evidence::Code;
use crate::fleet::host::{Shown, Word};
use crate::fleet::why::why;

/// The fleet's part of a status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FleetShown {
    /// The host's number.
    pub host: HostId,
    /// What its operator calls it.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it volunteers to count what others report.
    pub steward: bool,
    /// One sentence.
    pub says: String,
    /// Where it is in the rollout.
    #[serde(flatten)]
    pub shown: Shown,
}

impl Fleet {
    /// What there is to show.
    pub fn shown(&self) -> FleetShown {
        let (me, shown) = (&self.member.me, self.host.shown());
        FleetShown {
            host: me.id,
            name: me.name.clone(),
            labels: me.labels.clone(),
            steward: me.volunteers,
            says: told(&shown),
            shown,
        }
    }

    /// The source as it was configured, without secrets.
    pub fn source(&self) -> &str {
        &self.member.shown_as
    }
}

/// How a pass ends that has nothing more to do for now.
pub(super) fn outcome(shown: &Shown, version: Option<Version>, failure: Option<&Reported>) -> Outcome {
    match shown.word {
        Word::UpToDate => Outcome::UpToDate { version },
        Word::Starting if shown.trouble.is_none() => Outcome::Unchanged,
        _ => Outcome::Held(report(shown, failure)),
    }
}

/// Why nothing is taken; in the words of `failure`, if that is what the machine has the code of.
pub(super) fn report(shown: &Shown, failure: Option<&Reported>) -> Reported {
    let trouble = code(shown).map(|code| code.as_str().to_owned());
    let code = trouble.unwrap_or_else(|| format!("fleet.{}", word(shown.word)));
    if let Some(failure) = failure.filter(|failure| failure.code == code) {
        return Reported { message: sentence(shown, Some(&failure.message)), ..failure.clone() };
    }
    let exit = match shown.word {
        Word::WaitsForStore => Exit::Unreachable,
        _ => exit(&code),
    };
    Reported { exit, message: sentence(shown, words(shown)), hint: hint(shown, exit).map(str::to_owned), code }
}

/// A refused head is one that nobody believes, or one from the past; whatever else holds a host back is a matter of time.
fn exit(code: &str) -> Exit {
    const TRUST: [&str; 7] = [
        "signature.",
        "head.malformed",
        "head.wrong_type",
        "head.too_large",
        "head.unsupported",
        "fleet.out_of_bounds",
        "fleet.no_bounds",
    ];
    const ROLLBACK: [&str; 6] = [
        "head.rollback",
        "head.seq_jump",
        "head.equivocation",
        "head.wrong_product",
        "head.wrong_channel",
        "fleet.no_way_back",
    ];
    let among = |list: &[&str]| list.iter().any(|start| code.starts_with(start));
    match () {
        () if among(&TRUST) => Exit::Trust,
        () if among(&ROLLBACK) => Exit::Rollback,
        () => Exit::Stale,
    }
}

/// What somebody can do about it.
fn hint(shown: &Shown, exit: Exit) -> Option<&'static str> {
    Some(match (shown.word, exit) {
        (_, Exit::Trust) => "ask whoever signs the rollouts: `fetchd fleet status` shows what is in force",
        (_, Exit::Rollback) => "a bucket that shows what is older or another's may be in other hands",
        (Word::WaitsForStore, _) => "it is asked again; `fetchd fleet doctor` says what is wrong with the bucket",
        (Word::Halted, _) => "`fetchd fleet status` says why, and `fetchd fleet resume` goes on",
        (Word::Held, _) => "`fetchd fleet explain` says what holds a host",
        (Word::WaitsForStep, _) => "`fetchd fleet status` says how far the step before is",
        _ => return None,
    })
}

/// One sentence for a person.
fn sentence(shown: &Shown, why: Option<&str>) -> String {
    let release = shown.release.as_deref().map_or_else(|| "the fleet".to_owned(), |release| format!("`{release}`"));
    let rollout = shown.rollout.as_deref().map(|rollout| format!(" of the rollout `{rollout}`")).unwrap_or_default();
    let at = shown.earliest.map(|at| format!(", not before {at}")).unwrap_or_default();
    let place = shown.place.map(|place| format!(" in ring {}, step {}", place.ring + 1, place.step + 1));
    let place = place.unwrap_or_default();
    let why = why.map(|words| format!(": {words}")).unwrap_or_default();
    let what = match shown.word {
        Word::Starting => "the head was not read yet".to_owned(),
        Word::UpToDate => "runs".to_owned(),
        Word::Waiting => format!("waits for this host's turn{place}{at}"),
        Word::WaitsForStep => format!("waits until the step before has passed{place}{at}"),
        Word::WaitsForWindow => "waits for a maintenance window".to_owned(),
        Word::WaitsForSlot => "waits for a slot of its group".to_owned(),
        Word::WaitsForStore => "waits for the bucket".to_owned(),
        Word::Preparing => format!("is being prepared{at}"),
        Word::Switching => "takes over now".to_owned(),
        Word::Held | Word::Halted => "is not taken".to_owned(),
    };
    format!("{release}{rollout}: {what}{why}")
}

/// The same with the code in brackets, where nothing else shows it.
pub(super) fn told(shown: &Shown) -> String {
    let code = code(shown).map(|code| format!(" [{}]", code.as_str())).unwrap_or_default();
    format!("{}{code}", sentence(shown, words(shown)))
}

fn words(shown: &Shown) -> Option<&'static str> {
    code(shown).and_then(|code| why(code.as_str()))
}

/// What went wrong last, or what the host waits for.
fn code(shown: &Shown) -> Option<&Code> {
    shown.trouble.as_ref().or(shown.code.as_ref())
}

fn word(word: Word) -> String {
    serde_json::to_value(word).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn held(word: Word, code: Option<&str>) -> Shown {
        Shown {
            word,
            code: code.map(Code::new),
            rollout: Some("r-1".to_owned()),
            release: Some("1.1.0".to_owned()),
            seq: 1,
            place: None,
            position: None,
            earliest: None,
            next: Timestamp(0),
            clock_ahead_s: None,
            clock_is_off: false,
            trouble: None,
            alarm: false,
            unsent: 0,
            slot: None,
        }
    }

    #[test]
    fn a_person_reads_words_and_finds_the_code_once() {
        let shown = held(Word::Held, Some("head.absent"));
        let said = report(&shown, None);
        let text = "`1.1.0` of the rollout `r-1`: is not taken: \
                    the signed state of the rollout is not in the bucket, or not any more";
        assert_eq!((said.message.as_str(), said.code.as_str()), (text, "head.absent"));
        assert_eq!(told(&shown), format!("{text} [head.absent]"));
        assert!(told(&held(Word::Halted, Some("fleet.halted"))).ends_with("it went wrong [fleet.halted]"));
        assert_eq!(told(&held(Word::UpToDate, None)), "`1.1.0` of the rollout `r-1`: runs");
        // What the driver knows better is said in its words, and once.
        let failure = Reported {
            code: "signature.wrong".to_owned(),
            exit: Exit::Trust,
            message: "line 3 is cut off".to_owned(),
            hint: None,
        };
        let said = report(&held(Word::Held, Some("signature.wrong")), Some(&failure));
        assert_eq!(said.message, "`1.1.0` of the rollout `r-1`: is not taken: line 3 is cut off");
    }
}
