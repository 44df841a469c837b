//! What the offline key allows a rollout to do: a stolen online key goes no faster.

use crate::failure::Exit;
use crate::trust::Refused;
use crate::trust::manifest::Bounds;

use super::head::Head;
use super::plan::{Phase, Pin, Ring};
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

/// So many hosts of a plan, each of them named, may be as fast as it likes: canaries, in rings of their own, and hosts that
/// are pinned to another release.
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
    few_named(head)?;
    let emergency = bounds.emergency_ok.then_some(&EMERGENCY);
    let bound = |of: fn(&Bounds) -> u64| emergency.map_or(of(bounds), |fast| of(fast).min(of(bounds)));
    let first = emergency.map_or(bounds.max_first_pct, |fast| fast.max_first_pct.max(bounds.max_first_pct));
    let (min_steps, min_total, min_bake) =
        (bound(|b| u64::from(b.min_steps)), bound(|b| b.min_total_s), bound(|b| b.min_bake_s));
    for (ring, of) in head.rings.iter().enumerate() {
        if is_free(of) {
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
        // From the moment its first host may start to that of the last: what it waits before, nobody looks at.
        let end = rule::floor(head, ring, last).0.saturating_add(steps[last].ramp_s);
        let total = end.saturating_sub(rule::floor(head, ring, 0).0);
        if total < min_total {
            return Err(out(format!("it has all of ring `{name}` after {total} s, at least {min_total} s are needed")));
        }
    }
    Ok(())
}

/// Checks that no more than [`MOST_NAMED`] hosts of `head` are free of the bounds of a schedule, all together: those of rings
/// that only name hosts, and those that are pinned to another release than the plan's.
///
/// Fails with `fleet.out_of_bounds`.
pub fn few_named(head: &Head) -> Result<(), Refused> {
    let canaries: usize = head.rings.iter().filter(|ring| is_free(ring)).map(|ring| ring.matches.hosts.len()).sum();
    let own = |pin: &&Pin| pin.release.as_ref().is_some_and(|release| *release != head.release);
    let pinned = head.pins.iter().filter(own).count();
    if canaries + pinned > MOST_NAMED {
        let hosts = format!("{canaries} hosts are named in rings of their own and {pinned} pinned to other releases");
        return Err(out(format!("{hosts}, at most {MOST_NAMED} can be in all")));
    }
    Ok(())
}

/// A ring whose schedule is not bounded.
fn is_free(ring: &Ring) -> bool {
    ring.matches.labels.is_empty() && (1..=MOST_NAMED).contains(&ring.matches.hosts.len())
}

fn out(why: String) -> Refused {
    Refused::new("fleet.out_of_bounds", Exit::Trust, format!("the rollout is faster than its release allows: {why}"))
        .hint("slow it down, or sign the release with other bounds (`fetchd fleet publish --bounds`)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::failure::Failure as _;
    use crate::fleet::drive::bounds;
    use crate::fleet::plan::Step;
    use crate::fleet::sample::{T0, head, ring};

    fn refused(head: &Head) -> bool {
        within(head, &bounds()).is_err_and(|refused| refused.code() == "fleet.out_of_bounds")
    }

    #[test]
    fn ten_named_hosts_are_free_of_the_bounds_in_all() {
        let pin = |number: usize, release: Option<&str>| Pin {
            host: format!("h{number}"),
            release: release.map(str::to_owned),
        };
        let mut head = head();
        head.pins = (0..10).map(|number| pin(number, Some("1.0.0"))).collect();
        head.pins.extend((10..50).map(|number| pin(number, None)));
        head.pins.push(pin(50, Some("1.1.0+abc")));
        assert!(!refused(&head), "who keeps what he has, or follows the plan, hastens nothing");
        head.pins.push(pin(51, Some("1.0.0")));
        assert!(refused(&head));
        head.pins.clear();
        let once = vec![Step { pct: 100.0, not_before: None, ramp_s: 0, bake_s: 0, manual: false }];
        for name in ["one", "two"] {
            assert!(!refused(&head));
            let mut few = ring(name, 6);
            few.matches.hosts = (0..6).map(|number| format!("{name}-{number}")).collect();
            few.steps = Some(once.clone());
            head.rings.insert(0, few);
        }
        assert!(refused(&head), "twelve in two rings");
    }

    #[test]
    fn what_a_ring_waits_before_it_begins_is_no_part_of_its_time() {
        let mut head = head();
        assert!(!refused(&head));
        head.steps[2].ramp_s = 0;
        assert!(refused(&head));
        head.steps[0].not_before = Some(Timestamp(T0.0 + 86_400));
        assert!(refused(&head), "a day before the first host");
        let mut before = ring("nobody", 1);
        before.matches.labels.insert("no".to_owned(), "body".to_owned());
        before.steps = Some(super::super::sample::head().steps);
        head.rings.insert(0, before);
        assert!(refused(&head), "a ring without hosts before it");
    }
}
