//! What the offline key allows a rollout to do: a stolen online key goes no faster.

use crate::failure::Exit;
use crate::trust::Refused;
use crate::trust::manifest::Bounds;

use super::head::Head;
use super::plan::Phase;
use super::rule;

/// The fastest schedule where the offline key says `emergency_ok`, and the fastest way back.
pub static EMERGENCY: Bounds = Bounds {
    min_steps: 3,
    max_first_pct: 10.0,
    min_total_s: 3600,
    min_bake_s: 300,
    emergency_ok: true,
    rollback_to: Vec::new(),
};

/// A ring of at most so many hosts, each of them named, may be as fast as it likes: canaries.
///
/// No host can tell how many others carry a label, so a ring of labels is bounded like the fleet itself.
pub const MOST_NAMED: usize = 10;

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
    for (ring, of) in head.rings.iter().enumerate() {
        if of.matches.labels.is_empty() && (1..=MOST_NAMED).contains(&of.matches.hosts.len()) {
            continue;
        }
        let name = &of.name;
        let (steps, last) = (head.steps_of(ring), head.steps_of(ring).len() - 1);
        if (steps.len() as u64) < min_steps {
            return Err(out(format!("ring `{name}` has {} steps, at least {min_steps} are needed", steps.len())));
        }
        // With what `min_hosts` adds: whoever signs the plan says how many hosts there are.
        let share = rule::share(head, ring, 0) * 100.0;
        if share > first {
            return Err(out(format!("its first step has {share} % of ring `{name}`, at most {first} % are allowed")));
        }
        if let Some(bake) = steps[..last].iter().map(|step| step.bake_s).min().filter(|bake| *bake < min_bake) {
            return Err(out(format!(
                "a step of ring `{name}` is watched for {bake} s, at least {min_bake} s are needed"
            )));
        }
        // From the beginning to the moment the last host may start.
        let end = rule::floor(head, ring, last).0.saturating_add(steps[last].ramp_s);
        let total = end.saturating_sub(head.t0.0);
        if total < min_total {
            return Err(out(format!("it has all of ring `{name}` after {total} s, at least {min_total} s are needed")));
        }
    }
    Ok(())
}

fn out(why: String) -> Refused {
    Refused::new("fleet.out_of_bounds", Exit::Trust, format!("the rollout is faster than its release allows: {why}"))
        .hint("slow it down, or sign the release with other bounds (`fetchd fleet publish --bounds`)")
}
