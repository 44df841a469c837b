//! A change before it is made: what it does, whether it is allowed, and writing it where nobody else has written.

use std::time::Duration;

use semver::Version;

use super::change::Change;
use super::desk::{Described, failed};
use super::effect::Effect;
use super::start::{self, Start};
use super::{Desk, Found, RolloutError};
use crate::fleet::bounds;
use crate::fleet::head::{COMMENT, Head, MAX_FILE};
use crate::fleet::plan::Phase;
use crate::fleet::store::{Request, What};
use crate::fleet::{Caps, Feature};
use crate::publish::SigningKey;
use crate::trust::Refused;

/// The next signed state, not written yet.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The state that it replaces; `None` = there is none.
    pub before: Option<Found>,
    /// The state that is proposed.
    pub after: Head,
    /// What it changes, for people.
    pub effect: Effect,
    /// What is worth a warning.
    pub notes: Vec<String>,
}

/// What was written.
#[derive(Debug, Clone)]
pub struct Done {
    /// The state that is in force now.
    pub head: Head,
    /// What went wrong beside it.
    pub notes: Vec<String>,
}

impl Proposal {
    /// A rollout from its beginning. Fails with `fleet.out_of_bounds` if its plan is faster than the release allows,
    /// with `fleet.phase` if another one goes on and `supersede` is not said.
    pub fn start(
        desk: &mut Desk<'_>,
        start: &Start,
        supersede: bool,
        good_for: Duration,
    ) -> Result<Proposal, RolloutError> {
        let before = desk.head()?;
        let described = desk.release(&start.release)?;
        if described.yanked {
            let message = format!("`{}` was withdrawn by its publisher", start.release);
            return Err(RolloutError::phase(message, "publish a newer one"));
        }
        if let Some(expired) = described.expires.filter(|expires| *expires <= desk.now()) {
            let message =
                format!("the manifest of `{}` has expired at {expired}: no host would take it", start.release);
            return Err(RolloutError::phase(message, "publish it again, under another `--id`"));
        }
        if let Some(before) = before.as_ref().filter(|before| goes_on(&before.head) && !supersede) {
            let message = format!("the rollout `{}` of {} still goes on", before.head.rollout, before.head.release);
            let hint = "`fetchd fleet finish` or `abort` ends it; `--supersede` begins this one all the same";
            return Err(RolloutError::phase(message, hint));
        }
        if start.plan.lease.is_some() {
            desk.caps()?.unwrap_or_else(Caps::unknown).allows(Feature::Leases)?;
        }
        let after = start::head(desk, start, before.as_ref().map(|before| &before.head))?;
        bounds::within(&after, &described.bounds)?;
        Proposal::new(desk, before, after, good_for)
    }

    /// A rollout of an older release. Fails with `fleet.not_a_way_back` if the running one does not allow it; the
    /// fastest plan is that of an emergency.
    pub fn rollback(desk: &mut Desk<'_>, start: &Start, good_for: Duration) -> Result<Proposal, RolloutError> {
        let before = desk.needed_head()?;
        let running = desk.release(&before.head.release)?;
        let to = desk.release(&start.release)?;
        allowed(&before.head, &running, &to.version)?;
        // Where it is needed every minute counts, and what it brings is known: nobody is waited for.
        let start = Start { at: start.at.or(Some(desk.now())), ..start.clone() };
        let mut after = start::head(desk, &start, Some(&before.head))?;
        if after.base.is_empty() {
            after.base = vec![before.head.release.clone()];
        }
        bounds::within(&after, &bounds::EMERGENCY)?;
        Proposal::new(desk, Some(before), after, good_for)
    }

