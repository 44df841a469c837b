//! What an operator does in a simulation: one rollout, begun at a fixed moment.

use std::time::Duration;

use super::case::Case;
use crate::clock::Timestamp;
use crate::fleet::cohort::Shards;
use crate::fleet::head::Head;
use crate::fleet::names::Names;
use crate::fleet::plan::{Gate, Lease, Match, OnHalt, Phase, PollHint, Ring, Supersede};

/// When the rollout begins.
pub(super) const T0: Timestamp = Timestamp(1_800_000_000);

/// The release that is rolled out.
pub(super) const NEW: &str = "1.1.0+new";

/// The rollout.
pub(super) const ROLLOUT: &str = "r-1";

/// Where everything is.
pub(super) fn names() -> Names {
    Names::new("", "app", "stable").unwrap_or_else(|| unreachable!("they are names"))
}

/// The head of the rollout.
pub(super) fn head(case: &Case, seed: u64) -> Head {
    let hosts = u64::from(case.hosts);
    let ring = Ring {
        name: "all".to_owned(),
        matches: Match::default(),
        min_hosts: case.min_hosts,
        delay_s: 0,
        steps: None,
        hosts,
    };
    let lease = case.slots.map(|slots| Lease { group: "{az}".to_owned(), slots, hold_on_failure: false });
    Head {
        v: 1,
        product: "app".to_owned(),
        channel: "stable".to_owned(),
        seq: 2,
        nonce: format!("{:032x}", u128::from(seed) + 2),
        valid_until: T0.plus(Duration::from_secs(90 * 86_400)),
        rollout: ROLLOUT.to_owned(),
        release: NEW.to_owned(),
        base: Vec::new(),
        salt: NEW.to_owned(),
        state: Phase::Running,
        t0: T0,
        rings: vec![ring],
        steps: case.steps(),
        gate: Gate::for_hosts(hosts),
        on_halt: OnHalt::Hold,
        windows: Vec::new(),
        lease,
        poll_s: PollHint { idle: case.poll_s, open: case.open_s },
        pins: Vec::new(),
        attempt: 1,
        ack: None,
        shards: Shards::for_hosts(hosts),
        ok_sample: case.ok_sample,
        promoted: None,
        supersede: Supersede::Jump,
        hold_unmatched: false,
    }
}

/// The head before it: everybody runs what it names.
pub(super) fn old(case: &Case, seed: u64) -> Head {
    let long_ago = Timestamp(T0.0 - 30 * 86_400);
    Head {
        seq: 1,
        nonce: format!("{:032x}", u128::from(seed) + 1),
        rollout: "r-0".to_owned(),
        release: "1.0.0+old".to_owned(),
        salt: "1.0.0+old".to_owned(),
        state: Phase::Done,
        t0: long_ago,
        ..head(case, seed)
    }
}

/// Its file. Nobody signs it: in a simulation nobody looks.
pub(super) fn file(head: &Head) -> Vec<u8> {
    let payload = head.payload().unwrap_or_default();
    Head::to_file(&payload, &[]).unwrap_or_default()
}
