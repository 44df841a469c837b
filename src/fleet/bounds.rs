//! What the offline key allows a rollout to do: a stolen online key goes no faster.

use crate::failure::Exit;
use crate::trust::Refused;
use crate::trust::manifest::Bounds;

use super::head::Head;
use super::plan::{Phase, Step};
use super::rule::floor;

/// The fastest schedule where the offline key says `emergency_ok`, and the fastest way back.
pub static EMERGENCY: Bounds = Bounds {
    min_steps: 3,
    max_first_pct: 10.0,
    min_total_s: 3600,
    min_bake_s: 300,
    emergency_ok: true,
    rollback_to: Vec::new(),
};

/// Checks that the plan of `head` is no faster than `bounds`.
///
/// Fails with `fleet.out_of_bounds`, naming the figure. A rollout that has come to its end (`done`) is bounded as well:
/// saying so does not make it faster, since the steps' earliest times go on being asked.
pub fn within(head: &Head, bounds: &Bounds) -> Result<(), Refused> {
    if head.state == Phase::Aborted {
        return Ok(());
    }
    let emergency = bounds.emergency_ok.then_some(&EMERGENCY);
    let bound = |of: fn(&Bounds) -> u64| emergency.map_or(of(bounds), |fast| of(fast).min(of(bounds)));
    let first = emergency.map_or(bounds.max_first_pct, |fast| fast.max_first_pct.max(bounds.max_first_pct));
    let (min_steps, min_total, min_bake) =
        (bound(|b| u64::from(b.min_steps)), bound(|b| b.min_total_s), bound(|b| b.min_bake_s));
    // The last ring is the fleet: a ring before it may be as small as a single host, and has a schedule of its own.
    let ring = head.rings.len() - 1;
    let steps = head.steps_of(ring);
    if (steps.len() as u64) < min_steps {
        return Err(out(format!("it has {} steps, at least {min_steps} are allowed", steps.len())));
    }
    for ring in 0..head.rings.len() {
        let small = !head.rings[ring].matches.hosts.is_empty() || !head.rings[ring].matches.labels.is_empty();
        let share = head.steps_of(ring)[0].pct;
        if !small && share > first {
            return Err(out(format!("its first step has {share} % of the hosts, at most {first} % are allowed")));
        }
    }
    let bakes = |steps: &[Step]| steps[..steps.len() - 1].iter().map(|step| step.bake_s).min();
    if let Some(bake) = bakes(steps).filter(|bake| *bake < min_bake) {
        return Err(out(format!("a step is watched for {bake} s, at least {min_bake} s are needed")));
    }
    // From the beginning to the moment the last host may start.
    let last = floor(head, ring, steps.len() - 1).0.saturating_add(steps[steps.len() - 1].ramp_s);
    let total = last.saturating_sub(head.t0.0);
    if total < min_total {
        return Err(out(format!("it reaches every host after {total} s, at least {min_total} s are needed")));
    }
    Ok(())
}

fn out(why: String) -> Refused {
    Refused::new("fleet.out_of_bounds", Exit::Trust, format!("the rollout is faster than its release allows: {why}"))
        .hint("slow it down, or sign the release with other bounds (`fetchd sign --bounds`)")
}
