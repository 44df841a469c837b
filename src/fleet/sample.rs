//! A head for tests.

use super::cohort::Shards;
use super::head::Head;
use super::plan::{Gate, Match, Phase, PollHint, Ring, Step, Supersede};
use crate::clock::Timestamp;

/// When the sample begins.
pub(crate) const T0: Timestamp = Timestamp(1_800_000_000);

/// Steps of 1, 10 and 100 %, an hour of ramp and half an hour of watching each, one ring of 1000 hosts.
pub(crate) fn head() -> Head {
    let step = |pct: f64| Step { pct, not_before: None, ramp_s: 3600, bake_s: 1800, manual: false };
    Head {
        v: 1,
        product: "app".to_owned(),
        channel: "stable".to_owned(),
        seq: 1,
        nonce: "00112233445566778899aabbccddeeff".to_owned(),
        valid_until: T0.plus(std::time::Duration::from_secs(30 * 86_400)),
        rollout: "r-1".to_owned(),
        release: "1.1.0+abc".to_owned(),
        base: Vec::new(),
        salt: "1.1.0+abc".to_owned(),
        state: Phase::Running,
        t0: T0,
        rings: vec![ring("all", 1000)],
        steps: vec![step(1.0), step(10.0), step(100.0)],
        gate: Gate::default(),
        on_halt: super::plan::OnHalt::Hold,
        windows: Vec::new(),
        lease: None,
        poll_s: PollHint { idle: 1800, open: 300 },
        pins: Vec::new(),
        attempt: 1,
        ack: None,
        shards: Shards::ONE,
        ok_sample: 1.0,
        promoted: None,
        supersede: Supersede::Jump,
        hold_unmatched: false,
    }
}

/// A ring of every host.
pub(crate) fn ring(name: &str, hosts: u64) -> Ring {
    Ring { name: name.to_owned(), matches: Match::default(), min_hosts: 0, delay_s: 0, steps: None, hosts }
}
