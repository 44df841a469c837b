use super::*;
use crate::rollout::view::tests::{halted, view};

#[test]
fn a_rollout_reads_well_in_80_columns() {
    let lines = lines(&view());
    let text = lines.join("\n");
    assert!(text.starts_with("app stable  1.1.0+abc  RUNNING\n"), "{text}");
    for line in [
        "next         Step 2 (10 %) is filling: the last of its hosts may start at",
        "             2027-01-15T10:37:30Z (in 57m 30s)",
        "ring all, about 1000 hosts",
        "  1     1 %  [####################]  passed, 10m ago",
        "  2    10 %  [########............]  filling, in 57m 30s",
        "             40 of about 90 started: 36 ok, 4 under way, 1 declined",
        "  3   100 %  [....................]  closed",
        "             step 2 has to pass",
        "hosts        about 1000 planned; 46 ok, 4 under way, 0 bad, 0 silent, 1",
    ] {
        assert!(lines.iter().any(|shown| shown == line), "{line:?} is not in:\n{text}");
    }
    assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{text}");
}

#[test]
fn a_halt_is_seen_at_once_and_hosts_steer_nothing() {
    let lines = lines(&halted());
    let text = lines.join("\n");
    assert!(lines[0].ends_with("HALTED"), "{text}");
    assert!(text.contains("HALTED       3 of 50 started hosts are bad or silent"), "{text}");
    assert!(text.contains("FAILED <script>alert(1)</script> ("), "{text}");
    assert!(text.contains("       | line 1"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{text}");
}

#[test]
fn a_bar_shows_whatever_there_is() {
    let step = |started: u64, ok: u64, bad: u64| {
        let mut step = view().rings[0].steps[1].clone();
        (step.expected, step.started, step.ok, step.bad) = (1000, started, ok, bad);
        bar(&step)
    };
    assert_eq!(step(0, 0, 0), "....................");
    assert_eq!(step(3, 2, 1), "!...................");
    assert_eq!(step(1000, 999, 1), "###################!");
    assert_eq!(step(500, 250, 0), "#####+++++..........");
    assert_eq!(step(2000, 2000, 0), "####################");
    assert_eq!(step(2, 5, 9).len(), 20);
}

#[test]
fn times_are_told_in_two_units() {
    let now = Timestamp(1_000_000);
    assert_eq!(relative(Timestamp(1_000_000 + 90_061), now), "in 1d 1h");
    assert_eq!(relative(Timestamp(1_000_000 - 59), now), "59s ago");
    assert_eq!(relative(now, now), "now");
}
