//! The signed state of a rollout: the one object that every host polls.
//!
//! The file is one JSON object whose last member is `sig`. What is signed is everything before it, closed with `}`:
//! the bytes as they stand in the file, so nothing has to be written anew to be checked. A signature is a minisign
//! signature (prehashed) whose trusted comment is [`COMMENT`], so that nothing else that a key of a
//! rollout signs can be taken for one.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cohort::Shards;
use super::evidence::Place;
use super::names::Names;
use super::plan::{Ack, Gate, Lease, OnHalt, Phase, Pin, PollHint, Ring, Step, Supersede, Window};
use crate::clock::Timestamp;
use crate::failure::Exit;
use crate::trust::{KeySet, Refused, blake2b512, strict_json_with_fractions};

/// The trusted comment of a signature of a head.
pub const COMMENT: &str = "fetchd rollout head";

/// The largest head that is read, in bytes.
pub const MAX_FILE: usize = 64 * 1024;

/// How deep its JSON may be.
const MAX_DEPTH: usize = 8;

/// The most rings, the most steps of one, and the most windows.
pub const MOST: usize = 32;

/// The most pins.
pub const MOST_PINS: usize = 256;

/// The longest time to anything in a plan, in seconds: a year.
const LONGEST: u64 = 366 * 24 * 3600;

/// What an operator has signed. Made by [`Head::open`], where the signature held, and by whoever writes a new one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The layout, 1.
    pub v: u8,
    /// The product.
    pub product: String,
    /// The channel.
    pub channel: String,
    /// Rises with every state.
    pub seq: u64,
    /// 32 hexadecimal digits, new with every state: no two are the same, and a writer knows his own again.
    pub nonce: String,
    /// Until when it may be acted on. Later nothing is started, and what runs goes on.
    pub valid_until: Timestamp,
    /// The rollout.
    pub rollout: String,
    /// The release that is rolled out: a directory of `rel/`.
    pub release: String,
    /// The releases a host may come from; none = any that its manifest lets.
    #[serde(default)]
    pub base: Vec<String>,
    /// Sorts the hosts.
    pub salt: String,
    /// Whether it goes on.
    pub state: Phase,
    /// When it began.
    pub t0: Timestamp,
    /// Rings, in their order; at least one.
    pub rings: Vec<Ring>,
    /// The steps of each ring that has none of its own; at least one.
    pub steps: Vec<Step>,
    /// When it goes on and when it stops.
    pub gate: Gate,
    /// What happens to hosts that have it when it halts.
    #[serde(default)]
    pub on_halt: OnHalt,
    /// When hosts may switch; none = at any time.
    #[serde(default)]
    pub windows: Vec<Window>,
    /// How many may switch at a time; `None` = as many as the step has.
    #[serde(default)]
    pub lease: Option<Lease>,
    /// How often hosts ask.
    pub poll_s: PollHint,
    /// Hosts with a release of their own.
    #[serde(default)]
    pub pins: Vec<Pin>,
    /// Which try this is, from 1: hosts that were bad in an earlier one try again.
    pub attempt: u16,
    /// The halt that was seen and is not counted any more.
    #[serde(default)]
    pub ack: Option<Ack>,
    /// Into how many parts the evidence is divided.
    pub shards: Shards,
    /// The share of hosts that report `ok`, from 0 to 1; `started` and `bad` are always reported.
    #[serde(default = "whole")]
    pub ok_sample: f64,
    /// The last place that an operator has opened by hand, manual or not passed; bounds hold all the same.
    #[serde(default)]
    pub promoted: Option<Place>,
    /// What a host does with the rollout before this one.
    #[serde(default)]
    pub supersede: Supersede,
    /// A host that no ring matches: `false` = it belongs to the last, `true` = it takes nothing.
    #[serde(default)]
    pub hold_unmatched: bool,
}

fn whole() -> f64 {
    1.0
}

/// Opens heads: with keys, or (in a simulation of many hosts) with what it has opened before.
pub trait OpenHead: fmt::Debug {
    /// The head in `file`, once its signature has held. Fails as [`Head::open`] does.
    fn open(&self, file: &[u8]) -> Result<Arc<Head>, Refused>;
}

/// Who may sign a rollout of what.
#[derive(Debug, Clone)]
pub struct Rollouts {
    /// The online keys, and how many of them must agree.
    pub keys: KeySet,
    /// The product and the channel.
    pub names: Names,
}