    /// A change of the rollout that is there. Fails as the change does, and with `fleet.out_of_bounds`.
    pub fn change(desk: &mut Desk<'_>, change: &Change, good_for: Duration) -> Result<Proposal, RolloutError> {
        let before = desk.needed_head()?;
        let after = change.apply(desk, &before)?;
        // What makes it no faster is possible without the manifest: a pause must not wait for a key.
        let faster = matches!(change, Change::Promote | Change::SkipStep);
        if faster || (desk.offline.is_some() && matches!(change, Change::Resume { .. })) {
            let described = desk.release(&after.release)?;
            // A way back has bounds of its own, for hosts as for whoever signs it.
            let allowed = if is_way_back(desk, &after, &described.version) {
                bounds::within(&after, &bounds::EMERGENCY)
            } else {
                bounds::within(&after, &described.bounds)
            };
            if let Err(refused) = allowed {
                let hint = "wait until the step has been open for as long as its release asks for";
                return Err(if faster { refused.hint(hint) } else { refused }.into());
            }
        }
        Proposal::new(desk, Some(before), after, good_for)
    }

    fn new(
        desk: &mut Desk<'_>,
        before: Option<Found>,
        mut after: Head,
        good_for: Duration,
    ) -> Result<Proposal, RolloutError> {
        let last = match &before {
            Some(before) => last(desk, &desk.names.plans(&before.head.rollout))?.max(before.head.seq),
            None => last(desk, &desk.names.rollouts())?,
        };
        // More than what hosts have seen already, where somebody has removed the head.
        after.seq = after.seq.max(last).saturating_add(1);
        after.nonce = nonce()?;
        after.valid_until = desk.now().max(after.t0).plus(good_for);
        // What hosts would refuse is refused here, and is the fault of whoever asked for it.
        if let Some(why) = after.nonsense() {
            let hint = "look at the plan, and at what `--ring`, `--lease` and `--window` say";
            return Err(RolloutError::asked(format!("no host would take this plan: {why}"), hint));
        }
        after.payload()?;
        let old = before.as_ref().map(|before| &before.head);
        let rollup = match old.filter(|old| old.rollout == after.rollout) {
            Some(old) => desk.rollup(old)?,
            None => None,
        };
        let effect = Effect::of(old, &after, rollup.as_ref(), desk.now());
        let mut notes = Vec::new();
        if let Some(before) = before.as_ref().filter(|before| before.head.seq < last) {
            let key = desk.names.plan(&before.head.rollout, Some(last));
            notes.push(format!(
                "state {} lies there, and {last} was written: somebody put it back (see `{key}`)",
                before.head.seq
            ));
        }
        if let Some(ahead) = desk.clock.ahead.filter(|_| desk.clock.is_off()) {
            notes.push(format!("this machine's clock and the store's are {} s apart", ahead.unsigned_abs()));
        }
        match desk.caps() {
            // What is wrong with it must not keep anybody from a pause.
            Err(error) => notes.push(error.to_string()),
            Ok(None) => notes.push("nobody has asked what this store can do: `fetchd fleet doctor` does".to_owned()),
            Ok(Some(caps)) => notes.extend(caps.allows(Feature::Operators).err().map(|refused| refused.to_string())),
        }
        Ok(Proposal { before, after, effect, notes })
    }

    /// Whether it is another change than `shown`, one that was looked at already: a race has changed what it does.
    pub fn differs(&self, shown: &Proposal) -> bool {
        self.before.as_ref().map(|found| &found.file) != shown.before.as_ref().map(|found| &found.file)
    }

    /// Signs it and replaces the state that was read, and only that.
    ///
    /// Fails with `signature.unknown_key` if hosts would not believe these keys, with `fleet.changed_meanwhile` if somebody
    /// else was faster, with `fleet.unconfirmed` if the store does not say whether it has written. A reply that was lost
    /// is recognised by the nonce; nothing is ever written twice (`a_lost_reply_is_known_by_its_nonce`).
    pub fn write(&self, desk: &mut Desk<'_>, keys: &[SigningKey]) -> Result<Done, RolloutError> {
        let payload = self.after.payload()?;
        let sign = |key: &SigningKey| key.sign(&mut payload.as_slice(), COMMENT, "signed with fetchd, for a rollout");
        let signatures = keys.iter().map(sign).collect::<Result<Vec<_>, _>>()?;
        let file = Head::to_file(&payload, &signatures)?;
        // What hosts would refuse is not written.
        Head::open(&file, &desk.online, &desk.names)?;
        let key = desk.names.head();
        let request = match &self.before {
            None => Request::Create { key: key.clone(), body: file.clone() },
            Some(before) => Request::Replace { key: key.clone(), body: file.clone(), tag: before.tag.clone() },
        };
        match desk.ask(request) {
            What::Written(_) => {}
            What::Conflict | What::Absent => self.mine(desk, &file, None)?,
            what => self.mine(desk, &file, Some(failed("written", &key, what)))?,
        }
        Ok(Done { head: self.after.clone(), notes: self.keep(desk, &file) })
    }

