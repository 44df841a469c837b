//! What a store can do, as `fetchd fleet doctor` has found out and written down beside the fleet.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::store::s3::Deletes;
use crate::clock::Timestamp;
use crate::failure::Exit;
use crate::trust::Refused;

/// The largest `caps.json` that is read, in bytes.
pub const MAX_FILE: u64 = 16 * 1024;

/// What the doctor found out about a store: the object `caps.json`.
///
/// Unknown members are passed over, so that a newer doctor may find out more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// The layout, 1.
    pub v: u8,
    /// What can be done with it.
    pub tier: Tier,
    /// When it was found out, by the clock of whoever asked.
    pub at: Timestamp,
    /// By which version of fetchd.
    pub fetchd: String,
    /// New each time, so that a writer knows his own again.
    pub nonce: String,
    /// Of several that create an object, or replace the same state of it, one is told that it did, also in a race.
    pub conditions: bool,
    /// A `DELETE` under a condition looks at it.
    pub conditional_delete: bool,
    /// `If-Match` compares entity tags as they are shown, with their quotes.
    pub quoted_tags: bool,
    /// A read that finds nothing new is answered with `304`.
    pub not_modified: bool,
    /// What was written is listed at once, and lists have pages.
    pub lists: bool,
    /// The digest that an object came with is kept and told.
    pub checksums: bool,
}

/// What a store is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Tier {
    /// Everything, as on Amazon's.
    All = 1,
    /// Everything, in another way here and there.
    WithNotes = 2,
    /// It does not keep conditions: fetching and evidence only, one operator, no leases.
    FetchOnly = 3,
}

/// Something that a fleet does with its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// Hosts read heads, manifests and artifacts.
    Fetch,
    /// Hosts say what happened to them.
    Evidence,
    /// One operator, and never two at once, writes the head; one steward rolls up.
    OneOperator,
    /// Several operators, or pipelines, write the head.
    Operators,
    /// Several stewards roll up.
    Stewards,
    /// Only so many hosts of a group switch at a time.
    Leases,
}

impl Feature {
    /// All of them.
    pub const ALL: [Feature; 6] = [
        Feature::Fetch,
        Feature::Evidence,
        Feature::OneOperator,
        Feature::Operators,
        Feature::Stewards,
        Feature::Leases,
    ];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Feature::Fetch => "fetch",
            Feature::Evidence => "evidence",
            Feature::OneOperator => "one-operator",
            Feature::Operators => "operators",
            Feature::Stewards => "stewards",
            Feature::Leases => "leases",
        }
    }

    fn why(self) -> &'static str {
        match self {
            Feature::Fetch | Feature::Evidence | Feature::OneOperator => "needs no conditions",
            Feature::Operators => "two operators would overwrite each other's head and not be told",
            Feature::Stewards => "two stewards would overwrite each other's roll-up and not be told",
            Feature::Leases => "two hosts would hold the same slot",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Caps {
    /// What is believed of a store that no doctor has seen: nothing.
    pub fn unknown() -> Caps {
        Caps {
            v: 1,
            tier: Tier::FetchOnly,
            at: Timestamp(0),
            fetchd: String::new(),
            nonce: String::new(),
            conditions: false,
            conditional_delete: false,
            quoted_tags: true,
            not_modified: false,
            lists: false,
            checksums: false,
        }
    }

    /// Reads a `caps.json`. Fails with `fleet.caps_malformed` (23), also if it is of a layout that is not known.
    pub fn read(file: &[u8]) -> Result<Caps, Refused> {
        let malformed = |why: String| {
            Refused::new("fleet.caps_malformed", Exit::Content, format!("`caps.json` of the store is malformed: {why}"))
                .hint("`fetchd fleet doctor` writes it anew")
        };
        let caps: Caps = serde_json::from_slice(file).map_err(|error| malformed(error.to_string()))?;
        if caps.v == 1 { Ok(caps) } else { Err(malformed(format!("it is of layout {}, and 1 is known", caps.v))) }
    }

    /// The file.
    pub fn to_file(&self) -> Vec<u8> {
        let mut file = serde_json::to_vec_pretty(self).unwrap_or_default();
        file.push(b'\n');
        file
    }

    /// Fails with `fleet.store_lacks` (64) and the reason if the store cannot do what `feature` needs.
    pub fn allows(&self, feature: Feature) -> Result<(), Refused> {
        let needs_conditions = matches!(feature, Feature::Operators | Feature::Stewards | Feature::Leases);
        if !needs_conditions || self.conditions && self.tier != Tier::FetchOnly {
            return Ok(());
        }
        let (message, hint) = if self.at.0 == 0 {
            let message = format!("`{feature}` needs a store that keeps conditions, and nobody has asked this one");
            (message, "`fetchd fleet doctor` asks it and writes down what it can do")
        } else {
            let message =
                format!("`{feature}` needs a store that keeps conditions, and this one does not: {}", feature.why());
            (message, "use a store of tier 1 or 2; docs/fleet-stores.md names some")
        };
        Err(Refused::new("fleet.store_lacks", Exit::Usage, message).hint(hint))
    }

    /// How objects are removed there.
    pub fn deletes(&self) -> Deletes {
        if self.conditional_delete { Deletes::Conditional } else { Deletes::Tombstone }
    }
}

impl TryFrom<u8> for Tier {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Tier, &'static str> {
        match number {
            1 => Ok(Tier::All),
            2 => Ok(Tier::WithNotes),
            3 => Ok(Tier::FetchOnly),
            _ => Err("a tier is 1, 2 or 3"),
        }
    }
}

impl From<Tier> for u8 {
    fn from(tier: Tier) -> u8 {
        tier as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    fn found(tier: Tier, conditions: bool) -> Caps {
        Caps { tier, conditions, at: Timestamp(1_800_000_000), conditional_delete: true, ..Caps::unknown() }
    }

    #[test]
    fn a_store_without_conditions_is_refused_for_what_needs_them() {
        for caps in [Caps::unknown(), found(Tier::FetchOnly, false), found(Tier::FetchOnly, true)] {
            for feature in Feature::ALL {
                let refused = caps.allows(feature).err().map(|why| why.code());
                let needs = matches!(feature, Feature::Operators | Feature::Stewards | Feature::Leases);
                assert_eq!(refused, needs.then_some("fleet.store_lacks"), "{feature}");
            }
        }
        assert!(Feature::ALL.iter().all(|feature| found(Tier::WithNotes, true).allows(*feature).is_ok()));
        let hint = |caps: Caps| Failure::hint(&caps.allows(Feature::Leases).unwrap_err()).unwrap();
        assert!(hint(Caps::unknown()).contains("fleet doctor"));
        assert!(hint(found(Tier::FetchOnly, false)).contains("tier 1 or 2"));
    }

    #[test]
    fn what_is_written_is_read() {
        let caps = found(Tier::All, true);
        assert_eq!(Caps::read(&caps.to_file()).unwrap(), caps);
        assert_eq!(caps.deletes(), Deletes::Conditional);
        let text = String::from_utf8(caps.to_file()).unwrap();
        for wrong in [text.replace("\"v\": 1", "\"v\": 2"), text.replace("\"tier\": 1", "\"tier\": 4"), "{}".to_owned()]
        {
            assert_ne!(wrong, text);
            assert_eq!(Caps::read(wrong.as_bytes()).unwrap_err().code(), "fleet.caps_malformed");
        }
        assert!(Caps::read(text.replace("\"v\": 1", "\"new\": [], \"v\": 1").as_bytes()).is_ok());
    }
}