impl OpenHead for Rollouts {
    fn open(&self, file: &[u8]) -> Result<Arc<Head>, Refused> {
        Head::open(file, &self.keys, &self.names).map(Arc::new)
    }
}

impl Head {
    /// Reads a head that enough of `keys` have signed, for the product and channel of `names`.
    ///
    /// Fails with `head.too_large`, `head.malformed`, `head.wrong_product`, `head.wrong_channel`, `head.unsupported`,
    /// or one of the `signature.` codes. Whether it is old or out of date is not asked here.
    pub fn open(file: &[u8], keys: &KeySet, names: &Names) -> Result<Head, Refused> {
        let (payload, signatures) = split(file)?;
        let signatures: Vec<&[u8]> = signatures.iter().map(String::as_bytes).collect();
        check_comments(&signatures)?;
        keys.verify(&blake2b512(&payload), &signatures)?;
        let head = Head::read(&payload)?;
        if head.product != names.product() {
            let message = format!("the head is of the product `{}`, not `{}`", head.product, names.product());
            return Err(Refused::new("head.wrong_product", Exit::Rollback, message));
        }
        if head.channel != names.channel() {
            let message = format!("the head is of the channel `{}`, not `{}`", head.channel, names.channel());
            return Err(Refused::new("head.wrong_channel", Exit::Rollback, message));
        }
        Ok(head)
    }

    /// The head in `payload`, the bytes that are signed; whether anybody signed them is not asked.
    pub fn read(payload: &[u8]) -> Result<Head, Refused> {
        let value = strict_json_with_fractions(payload, MAX_DEPTH).map_err(|why| malformed(&why))?;
        match value.get("v").and_then(Value::as_u64) {
            Some(1) => {}
            Some(v) => {
                let message = format!("the head is of layout {v}, and only layout 1 is known");
                return Err(Refused::new("head.unsupported", Exit::Trust, message).hint("update fetchd itself first"));
            }
            None => return Err(malformed("`v` is no number")),
        }
        let head = Head::deserialize(value).map_err(|error| malformed(&error.to_string()))?;
        head.check().map_err(|why| malformed(&why))?;
        Ok(head)
    }

    /// The bytes that are to be signed. Fails with `head.malformed` if the head makes no sense.
    pub fn payload(&self) -> Result<Vec<u8>, Refused> {
        self.check().map_err(|why| malformed(&why))?;
        serde_json::to_vec(self).map_err(|error| malformed(&error.to_string()))
    }

    /// The file: `payload` with its signatures. Fails with `head.malformed` if `payload` is none.
    pub fn to_file(payload: &[u8], signatures: &[String]) -> Result<Vec<u8>, Refused> {
        let list = serde_json::to_string(signatures).map_err(|error| malformed(&error.to_string()))?;
        let open = payload.strip_suffix(b"}").ok_or_else(|| malformed("it does not end with `}`"))?;
        let file = [open, &SIG.as_bytes()[..SIG.len() - 1], list.as_bytes(), b"}"].concat();
        if file.len() > MAX_FILE {
            return Err(too_large(file.len()));
        }
        Ok(file)
    }

    /// What makes no sense about it, if anything does.
    pub fn nonsense(&self) -> Option<String> {
        self.check().err()
    }