    /// Whether what is there now is what was to be written. `trouble`: the store did not say that it is not.
    fn mine(&self, desk: &mut Desk<'_>, file: &[u8], trouble: Option<RolloutError>) -> Result<(), RolloutError> {
        let key = desk.names.head();
        let there = desk.get(&key, MAX_FILE as u64);
        let there = there.map_err(|_| RolloutError::Unconfirmed { key })?.map(|(there, _)| there);
        if there.as_deref() == Some(file) {
            return Ok(());
        }
        let untouched = there.as_deref() == self.before.as_ref().map(|before| before.file.as_slice());
        match trouble {
            Some(trouble) if untouched => Err(trouble),
            _ => Err(RolloutError::Changed {
                read: self.before.as_ref().map_or(0, |before| before.head.seq),
                now: match there.as_deref().map(|there| Head::open(there, &desk.online, &desk.names)) {
                    Some(Ok(head)) => Effect::line(&head),
                    Some(Err(_)) => "something that nobody has signed".to_owned(),
                    None => "nothing".to_owned(),
                },
            }),
        }
    }

    /// Keeps a copy of what was signed, for whoever asks later. That it fails changes nothing.
    fn keep(&self, desk: &mut Desk<'_>, file: &[u8]) -> Vec<String> {
        let Head { rollout, seq, .. } = &self.after;
        let begins = self.before.as_ref().is_none_or(|before| before.head.rollout != *rollout);
        let mut keys = vec![desk.names.plan(rollout, Some(*seq))];
        if begins {
            keys.push(desk.names.plan(rollout, None));
        }
        let mut notes = Vec::new();
        for key in keys {
            match desk.ask(Request::Create { key: key.clone(), body: file.to_vec() }) {
                What::Written(_) | What::Unchanged => {}
                What::Conflict => notes.push(format!("`{key}` is there already and was left as it is")),
                what => notes.push(format!("there is no copy of this state: {}", failed("written", &key, what))),
            }
        }
        notes
    }
}

/// The highest number below `prefix` of which there is a copy; 0 = none.
fn last(desk: &mut Desk<'_>, prefix: &str) -> Result<u64, RolloutError> {
    let copies = desk.keys(prefix, 100_000)?;
    let number =
        |(key, _): &(String, crate::clock::Timestamp)| key.rsplit_once("/plan-")?.1.strip_suffix(".json")?.parse().ok();
    Ok(copies.iter().filter_map(number).max().unwrap_or(0))
}

fn allowed(head: &Head, running: &Described, to: &Version) -> Result<(), RolloutError> {
    if running.bounds.rollback_to.contains(to) {
        return Ok(());
    }
    Err(RolloutError::NotAWayBack { from: head.release.clone(), to: to.to_string() })
}

/// Whether the rollout leads every host that it is for back to an older version, as the offline keys have allowed.
fn is_way_back(desk: &mut Desk<'_>, head: &Head, to: &Version) -> bool {
    let mut from =
        |base: &String| desk.release(base).is_ok_and(|from| from.version > *to && from.bounds.rollback_to.contains(to));
    !head.base.is_empty() && head.base.iter().all(&mut from)
}

fn goes_on(head: &Head) -> bool {
    matches!(head.state, Phase::Running | Phase::Paused | Phase::Halted)
}

fn nonce() -> Result<String, RolloutError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| {
        let message = format!("the system has no random numbers: {error}");
        Refused::new("fleet.random", crate::failure::Exit::Install, message)
    })?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
