//! What a repair would do: worked out from what lies there, before anything is changed.

use super::super::Failed;
use crate::agent::{Running, Wanted};
use crate::clock::Timestamp;
use crate::config::{Config, Effective};
use crate::daemon::floor::place;
use crate::failure::{Exit, Failure as _, Reported};
use crate::state::{Confirmed, Examined, Record, Remains, remains};
use crate::trust::{self, Proved, Refused, Trust};

/// What `last.bundle` is worth.
#[derive(Debug)]
pub(super) enum Kept {
    /// It is not there, or damaged.
    Nothing,
    /// Its signature holds.
    Proves(Proved),
    /// It does not, with the keys that are configured.
    ProvesNothing(Refused),
    /// Releases are not signed as bundles here.
    NotAsked,
}

/// A repair.
#[derive(Debug)]
pub(super) struct Plan {
    /// The record that would be written.
    pub(super) record: Record,
    /// Whether the record cannot be read.
    pub(super) lost: bool,
    pub(super) kept: Kept,
    /// What the damaged record still says.
    pub(super) remains: Remains,
    /// What the floor was before `last.bundle` raised it.
    pub(super) raised: Option<(u64, u64)>,
    /// From where it is lowered.
    pub(super) lowered: Option<(u64, u64)>,
    /// The program path holds something that the journal does not know.
    pub(super) adopts: bool,
    /// What is wrong with the kept key sets.
    pub(super) keys: Option<Reported>,
    faults: usize,
}

impl Plan {
    /// What is to be done about `examined`. `lower`: the floor that an operator wants to go down to.
    pub(super) fn of(
        examined: &Examined,
        (settings, config): (&Effective, &Config),
        wanted: Option<&Wanted>,
        lower: Option<(u64, u64)>,
    ) -> Result<Plan, Reported> {
        let lost = examined.record().is_none() && !examined.is_new();
        let kept = match (examined.bundle(), wanted.map(|wanted| (&wanted.trust, &wanted.expect))) {
            (None, _) => Kept::Nothing,
            (Some(_), None) => return Err(without_keys(settings).into()),
            (Some(bundle), Some((Trust::Bundle { keys, .. }, expect))) => {
                trust::proved(bundle, keys, expect).map_or_else(Kept::ProvesNothing, Kept::Proves)
            }
            (Some(_), Some(_)) => Kept::NotAsked,
        };
        let mut plan = Plan {
            record: examined.record().cloned().unwrap_or_default(),
            lost,
            kept,
            remains: if lost { remains(examined.dir()) } else { Remains::default() },
            raised: None,
            lowered: None,
            adopts: false,
            keys: None,
            faults: examined.faults().len(),
        };
        if lost {
            // As far as the provisioned key set proves those that were kept.
            plan.record.keys_version = wanted.and_then(|wanted| wanted.keys.as_ref()).map_or(0, |keys| keys.version());
            plan.record.quarantine.clone_from(&plan.remains.quarantine);
            plan.record.hold.clone_from(&plan.remains.hold);
            if let Some(floor) = config.policy.floor {
                trust::provision(&mut plan.record, floor);
            }
        }
        let before = plan.record.floor();
        if let Kept::Proves(proved) = &plan.kept
            && proved.raise(&mut plan.record)
        {
            plan.raised = Some(before);
        }
        if let Some(to) = lower {
            plan.lower(to, config.policy.floor)?;
        }
        Ok(plan)
    }

    fn lower(&mut self, to: (u64, u64), provisioned: Option<(u64, u64)>) -> Result<(), Reported> {
        let from = self.record.floor();
        let refused = |message: String, hint: &str| {
            Err(Failed::Usage { message: format!("`--accept-lower`: {message}"), hint: hint.to_owned() }.into())
        };
        if to >= from {
            let message = format!("{} is not below the floor, which is {}", place(to), place(from));
            return refused(message, "`fetchd state show` says where the floor is; nothing has changed");
        }
        if let Some(floor) = provisioned.filter(|floor| to < *floor) {
            let message = format!("{} is below the configured `floor`, {}", place(to), place(floor));
            return refused(message, "lower that setting first, or the next start raises the floor again");
        }
        (self.record.epoch, self.record.seq) = to;
        self.record.manifest_sha256 = None;
        // What was seen above the new floor must be looked at once more.
        self.record.etags.clear();
        self.lowered = Some(from);
        Ok(())
    }