    /// What makes no sense about it.
    fn check(&self) -> Result<(), String> {
        let hex = |text: &str| text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !hex(&self.nonce) {
            return Err("`nonce` is not 32 hexadecimal digits".to_owned());
        }
        if !is_rollout(&self.rollout) || !is_release(&self.release) {
            return Err("`rollout` or `release` is not a name".to_owned());
        }
        if self.attempt == 0 {
            return Err("`attempt` begins at 1".to_owned());
        }
        if self.rings.is_empty() || self.rings.len() > MOST {
            return Err(format!("there are {} rings, and 1 to {MOST} can be", self.rings.len()));
        }
        check_steps(&self.steps)?;
        for steps in self.rings.iter().filter_map(|ring| ring.steps.as_ref()) {
            check_steps(steps)?;
        }
        if self.rings.iter().any(|ring| ring.delay_s > LONGEST) || self.gate.deadline_s > LONGEST {
            return Err("a time of it is longer than a year".to_owned());
        }
        let share = |share: f64| (0.0..=1.0).contains(&share);
        if !share(self.gate.ok_share) || !share(self.ok_sample) || !(0.0..=100.0).contains(&self.gate.max_bad_pct) {
            return Err("a share of it is not one".to_owned());
        }
        if self.poll_s.idle == 0 || self.poll_s.open == 0 || self.poll_s.idle > LONGEST || self.poll_s.open > LONGEST {
            return Err("`poll_s` is not from 1 second to a year".to_owned());
        }
        if self.lease.as_ref().is_some_and(|lease| lease.slots == 0 || lease.slots > 10_000) {
            return Err("a lease has 1 to 10 000 slots".to_owned());
        }
        let (windows, pins) = (self.windows.len(), self.pins.len());
        if windows > MOST || pins > MOST_PINS {
            let message =
                format!("there are {windows} windows and {pins} pins, and at most {MOST} and {MOST_PINS} can be");
            return Err(message);
        }
        if self.pins.iter().filter_map(|pin| pin.release.as_deref()).any(|release| !is_release(release)) {
            return Err("a pin's `release` is not a name".to_owned());
        }
        let in_plan = |place: &Place| {
            usize::from(place.ring) < self.rings.len()
                && usize::from(place.step) < self.steps_of(usize::from(place.ring)).len()
        };
        if self.promoted.as_ref().is_some_and(|place| !in_plan(place)) {
            return Err("`promoted` is no step of the plan".to_owned());
        }
        if self
            .windows
            .iter()
            .any(|window| super::rule::minute(&window.start).is_none() || super::rule::minute(&window.end).is_none())
        {
            return Err("a window's time is not `HH:MM`".to_owned());
        }
        Ok(())
    }

    /// The steps of a ring.
    pub fn steps_of(&self, ring: usize) -> &[Step] {
        self.rings.get(ring).and_then(|ring| ring.steps.as_deref()).unwrap_or(&self.steps)
    }
}

fn check_steps(steps: &[Step]) -> Result<(), String> {
    if steps.is_empty() || steps.len() > MOST {
        return Err(format!("there are {} steps, and 1 to {MOST} can be", steps.len()));
    }
    let mut before = 0.0;
    for step in steps {
        if !(step.pct > before && step.pct <= 100.0) {
            return Err(format!("`pct` of a step is {}, after {before}: it rises up to 100", step.pct));
        }
        if step.ramp_s > LONGEST || step.bake_s > LONGEST {
            return Err("a step takes longer than a year".to_owned());
        }
        before = step.pct;
    }
    Ok(())
}

/// How the signatures begin. They are the last member: nothing that follows can be mistaken for them.
const SIG: &str = ",\"sig\":[";

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} (state {})", self.release, self.rollout, self.seq)
    }
}

/// The signed bytes of a head's file, and its signatures.
pub fn split(file: &[u8]) -> Result<(Vec<u8>, Vec<String>), Refused> {
    if file.len() > MAX_FILE {
        return Err(too_large(file.len()));
    }
    let text = std::str::from_utf8(file).map_err(|_| malformed("it is not UTF-8"))?.trim_end_matches('\n');
    let at = text.rfind(SIG).ok_or_else(|| malformed("`sig` is not its last member"))?;
    let list = text[at + SIG.len() - 1..].strip_suffix('}').ok_or_else(|| malformed("it does not end with `}`"))?;
    let signatures: Vec<String> =
        serde_json::from_str(list).map_err(|_| malformed("`sig` is not a list of texts at its end"))?;
    let payload = format!("{}}}", &text[..at]).into_bytes();
    Ok((payload, signatures.into_iter().take(KeySet::LOOKED_AT).collect()))
}

/// A signature of something else by the same key is none.
fn check_comments(signatures: &[&[u8]]) -> Result<(), Refused> {
    for signature in signatures {
        let signature = crate::trust::Signature::parse(signature)?;
        if signature.claimed_comment() != COMMENT {
            let message = format!("the signature's trusted comment is not `{COMMENT}`");
            return Err(Refused::new("head.wrong_type", Exit::Trust, message));
        }
    }
    Ok(())
}

/// Whether `name` can be a rollout: 1 to 64 of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit.
pub fn is_rollout(name: &str) -> bool {
    crate::trust::is_product(name)
}

/// Whether `name` can be a release's directory: 1 to 128 of `A-Z a-z 0-9 . _ + -`, beginning with a letter or digit.
pub fn is_release(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+'))
}

fn too_large(size: usize) -> Refused {
    Refused::new("head.too_large", Exit::Trust, format!("the head is {size} bytes long, the limit is {MAX_FILE}"))
}

fn malformed(why: &str) -> Refused {
    Refused::new("head.malformed", Exit::Trust, format!("the head is malformed: {why}"))
}

#[cfg(test)]
mod tests;
