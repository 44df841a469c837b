//! Hosts that count, and nobody else does.

use fetchd::clock::Timestamp;
use fetchd::fleet::cohort::HostId;
use fetchd::fleet::head::Head;
use fetchd::fleet::plan::{PollHint, Step};
use fetchd::fleet::rollup::Rollup;
use fetchd_stand_ins::s3::S3Server;

use crate::field::{Field, Kind, plan};
use crate::site::wait_until;

const STEWARD: [&str; 1] = ["--fleet-steward"];

/// The hosts whose turn is in the first half, and the one whose is in the second.
const EARLY: [&str; 2] = ["count-1", "count-2"];
const LATE: &str = "web-1";

fn rollup(field: &Field) -> Option<Rollup> {
    Rollup::read(&field.get(field.names.rollup("r-1"))?).ok()
}

/// Two steps of one half each, the first watched for so long.
fn halves(seq: u64, t0: Timestamp, bake_s: u64) -> Head {
    let step = |pct, bake_s| Step { pct, not_before: None, ramp_s: 0, bake_s, manual: false };
    let mut head = Head { t0, ..plan(seq, "1.1.0") };
    head.steps = vec![step(50.0, bake_s), step(100.0, 0)];
    // A host that has it leaves its steward time to count.
    head.poll_s = PollHint { idle: 5, open: 2 };
    let early = |salt: &str, name: &str| HostId::named(name).position(salt) < 0.5;
    let sorts = |salt: &String| EARLY.iter().all(|name| early(salt, name)) && !early(salt, LATE);
    head.salt = (0..).map(|number| format!("salt-{number}")).find(sorts).unwrap();
    head
}

#[test]
fn a_host_counts_and_when_it_is_killed_another_one_does() {
    let s3 = S3Server::start();
    let field = Field::new(&s3);
    field.is_of_tier_1();
    field.release("1.1.0", 1, Kind::Good, &[]);
    let (first, second, late) = (field.host(), field.host(), field.host());
    // The first step cannot have passed before the head is another.
    let head = halves(1, Timestamp::now(), 86_400);
    field.publish(&head, &field.online);
    let mut counts = field.run(&first, EARLY[0], &STEWARD);
    counts.wait_for_version("1.1.0");
    field.wait_for_evidence("r-1", EARLY[0], "1-o");
    let ok = |rollup: Option<Rollup>| rollup.map_or(0, |rollup| rollup.rings[0][0].ok);
    wait_until("the first steward has counted itself", || ok(rollup(&field)) == 1);
    let mut stands_by = field.run(&second, EARLY[1], &STEWARD);
    stands_by.wait_for_version("1.1.0");
    field.wait_for_evidence("r-1", EARLY[1], "1-o");
    wait_until("one of them has counted both", || ok(rollup(&field)) == 2);
    let mut waits = field.run(&late, LATE, &[]);
    waits.wait("it waits for the step", |status| {
        status.updates.fleet.as_ref().is_some_and(|fleet| fleet.shown.release.is_some())
    });
    // Killed with everything it knows.
    drop(counts);
    let seen = rollup(&field).unwrap().as_of;
    field.publish(&halves(2, head.t0, 1), &field.online);
    waits.wait_for_version("1.1.0");
    field.wait_for_evidence("r-1", LATE, "1-o");
    wait_until("the other one has counted everybody", || {
        rollup(&field).is_some_and(|rollup| {
            let [half, all] = rollup.rings[0][..] else { return false };
            rollup.as_of > seen && (half.ok, all.ok) == (2, 1) && all.passed_at.is_some()
        })
    });
    stands_by.wait_for_version("1.1.0");
}
