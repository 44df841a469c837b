//! Answers that make no sense, in any order: whatever a worker says, nothing starts that the keys do not let start.

use std::cell::RefCell;
use std::sync::OnceLock;

use proptest::prelude::*;

use crate::clock::Timestamp;
use crate::fleet::drive::{Desk, bounds, names, sign};
use crate::fleet::evidence::{Code, Evidence, Place};
use crate::fleet::head::Head;
use crate::fleet::host::{Host, Learned, Me, Memory, Running, Step, Switched};
use crate::fleet::plan::Phase;
use crate::fleet::rollup::{Count, Rollup, Shard};
use crate::fleet::sample::{T0, head};
use crate::fleet::steward::{self, Steward};
use crate::fleet::store::{Reply, Request, Tag, Trouble, What};
use crate::fleet::{HostId, rule};
use semver::Version;

/// The files of [`heads`], signed.
fn files() -> &'static [Vec<u8>] {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| heads().iter().map(|(head, _)| sign(head, "good")).collect())
}

/// Some heads: good, expired, paused, too fast, of another rollout; with one ring of every host.
fn heads() -> Vec<(Head, bool)> {
    let edit = |seq: u64, change: &dyn Fn(&mut Head)| {
        let mut head = head();
        head.seq = seq;
        change(&mut head);
        head
    };
    vec![
        (edit(1, &|_| {}), true),
        (edit(2, &|head| head.state = Phase::Paused), false),
        (edit(3, &|head| head.state = Phase::Done), true),
        (edit(4, &|head| head.valid_until = T0), false),
        (edit(5, &|head| head.steps.truncate(1)), false),
        (edit(6, &|head| head.state = Phase::Aborted), false),
        (edit(7, &|head| head.release = "2.0.0".to_owned()), true),
        (edit(8, &|_| {}), true),
    ]
}

fn rollup(passed: bool, bad: u64, as_of: u64) -> Vec<u8> {
    let mut rollup = Rollup::empty("r-1", 1, "n".to_owned(), Timestamp(as_of), &[3]);
    for step in &mut rollup.rings[0] {
        *step = Count { passed_at: passed.then_some(T0), ..Count::default() };
    }
    rollup.rings[0][0].started = 50;
    rollup.rings[0][0].bad = bad;
    rollup.shards.insert("0".to_owned(), Shard { started: 50, bad, as_of: Timestamp(as_of) });
    serde_json::to_vec(&rollup).unwrap()
}

fn body(pick: u8, now: u64) -> Vec<u8> {
    match pick % 16 {
        n @ 0..=7 => files()[usize::from(n)].clone(),
        8 => sign(&head(), "thief"),
        9 => rollup(true, 0, now),
        10 => rollup(true, 40, now),
        11 => rollup(false, 0, now),
        12 => rollup(true, 0, u64::MAX),
        13 => br#"{"host":null,"nonce":"","until":"1970-01-01T00:00:00Z","seq":18446744073709551615}"#.to_vec(),
        14 => vec![b'{'; 70_000],
        _ => Vec::new(),
    }
}

fn what(kind: u8, pick: u8, now: u64) -> What {
    let tag = Tag(format!("t{}", pick % 3));
    match kind % 11 {
        0..=2 => What::Object { body: body(pick, now), tag },
        3 => What::Unchanged,
        4 => What::Absent,
        5 => What::Written((pick & 1 == 0).then_some(tag)),
        6 => What::Gone,
        7 => What::Conflict,
        8 => What::Keys { keys: vec![(String::new(), Timestamp(u64::MAX))], next: Some(String::new()) },
        9 => What::Evidence {
            found: vec![Evidence {
                host: HostId([pick; 16]),
                report: ["1-s-r0k0", "65535-o", "1-s-r255k255", "1-b-x", "1-x-y"][usize::from(pick % 5)]
                    .parse()
                    .unwrap(),
                at: Timestamp(u64::MAX - u64::from(pick)),
            }],
            next: (pick & 1 == 0).then(String::new),
        },
        _ => What::Failed(Trouble {
            code: "Ünsinn/..".to_owned(),
            message: String::new(),
            retry_after_s: (pick & 1 == 0).then_some(u64::MAX),
            passes: pick & 2 == 0,
        }),
    }
}

/// What the worker has said about the last state of each document, as the machine should have believed it.
#[derive(Default)]
struct Believed {
    head: Option<Head>,
    read_head: bool,
    rollup: Option<Rollup>,
    latch_absent: bool,
    evidence: bool,
}

impl Believed {
    fn take(&mut self, request: &Request, what: &What) {
        match (request, what) {
            (Request::Get { key, .. }, what) if *key == names().head() => {
                *self = Believed { head: self.head.take(), rollup: self.rollup.take(), ..Believed::default() };
                if let What::Object { body, .. } = what
                    && let Ok((payload, signatures)) = crate::fleet::head::split(body)
                    && signatures == ["good"]
                    && let Ok(head) = Head::read(&payload)
                    && self.head.as_ref().is_none_or(|mine| head.seq >= mine.seq)
                {
                    self.head = Some(head);
                    self.read_head = true;
                }
                self.read_head |= *what == What::Unchanged;
            }
            (Request::Get { key, .. }, What::Object { body, .. }) if *key == names().rollup("r-1") => {
                self.rollup = Rollup::read(body).ok();
            }
            (Request::Get { key, .. }, What::Absent) if *key == names().rollup("r-1") => self.rollup = None,
            (Request::Head { .. }, what) => self.latch_absent = *what == What::Absent,
            (Request::Report { report, .. }, What::Written(_) | What::Conflict) if !report.state.is_final() => {
                self.evidence = true;
            }
            _ => {}
        }
    }
}

