//! A lease: the object that says who has a slot, and until when.
//!
//! A slot that was given back stays as an object without a holder: its `seq` goes on rising, so that of two holders the
//! later one has the greater number whatever happens, and no store has to delete under a condition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cohort::HostId;
use super::names::is_group;
use crate::clock::Timestamp;
use crate::digest::Sha256;

/// The largest lease that is read, in bytes.
pub const MAX_FILE: usize = 2048;

/// How long after its end a lease of somebody else is left alone, in seconds: clocks differ.
pub const MARGIN: u64 = 60;

/// The longest that anybody takes a slot for, in seconds: a broken host keeps its own for 30 days.
pub const LONGEST: u64 = 31 * 86_400;

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Who has it; `None` = it was given back.
    pub host: Option<HostId>,
    /// New with every write.
    pub nonce: String,
    /// Until when, by the holder's idea of the store's clock.
    pub until: Timestamp,
    /// Rises with every holder and every renewal; the holder's evidence names it.
    pub seq: u64,
}

impl Slot {
    /// Reads one. What is none is nobody's, and has ended: a slot is not lost because somebody wrote nonsense.
    pub fn read(body: &[u8]) -> Slot {
        let read = (body.len() <= MAX_FILE).then(|| serde_json::from_slice(body).ok()).flatten();
        read.unwrap_or(Slot { host: None, nonce: String::new(), until: Timestamp(0), seq: 0 })
    }

    /// Its bytes.
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether `host` may have it at `now`, the earlier of its clocks.
    pub fn is_free_for(&self, host: HostId, now: Timestamp) -> bool {
        self.host.is_none_or(|holder| holder == host) || now.0 > self.until.0.saturating_add(MARGIN)
    }

    /// Whether no holder can have meant it at `now`, the later of a clock's two times: a slot is not lost for ever because
    /// somebody wrote that it ends in the year 9999.
    pub fn is_nonsense(&self, now: Timestamp) -> bool {
        self.until.0 > now.0.saturating_add(LONGEST)
    }

    /// The one after this: `host` has it until `until`.
    #[must_use]
    pub fn taken(&self, host: HostId, until: Timestamp, nonce: String) -> Slot {
        Slot { host: Some(host), nonce, until, seq: self.seq.saturating_add(1) }
    }

    /// The one after this: given back.
    #[must_use]
    pub fn freed(&self, nonce: String) -> Slot {
        Slot { host: None, nonce, until: Timestamp(0), seq: self.seq.saturating_add(1) }
    }
}

/// 32 hexadecimal digits out of what the writer knows: `parts` differ from write to write.
pub fn nonce(parts: &[&str]) -> String {
    let mut digits = Sha256::of(parts.join("\n").as_bytes()).to_string();
    digits.truncate(32);
    digits
}

/// The group of a host: `template` with its labels put in; `None` if that can be no part of a key.
pub fn group(template: &str, labels: &BTreeMap<String, String>) -> Option<String> {
    let mut group = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (label, after) = after.split_once('}')?;
        group.push_str(before);
        group.push_str(labels.get(label).map_or("none", String::as_str));
        rest = after;
    }
    group.push_str(rest);
    is_group(&group).then_some(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_made_of_labels() {
        let labels = [("az".to_owned(), "eu-1a".to_owned())].into();
        assert_eq!(group("{az}", &labels).as_deref(), Some("eu-1a"));
        assert_eq!(group("web-{az}.{rack}", &labels).as_deref(), Some("web-eu-1a.none"));
        assert_eq!(group("{az", &labels), None);
        assert_eq!(group("../{az}", &labels), None);
        assert_eq!(group("_steward", &labels), None, "the stewards' own slots are nobody's group");
    }

    #[test]
    fn a_slot_of_somebody_else_is_left_alone_until_it_has_ended_for_certain() {
        let (me, other) = (HostId::named("a"), HostId::named("b"));
        let slot = Slot::read(b"nonsense").taken(other, Timestamp(1000), "n".to_owned());
        assert_eq!(Slot::read(&slot.to_body()), slot);
        assert!(!slot.is_free_for(me, Timestamp(1000 + MARGIN)) && slot.is_free_for(me, Timestamp(1001 + MARGIN)));
        assert!(slot.is_free_for(other, Timestamp(0)) && slot.freed("m".to_owned()).is_free_for(me, Timestamp(0)));
        assert_eq!(slot.freed("m".to_owned()).seq, 2);
        let for_ever = slot.taken(other, Timestamp(1001 + LONGEST), "n".to_owned());
        assert!(for_ever.is_nonsense(Timestamp(1000)) && !for_ever.is_nonsense(Timestamp(1001)));
    }
}
