//! What a pass of a host would do, without doing it.

use std::path::Path;

use super::release::Situation;
use super::{Membership, shown};
use crate::agent::outcome::{Outcome, PassFailure};
use crate::agent::wanted::{Running, Wanted, on_hold};
use crate::clock::Timestamp;
use crate::failure::{Failure as _, Reported};
use crate::fetch::{Attend, Worker};
use crate::fleet::evidence::Code;
use crate::fleet::host::{Host, LocalPin, Me, Memory, Step};
use crate::fleet::store::Request;
use crate::state::Record;
use crate::trust::TrustedKeys;

impl Wanted {
    /// Reads head, release and gate as a pass would, and writes nothing: neither to the bucket nor here.
    pub(in crate::agent) fn look_at_fleet(
        &mut self,
        member: &Membership,
        (program, state_dir): (&Path, &Path),
        record: &Record,
        running: Option<&Running>,
        worker: &mut dyn Worker,
        attend: &mut dyn Attend,
    ) -> Result<Outcome, PassFailure> {
        let kept = Membership::recalled(state_dir);
        let now = Timestamp::now();
        let pin = if on_hold(record, now).is_some() { Some(LocalPin::Hold) } else { member.me.pin.clone() };
        // What it owes is for the host itself to send.
        let me = Me { pin, inventory_s: 0, ..member.me.clone() };
        let memory = Memory { unsent: Vec::new(), held: None, begun: None, ..kept.memory.clone() };
        let denied = memory.denied.clone();
        let mut host = Host::new(me, memory, now);
        host.poll_now();
        let mut version = running.and_then(|running| running.version.clone());
        let mut failure = None;
        loop {
            match host.next(Timestamp::now(), &member.rollouts) {
                Step::Ask(request) if reads(&request) => {
                    let reply = member.ask(request, worker, attend)?;
                    host.replied(reply, Timestamp::now(), &member.rollouts);
                }
                Step::Learn { release } => {
                    let bring = |keys: &TrustedKeys| member.root(keys.version() + 1, &mut *worker, &mut *attend);
                    if let Some(held) = self.follow_by(record, now, bring, |_, _| Ok(()))? {
                        return Ok(Outcome::Held(held.into()));
                    }
                    let directory = self.read_directory(member, &release, program, worker, attend)?;
                    let situation = Situation { record, running, came: &kept.came, denied: &denied };
                    let learned = self.judge(&directory, &situation);
                    if let Ok(learned) = &learned {
                        version = Some(learned.version.clone());
                    }
                    failure = learned.as_ref().err().map(|refused| Reported::of(refused));
                    host.learned(learned.map_err(|refused| Code::new(refused.code())));
                }
                Step::Sleep { .. } => {
                    return Ok(shown::outcome(&host.shown(), version, failure.as_ref()));
                }
                Step::Ask(_) | Step::Prefetch { .. } | Step::Switch { .. } => {
                    return Ok(Outcome::Available { version });
                }
            }
        }
    }
}

/// Whether it changes nothing.
fn reads(request: &Request) -> bool {
    matches!(request, Request::Get { .. } | Request::Head { .. } | Request::List { .. } | Request::Evidence { .. })
}
