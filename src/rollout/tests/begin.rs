//! When a rollout begins that nobody has said the time of.

use super::*;

#[test]
fn a_rollout_begins_when_every_host_has_had_the_time_to_see_it() {
    let site = Site::new();
    let start = |now, release: &str| {
        let start = Start { at: None, ..asked(release, "default") };
        site.at(now, |desk| {
            let proposal = Proposal::start(desk, &start, true, GOOD_FOR).unwrap();
            let lines = proposal.effect.lines();
            (proposal.write(desk, std::slice::from_ref(&site.online)).unwrap().head, lines)
        })
    };
    // Who has seen no head yet polls every 5 min, or a tenth later.
    let (first, lines) = start(T0, "1.0.0");
    assert_eq!(first.t0.0, T0.0 + 390);
    assert!(lines.iter().any(|line| line.contains("in 6m 30s: no host starts before")), "{lines:?}");
    // And then as often as that head says.
    let (second, _) = start(after(1), "1.1.0");
    assert_eq!(second.t0.0, after(1).0 + first.poll_s.idle * 11 / 10 + 60);
    // A way back waits for nobody.
    let back = Start { at: None, ..asked("1.0.0", "emergency") };
    let back = site.at(after(2), |desk| Proposal::rollback(desk, &back, GOOD_FOR).unwrap().after);
    assert_eq!(back.t0, after(2));
}
