//! What a host must still know after it was restarted.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::fleet::cohort::Shards;
use crate::fleet::evidence::{Code, Place, Report};
use crate::fleet::lease::Slot;
use crate::fleet::store::Tag;

/// Written durably by the driver whenever [`Host::changed`](super::Host::changed) says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The highest state that was verified; a lower one is refused.
    #[serde(default)]
    pub seq: u64,
    /// Its file.
    #[serde(default)]
    pub file: Option<File>,
    /// When this host last saw the head without the rollout that it has now, by its own clock: the rollout cannot have
    /// begun before, whatever it says. `None` = it has seen no other.
    #[serde(default)]
    pub before: Option<Timestamp>,
    /// When the head was last read, by its own clock.
    #[serde(default)]
    pub read: Option<Timestamp>,
    /// What is not tried again.
    #[serde(default)]
    pub denied: Vec<Denied>,
    /// Evidence that is still to be sent, the oldest first.
    #[serde(default)]
    pub unsent: Vec<Unsent>,
    /// A slot that this host has.
    #[serde(default)]
    pub held: Option<Box<Held>>,
    /// A switch that was begun and whose end is not known.
    #[serde(default)]
    pub begun: Option<Box<Begun>>,
    /// The last switch that ended well: should its release not hold after all, that is still to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub well: Option<Box<Begun>>,
    /// The rollout and the try of which it has said that it runs the release already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<(String, u16)>,
    /// When the inventory was last sent, by its own clock.
    #[serde(default)]
    pub inventoried: Option<Timestamp>,
}

/// A release that was bad here in this try: only an operator's `retry` begins another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// The release.
    pub release: String,
    /// The try.
    pub attempt: u16,
    /// Why.
    pub code: Code,
}

/// A switch from the moment before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The rollout.
    pub rollout: String,
    /// To which release.
    pub release: String,
    /// The try.
    pub attempt: u16,
    /// From where in the plan.
    pub place: Place,
    /// The rollout's shards.
    pub shards: Shards,
    /// The share of hosts that report `ok`, in parts of a thousand.
    pub ok_sample: u16,
    /// Whether the slot is kept where it ends badly.
    pub hold_on_failure: bool,
    /// How often it was started and nobody was left to tell the end.
    #[serde(default)]
    pub starts: u8,
}

/// Evidence on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsent {
    /// The rollout.
    pub rollout: String,
    /// Its shards.
    pub shards: Shards,
    /// What happened.
    pub report: Report,
    /// When, by this host's own clock.
    pub at: Timestamp,
    /// Why, in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Box<Words>>,
}

/// Why a release did not hold, for people who look at a rollout: bounded, and without control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// A sentence.
    pub reason: String,
    /// The end of what the program wrote; may be empty.
    pub log: String,
}

impl Words {
    /// The longest sentence and the longest log, in bytes: evidence has room for 1 KiB of JSON.
    const LONGEST: [usize; 2] = [160, 360];

    /// The first line of `text` as the reason, the end of the rest as the log.
    pub fn of(text: &str) -> Words {
        let (reason, log) = text.split_once('\n').unwrap_or((text, ""));
        let plain = |text: &str| -> String {
            text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
        };
        let (reason, log) = (plain(reason), plain(log.trim_end()));
        let end = reason.floor_char_boundary(Words::LONGEST[0]);
        let begin = log.ceil_char_boundary(log.len().saturating_sub(Words::LONGEST[1]));
        Words { reason: reason[..end].to_owned(), log: log[begin..].to_owned() }
    }
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The rollout it was taken for.
    pub rollout: String,
    /// The group.
    pub group: String,
    /// Which of its slots.
    pub number: u32,
    /// As it was written last.
    pub slot: Slot,
    /// The tag of that; `None` = the store has not told, and it is read before it is written again.
    pub tag: Option<Tag>,
    /// What is to become of it.
    pub fate: Fate,
}

/// What is to become of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is needed for a switch.
    Used,
    /// It is to be given back.
    Free,
    /// It is to be kept for long: the host is broken, and counts against its group. In the store that is not known yet.
    Keep,
    /// As [`Fate::Keep`], and the store knows.
    Kept,
}

/// A head's file: shared between the hosts of a simulation.
#[derive(Clone, PartialEq, Eq)]
pub struct File(pub Arc<[u8]>);

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "File({} bytes)", self.0.len())
    }
}

impl Serialize for File {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A head that was opened is UTF-8.
        serializer.collect_str(&String::from_utf8_lossy(&self.0))
    }
}

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<File, D::Error> {
        String::deserialize(deserializer).map(|text| File(text.into_bytes().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_short_and_plain_whatever_a_program_wrote() {
        let words = Words::of("the new process exited with code 3\n\x1b[31mpanicked\x1b[0m\nat main");
        assert_eq!(words.reason, "the new process exited with code 3");
        assert_eq!(words.log, " [31mpanicked [0m\nat main");
        let long = Words::of(&format!("{}\n{}", "ä".repeat(200), "ö".repeat(400)));
        assert_eq!((long.reason.chars().count(), long.log.chars().count()), (80, 180));
        assert_eq!(Words::of("only this").log, "");
    }
}