thread_local! {
    static SWITCHES: RefCell<u32> = const { RefCell::new(0) };
}

fn check(believed: &Believed, me: &Me, release: &str, now: Timestamp) {
    SWITCHES.with_borrow_mut(|count| *count += 1);
    let head = believed.head.as_ref().expect("no head was verified");
    assert!(believed.read_head && believed.latch_absent && believed.evidence, "the gate was not passed");
    assert!(heads().iter().any(|(known, good)| known == head && *good), "not a head to start by: {head}");
    assert_eq!(head.release, release);
    assert!(now < head.valid_until);
    let turn = rule::turn(head, me.id, None, &me.labels).unwrap();
    assert!(now >= rule::floor(head, 0, usize::from(turn.place.step)), "before its time");
    if turn.place > (Place { ring: 0, step: 0 }) && head.state == Phase::Running {
        let rollup = believed.rollup.as_ref().expect("no roll-up was read");
        assert!(rollup.step(Place { ring: 0, step: turn.place.step - 1 }).unwrap().passed_at.is_some());
        assert_eq!(rule::halts(head, rollup), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    fn random_answers(
        id in 0_u8..12,
        // Mostly what was asked for, so that some come as far as a switch.
        replies in proptest::collection::vec((0_u8..11, any::<u8>(), 0_u8..16, -300_i64..300), 1..150),
        skew in prop_oneof![Just(0_i64), Just(86_400), Just(-86_400)],
    ) {
        let me = Me { boot: "b".to_owned(), ..Me::new(HostId::named(&format!("h{id}")), names()) };
        let mut now = Timestamp(T0.0.saturating_add_signed(skew));
        let mut host = Host::new(me.clone(), Memory::default(), now);
        let mut believed = Believed::default();
        for (kind, pick, sane, jump) in replies {
            match host.next(now, &Desk) {
                Step::Ask(request) => {
                    let answer = if sane == 0 { what(kind, pick, now.0) } else { sensible(&request, pick, now.0) };
                    believed.take(&request, &answer);
                    let date = (pick & 3 == 0).then_some(Timestamp(now.0.saturating_add_signed(jump)));
                    host.replied(Reply { what: answer, date }, now, &Desk);
                }
                Step::Sleep { until } => {
                    assert!(until > now);
                    let clock = if pick == 0 { now.0.saturating_sub(jump.unsigned_abs()) } else { until.0.min(now.0 + 40_000) };
                    now = Timestamp(clock);
                }
                Step::Learn { release } => {
                    let known = release == "1.1.0+abc";
                    host.learned(if known { Ok(learned()) } else { Err(Code::new("manifest.absent")) });
                }
                Step::Prefetch { .. } => host.prefetched(if pick % 4 == 0 { Err(Code::new("x")) } else { Ok(()) }),
                Step::Switch { release, .. } => {
                    check(&believed, &me, &release, now);
                    host.switched([Switched::Interrupted, Switched::RolledBack(Code::new("x")), Switched::Declined(Code::new("d"))][usize::from(pick % 3)].clone());
                }
            }
            let _ = host.shown();
            let kept = serde_json::to_vec(host.memory()).unwrap();
            assert_eq!(&serde_json::from_slice::<Memory>(&kept).unwrap(), host.memory());
        }
    }

    #[test]
    fn a_steward_survives_every_answer(replies in proptest::collection::vec((0_u8..11, any::<u8>(), any::<u16>()), 1..100)) {
        let mut now = T0;
        let mut steward = Steward::new(names(), HostId::named("s"), "boot", now);
        for (kind, pick, ahead) in replies {
            match steward.next(now) {
                steward::Step::Ask(_) => {
                    let date = (pick & 3 == 0).then_some(Timestamp(now.0 + u64::from(ahead)));
                    steward.replied(Reply { what: what(kind, pick, now.0), date }, now, &Desk);
                }
                steward::Step::Sleep { until } => {
                    assert!(until > now);
                    now = until;
                }
                steward::Step::Done => unreachable!("it goes on"),
            }
        }
    }
}

fn learned() -> Learned {
    let running = Some(Running { release: None, version: Version::new(1, 0, 0), rollback_to: Vec::new() });
    Learned { version: Version::new(1, 1, 0), bounds: Some(bounds()), runs: false, from_ok: true, running }
}

/// An answer of the kind that was asked for, true or not.
fn sensible(request: &Request, pick: u8, now: u64) -> What {
    let tag = Tag(format!("t{pick}"));
    match request {
        Request::Get { key, .. } if *key == names().head() => {
            What::Object { body: body(if pick < 200 { 0 } else { pick % 9 }, now), tag }
        }
        Request::Get { key, .. } if *key == names().rollup("r-1") => {
            What::Object { body: body(9 + pick.saturating_sub(150) / 30, now), tag }
        }
        Request::Get { .. } | Request::Head { .. } => {
            if pick < 230 {
                What::Absent
            } else {
                What::Unchanged
            }
        }
        Request::Evidence { .. } => What::Evidence { found: Vec::new(), next: Some("x".to_owned()) },
        Request::List { .. } => What::Keys { keys: Vec::new(), next: None },
        _ => {
            if pick < 230 {
                What::Written(Some(tag))
            } else {
                What::Conflict
            }
        }
    }
}

#[test]
fn nothing_a_worker_says_starts_what_the_keys_do_not_let_start() {
    SWITCHES.with_borrow_mut(|count| *count = 0);
    random_answers();
    let switches = SWITCHES.with_borrow(|count| *count);
    assert!(switches > 20, "only {switches} came as far as a switch");
}
