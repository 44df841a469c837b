//! Somebody who sees every report at once: when the rule that stops a rollout was true, whatever stewards knew of it.

use std::collections::{HashSet, VecDeque};

use crate::clock::Timestamp;
use crate::fleet::HostId;
use crate::fleet::evidence::State;
use crate::fleet::head::Head;
use crate::fleet::rollup::Rollup;
use crate::fleet::rule;
use crate::fleet::store::Request;

#[derive(Debug)]
pub(super) struct Watch {
    head: Head,
    counted: Rollup,
    /// Started and not ended, the oldest first.
    waiting: VecDeque<(u64, HostId)>,
    open: HashSet<HostId>,
    /// When the rule was first true.
    pub(super) true_at: Option<u64>,
}

/// A report that may change the count.
#[derive(Debug, Clone, Copy)]
pub(super) enum Heard {
    Started(HostId),
    Ended { host: HostId, bad: bool },
}

impl Heard {
    pub(super) fn of(request: &Request) -> Option<Heard> {
        let Request::Report { host, report, .. } = request else { return None };
        match report.state {
            State::Started(_) => Some(Heard::Started(*host)),
            State::Ok => Some(Heard::Ended { host: *host, bad: false }),
            State::Bad(_) => Some(Heard::Ended { host: *host, bad: true }),
            State::Declined(_) | State::Stop(_) => None,
        }
    }
}

impl Watch {
    pub(super) fn new(head: &Head) -> Watch {
        let counted = Rollup::empty(&head.rollout, 1, String::new(), head.t0, &[1]);
        let (waiting, open) = (VecDeque::new(), HashSet::new());
        Watch { head: head.clone(), counted, waiting, open, true_at: None }
    }

    pub(super) fn hears(&mut self, heard: Heard, now: Timestamp) {
        let count = &mut self.counted.rings[0][0];
        match heard {
            Heard::Started(host) => {
                if self.open.insert(host) {
                    count.started += 1;
                    self.waiting.push_back((now.0, host));
                }
            }
            Heard::Ended { host, bad } => {
                self.open.remove(&host);
                count.bad += u64::from(bad);
            }
        }
        if matches!(heard, Heard::Ended { bad: true, .. }) {
            self.look(now.0);
        }
    }

    /// Counts who is silent for too long, and asks the rule.
    pub(super) fn look(&mut self, now: u64) {
        if self.true_at.is_some() {
            return;
        }
        while let Some((at, host)) = self.waiting.front().copied() {
            if at + self.head.gate.deadline_s >= now {
                break;
            }
            self.waiting.pop_front();
            self.counted.rings[0][0].overdue += u64::from(self.open.contains(&host));
        }
        if rule::halts(&self.head, &self.counted).is_some() {
            self.true_at = Some(now);
        }
    }
}
