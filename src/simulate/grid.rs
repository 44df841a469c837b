//! The cases of a report, and all combinations of what can be varied.

use super::case::{Badness, Bucket, Case, Clocks, Plan, Polls};

/// The cases that a person looks at first, for a fleet of so many hosts.
pub fn first(hosts: u32) -> Vec<Case> {
    let case = |name: &str| Case::new(name, hosts);
    // Where it stops early, requests of hosts whose turn does not come are not of interest.
    let bad = |name: &str, bad, share| Case { polls: Polls::Skip, ..case(name).bad(bad, share) };
    vec![
        case("good, default plan"),
        case("good, fast plan").plan(Plan::Fast),
        bad("bad 100 %", Badness::Instant, 1.0),
        bad("bad on 10 % of hosts", Badness::Instant, 0.1),
        bad("bad on 3 %", Badness::Instant, 0.03),
        bad("bad 100 %, all silent", Badness::Silent, 1.0),
        bad("bad 10 %, fails late", Badness::Late, 0.1),
        bad("bad in one zone of ten", Badness::Zone, 1.0),
        bad("bad 100 %, fast plan", Badness::Instant, 1.0).plan(Plan::Fast),
        bad("bad 100 %, emergency plan", Badness::Instant, 1.0).plan(Plan::Emergency),
        bad("bad 100 %, no steps", Badness::Instant, 1.0).plan(Plan::OneStep),
    ]
}

/// A good release while something else goes wrong.
pub fn trouble(hosts: u32) -> Vec<Case> {
    let good = |name: &str| Case::new(name, hosts).plan(Plan::Fast);
    let with = |name: &str, change: fn(&mut Case)| {
        let mut case = good(name);
        change(&mut case);
        case
    };
    vec![
        with("10 % of hosts are off", |case| case.offline = 0.1),
        with("30 % of hosts are off", |case| case.offline = 0.3),
        with("stewards look every 5 min", |case| case.stewards.every_s = 300),
        with("all stewards dead for 1 h", |case| case.stewards.dead_s = Some(2400)),
        with("1 % of requests: 503", |case| case.bucket = Bucket::Busy),
        with("5 % of answers lost", |case| case.bucket = Bucket::Lossy),
        with("bucket like Ceph's", |case| case.bucket = Bucket::Rgw),
        with("bucket of tier 3", |case| case.bucket = Bucket::Tier3),
        with("no scouts", |case| case.scouts = false),
        with("begins when it is published", |case| case.announced = false),
        with("clocks off by 5 min", |case| case.clocks = Clocks::Minutes),
        with("1 % of clocks off by a day", |case| case.clocks = Clocks::Days),
        with("all restart within a minute", |case| case.storm_s = Some(5400)),
        with("leases, 5 of each zone", |case| case.slots = Some(5)),
        with("0.2 % fail on a good release", |case| case.base_failures = 0.002),
        with("no least number of hosts", |case| (case.plan, case.min_hosts) = (Plan::Default, 0)),
        with("5 % of ok are reported", |case| case.ok_sample = 0.05),
    ]
}

/// Bad releases while something else goes wrong.
pub fn both(hosts: u32) -> Vec<Case> {
    let mut cases = trouble(hosts);
    for case in &mut cases {
        case.name = format!("bad 100 %, {}", case.name);
        (case.bad_share, case.plan, case.polls) = (1.0, Plan::Default, Polls::Skip);
    }
    // What comes back later, or dies in the first step, is there at the beginning of a bad release as well.
    cases.iter_mut().filter(|case| case.stewards.dead_s.is_some()).for_each(|case| case.stewards.dead_s = Some(0));
    cases.iter_mut().filter(|case| case.storm_s.is_some()).for_each(|case| case.storm_s = Some(300));
    cases
}

/// Every poll interval with every plan, every share and kind of badness.
pub fn all(hosts: u32) -> Vec<Case> {
    let mut cases = first(hosts);
    cases.extend(trouble(hosts));
    cases.extend(both(hosts));
    for poll_s in [60, 300, 900, 1800] {
        for plan in Plan::ALL {
            let polled = |case: Case| Case { poll_s, open_s: poll_s.min(plan.open_s()), ..case.plan(plan) };
            let name = |what: &str| format!("{what}, {}, poll {} min", plan.name(), poll_s / 60);
            cases.push(polled(Case::new(&name("good"), hosts)));
            for (bad, kind) in [
                (Badness::Instant, "at once"),
                (Badness::Late, "late"),
                (Badness::Silent, "silent"),
                (Badness::Zone, "in a zone"),
            ] {
                for pct in [0.1, 1.0, 3.0, 10.0, 100.0] {
                    let case = Case::new(&name(&format!("bad {pct} % {kind}")), hosts).bad(bad, pct / 100.0);
                    cases.push(Case { polls: Polls::Skip, ..polled(case) });
                }
            }
        }
    }
    cases
}