    /// Takes note of what lies at the program path.
    pub(super) fn runs(&mut self, running: Option<&Running>, at: Timestamp) {
        let Some(Running { version, sha256 }) = running else { return };
        self.record.confirmed = Some(Confirmed { version: version.clone(), sha256: *sha256, at });
        // A record that anybody may have written must not keep the service from being started again.
        self.record.quarantine.retain(|bad| bad.sha256 != *sha256);
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.faults == 0
            && self.keys.is_none()
            && self.raised.is_none()
            && self.lowered.is_none()
            && !self.adopts
            && !self.unproved()
    }

    /// Whether what runs has to be found out.
    pub(super) fn needs_program(&self) -> bool {
        self.lost || self.adopts
    }

    /// Whether `last.bundle` goes out of the way though it can be read.
    pub(super) fn sets_bundle_aside(&self) -> Option<&'static str> {
        match (self.lowered, self.unproved()) {
            (Some(_), _) => Some("lowered"),
            (None, true) => Some("unproved"),
            (None, false) => None,
        }
    }

    fn unproved(&self) -> bool {
        matches!(self.kept, Kept::ProvesNothing(_))
    }

    /// What stays, and how it is known.
    pub(super) fn kept(&self) -> Vec<String> {
        let mut kept = Vec::new();
        let floor = self.record.floor();
        match (&self.kept, self.lowered) {
            (_, Some(from)) => {
                kept.push(format!("floor {}, LOWERED from {} by an operator", place(floor), place(from)))
            }
            (Kept::Proves(proved), None) if floor == (proved.epoch, proved.seq) => {
                kept.push(format!("floor {}, which the signature of `last.bundle` proves", place(floor)));
            }
            _ if self.lost && floor != (0, 0) => kept.push(format!("floor {}, which is configured", place(floor))),
            _ if !self.lost => kept.push(format!("floor {}, from the record", place(floor))),
            _ => {}
        }
        if self.needs_program()
            && let Some(Confirmed { version, sha256, .. }) = &self.record.confirmed
        {
            let version = version.as_ref().map_or_else(|| "its version is not known".to_owned(), |v| format!("`{v}`"));
            kept.push(format!("what lies at the program path, as confirmed: {version} ({})", sha256.short()));
        }
        if self.lost && !self.record.quarantine.is_empty() {
            kept.push(format!("{} in quarantine, which can only keep something out", self.record.quarantine.len()));
        }
        if self.lost && self.record.hold.is_some() {
            kept.push("the hold, until `fetchd unhold`".to_owned());
        }
        kept
    }

    /// What is gone.
    pub(super) fn lost(&self) -> Vec<String> {
        let mut lost = Vec::new();
        if !self.lost {
            return lost;
        }
        if let Some(claimed) = self.remains.claimed.filter(|claimed| *claimed > self.record.floor()) {
            lost.push(format!("the floor {} that the damaged record claims: nothing proves it", place(claimed)));
        }
        if self.record.floor() == (0, 0) {
            lost.push("the floor: nothing proves one, so the next manifest that is accepted sets it".to_owned());
        }
        if let Kept::ProvesNothing(why) = &self.kept {
            lost.push(format!("what `last.bundle` proved: {why} [{}]", why.code()));
        }
        if self.remains.illegible {
            lost.push("quarantine and hold, if there were any: nothing of the damaged record can be read".to_owned());
        }
        lost.push("the release before this one: nothing to roll back to until the next".to_owned());
        lost.push("when versions were first seen: a `cooldown` begins again".to_owned());
        lost
    }
}

fn without_keys(settings: &Effective) -> Refused {
    let told = settings.file().map_or("the flags", |_| "the file");
    Refused::new(
        "state.no_keys",
        Exit::Usage,
        format!("`last.bundle` may prove the floor, but {told} names no source and no key to check it with"),
    )
    .hint("call it with the configuration that `fetchd run` has, as in `fetchd state repair --config web.toml`")
}
