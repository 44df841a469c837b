//! An operator at work, over a bucket in memory.

mod asked;
mod begin;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::clock::Timestamp;
use crate::failure::Failure as _;
use crate::fleet::evidence::{Code, Report, State};
use crate::fleet::plan::{Phase, Pin};
use crate::fleet::store::memory::{Fault, MemoryStore};
use crate::fleet::store::{Reply, Request, Store as _, What};
use crate::fleet::{HostId, Names, Place};
use crate::publish::{SigningKey, sign_manifest};
use crate::trust::KeySet;
use crate::trust::manifest::Bounds;

const T0: Timestamp = Timestamp(1_800_000_000);
const HOUR: u64 = 3600;

/// A bucket with two releases of 100 hosts, and the keys.
struct Site {
    store: MemoryStore,
    names: Names,
    online: SigningKey,
    offline: SigningKey,
}

impl Site {
    fn new() -> Site {
        let names = Names::new("p", "web", "stable").unwrap();
        let store = MemoryStore::new(names.clone(), T0);
        let site =
            Site { store, names, online: SigningKey::generate().unwrap(), offline: SigningKey::generate().unwrap() };
        site.release("1.0.0", &profile::bounds("default").unwrap());
        let bounds = profile::bounds("default").unwrap();
        site.release("1.1.0", &Bounds { rollback_to: vec!["1.0.0".parse().unwrap()], ..bounds });
        site
    }

    fn release(&self, version: &str, bounds: &Bounds) {
        let sha256 = "0".repeat(64);
        let manifest = json!({
            "type": "fetchd-manifest", "spec": 1, "product": "web", "channel": "stable", "epoch": 0, "seq": 1,
            "issued": T0, "expires": null, "min_version": null, "crit": [], "revoked": [],
            "releases": [{
                "version": version, "yanked": false, "critical": false, "min_from": null, "rollout": null,
                "notes_url": null,
                "artifacts": [{
                    "target": "x86_64-unknown-linux-gnu", "urls": ["web"], "size": 1, "sha256": sha256, "format": "raw",
                    "entry": null, "deltas": [], "binary_sha256": sha256, "binary_size": 1,
                }],
                "bounds": {
                    "min_steps": bounds.min_steps, "max_first_pct": 5, "min_total_s": bounds.min_total_s,
                    "min_bake_s": bounds.min_bake_s, "emergency_ok": bounds.emergency_ok,
                    "rollback_to": bounds.rollback_to,
                },
            }],
        });
        let bundle = sign_manifest(&manifest, std::slice::from_ref(&self.offline)).unwrap();
        self.store.set(&self.names.manifest(version), bundle);
    }

    fn set(key: &SigningKey) -> KeySet {
        KeySet::new(vec![key.public().clone()], 1).unwrap()
    }

    fn at<T>(&self, now: Timestamp, work: impl FnOnce(&mut Desk<'_>) -> T) -> T {
        self.store.set_time(now);
        let mut store = self.store.clone();
        let desk = Desk::new(&mut store, self.names.clone(), Site::set(&self.online), now);
        work(&mut desk.with_releases(Site::set(&self.offline)))
    }

    fn start(&self, release: &str, plan: &str) -> Result<Done, RolloutError> {
        self.at(T0, |desk| {
            Proposal::start(desk, &asked(release, plan), false, GOOD_FOR)?
                .write(desk, std::slice::from_ref(&self.online))
        })
    }

    fn change(&self, now: Timestamp, change: &Change) -> Result<Done, RolloutError> {
        self.at(now, |desk| Proposal::change(desk, change, GOOD_FOR)?.write(desk, std::slice::from_ref(&self.online)))
    }

    fn says(&self, rollout: &str, host: &str, state: State) {
        let (rollout, shard, host) = (rollout.to_owned(), "0".to_owned(), HostId::named(host));
        let report = Report { attempt: 1, state };
        self.store.clone().ask(Request::Report { rollout, shard, host, report, body: Vec::new() });
    }

    fn head(&self) -> Option<Vec<u8>> {
        self.store.peek(&self.names.head())
    }
}

fn asked(release: &str, plan: &str) -> Start {
    let plan = Plan::named(plan).unwrap();
    let (salt, at, rollout) = (None, Some(T0), None);
    Start { release: release.to_owned(), plan, base: Vec::new(), hosts: Some(100), salt, at, rollout, at_least_seq: 0 }
}

fn resume(ack: Option<&str>) -> Change {
    Change::Resume { ack: ack.map(str::to_owned), exclude: Vec::new() }
}

fn after(hours: u64) -> Timestamp {
    Timestamp(T0.0 + hours * HOUR)
}

#[test]
fn a_rollout_goes_from_its_start_to_its_end() {
    let site = Site::new();
    let begun = site.start("1.1.0", "default").unwrap().head;
    assert_eq!((begun.seq, begun.rollout.as_str(), begun.state), (1, "r-2027-01-15-1", Phase::Running));
    assert_eq!((begun.t0, begun.rings[0].hosts, begun.valid_until), (T0, 100, after(30 * 24)));
    assert!(site.store.peek(&site.names.plan(&begun.rollout, None)) == site.head(), "a copy for whoever asks later");

    let paused = site.change(after(1), &Change::Pause).unwrap().head;
    assert_eq!((paused.seq, paused.state), (2, Phase::Paused));
    assert_ne!(paused.nonce, begun.nonce);
    assert_eq!(site.change(after(1), &Change::Pause).unwrap_err().code(), "fleet.phase");
    // Ten hours later: the schedule goes on where it stopped, and no crowd starts at once.
    let resumed = site.change(after(11), &resume(None)).unwrap().head;
    assert_eq!((resumed.state, resumed.t0), (Phase::Running, after(10)));
    assert_eq!(site.change(after(11), &resume(None)).unwrap_err().code(), "fleet.phase", "it runs");

    let pinned = Change::Pin(Pin { host: "web-1".to_owned(), release: Some("1.0.0".to_owned()) });
    assert_eq!(site.change(after(11), &pinned).unwrap().head.pins.len(), 1);
    // No more than hosts would obey.
    let many = |desk: &mut Desk<'_>| {
        let mut before = desk.needed_head()?;
        before.head.pins =
            (0..10).map(|number| Pin { host: format!("db-{number}"), release: Some("1.0.0".to_owned()) }).collect();
        pinned.apply(desk, &before)
    };
    assert_eq!(site.at(after(11), many).unwrap_err().code(), "fleet.out_of_bounds");
    // The same host by its id.
    let unpinned = Change::Unpin(HostId::named("web-1").to_string());
    assert_eq!(site.change(after(11), &unpinned).unwrap().head.pins.len(), 0);
    assert_eq!(site.change(after(11), &unpinned).unwrap_err().code(), "fleet.phase");
    assert_eq!(site.change(after(11), &Change::Retry).unwrap().head.attempt, 2);
    assert_eq!(site.change(after(11), &Change::Finish).unwrap_err().code(), "fleet.phase", "nothing has passed");
    let renewed = site.change(after(12), &Change::Renew).unwrap().head;
    assert_eq!(renewed.valid_until, after(12 + 30 * 24));

    let aborted = site.change(after(12), &Change::Abort).unwrap().head;
    assert_eq!(aborted.state, Phase::Aborted);
    for change in [Change::Pause, resume(None), Change::Promote, Change::Retry] {
        assert_eq!(site.change(after(12), &change).unwrap_err().code(), "fleet.phase", "{change:?}");
    }
    // Every signed state has its copy.
    let copies = site.store.keys(&format!("{}r-2027-01-15-1/", site.names.rollouts()));
    assert_eq!(copies.len() as u64, aborted.seq + 1, "{copies:?}");
}

#[test]
fn a_head_that_was_removed_is_followed_by_one_with_a_higher_number() {
    let site = Site::new();
    site.start("1.1.0", "default").unwrap();
    site.change(after(1), &Change::Renew).unwrap();
    site.store.lose(&site.names.head());
    assert_eq!(site.start("1.1.0", "default").unwrap().head.seq, 3, "its copies say how far it was");
    site.store.lose_all();
    site.release("1.1.0", &profile::bounds("default").unwrap());
    let start = Start { at_least_seq: 40, ..asked("1.1.0", "default") };
    let head = site.at(T0, |desk| Proposal::start(desk, &start, false, GOOD_FOR).unwrap().after);
    assert_eq!(head.seq, 41, "as the operator says");
}

#[test]
fn of_two_operators_the_second_is_told() {
    let site = Site::new();
    site.start("1.1.0", "default").unwrap();
    let keys = std::slice::from_ref(&site.online);
    let (first, second) = site.at(after(1), |desk| {
        let second = Proposal::change(desk, &Change::Abort, GOOD_FOR).unwrap();
        let first = Proposal::change(desk, &Change::Pause, GOOD_FOR).unwrap().write(desk, keys);
        (first, second.write(desk, keys))
    });
    let there = site.head();
    let late = second.unwrap_err();
    assert_eq!((late.code(), late.exit().number()), ("fleet.changed_meanwhile", 75));
    assert!(late.to_string().contains("state 1") && late.to_string().contains("state 2 (1.1.0 of"), "{late}");
    assert!(there == site.head() && first.unwrap().head.state == Phase::Paused, "nothing was overwritten");
}

#[test]
fn a_lost_reply_is_known_by_its_nonce() {
    let site = Site::new();
    site.start("1.1.0", "default").unwrap();
    let writes = Arc::new(AtomicUsize::new(0));
    let of_head = |request: &Request, key: &str| matches!(request, Request::Replace { key: at, .. } if at == key);
    let meets = |fault: Fault| {
        let (key, writes) = (site.names.head(), Arc::clone(&writes));
        site.store.on_request(move |request, _| {
            let write = of_head(request, &key);
            writes.fetch_add(usize::from(write), Ordering::SeqCst);
            write.then_some(fault)
        });
    };
    meets(Fault::LostReply);
    assert_eq!(site.change(after(1), &Change::Pause).unwrap().head.seq, 2, "it was written, and that was found out");
    meets(Fault::Refused);
    let there = site.head();
    assert_eq!(site.change(after(2), &Change::Abort).unwrap_err().code(), "fleet.store");
    assert!(there == site.head() && writes.load(Ordering::SeqCst) == 2, "never a second time");
}

#[test]
fn nothing_faster_than_the_offline_key_allows_is_written() {
    let site = Site::new();
    for plan in ["fast", "emergency"] {
        assert_eq!(site.start("1.1.0", plan).unwrap_err().code(), "fleet.out_of_bounds", "{plan}");
    }
    assert_eq!(site.head(), None);
    site.release("1.2.0", &Bounds { emergency_ok: true, ..profile::bounds("default").unwrap() });
    site.release("1.3.0", &Bounds { max_first_pct: 10.0, ..profile::bounds("fast").unwrap() });
    for (release, plan) in [("1.2.0", "emergency"), ("1.3.0", "fast"), ("1.1.0", "default")] {
        site.store.lose(&site.names.head());
        assert!(site.start(release, plan).is_ok(), "{release} {plan}");
    }
    // An hour of watching is asked for; the first step has been open for half of one.
    let half = Timestamp(T0.0 + HOUR / 2);
    for change in [Change::Promote, Change::SkipStep] {
        let refused = site.change(half, &change).unwrap_err();
        assert_eq!(refused.code(), "fleet.out_of_bounds", "{change:?}");
        assert!(refused.to_string().contains("watched for 1800 s"), "{refused}");
    }
    // After an hour and a half there is room for half an hour less.
    let now = Timestamp(T0.0 + HOUR * 3 / 2);
    let promoted = site.change(now, &Change::Promote).unwrap().head;
    assert_eq!(promoted.promoted, Some(Place { ring: 0, step: 1 }));
    let steps = promoted.steps_of(0);
    assert_eq!((steps[0].ramp_s, steps[0].bake_s), (HOUR / 2, HOUR));
    assert_eq!(crate::fleet::rule::opens(&promoted, None, Place { ring: 0, step: 1 }), Some(now), "open now");
}

#[test]
fn a_way_back_is_one_that_the_offline_key_has_listed() {
    let site = Site::new();
    site.start("1.0.0", "default").unwrap();
    let back = |now, to: &str| {
        site.at(now, |desk| {
            Proposal::rollback(desk, &asked(to, "emergency"), GOOD_FOR)?.write(desk, std::slice::from_ref(&site.online))
        })
    };
    let refused = back(after(1), "1.1.0").unwrap_err();
    assert_eq!((refused.code(), refused.exit().number()), ("fleet.not_a_way_back", 20));
    site.change(after(1), &Change::Abort).unwrap();
    site.at(after(1), |desk| {
        let start = asked("1.1.0", "default");
        Proposal::start(desk, &start, false, GOOD_FOR)?.write(desk, std::slice::from_ref(&site.online))
    })
    .unwrap();
    // As fast as an emergency, although neither release may be rolled out so fast.
    let head = back(after(2), "1.0.0").unwrap().head;
    assert_eq!((head.release.as_str(), head.base.as_slice(), head.seq), ("1.0.0", &["1.1.0".to_owned()][..], 4));
    assert!(head.rollout.ends_with("-3"), "a rollout of its own: {}", head.rollout);
}

#[test]
fn who_may_not_sign_writes_nothing() {
    let site = Site::new();
    let stranger = SigningKey::generate().unwrap();
    let written = site.at(T0, |desk| {
        let proposal = Proposal::start(desk, &asked("1.1.0", "default"), false, GOOD_FOR).unwrap();
        proposal.write(desk, std::slice::from_ref(&stranger)).map(|done| done.head)
    });
    assert_eq!((written.unwrap_err().exit().number(), site.head()), (20, None));
    // What somebody else has put there is not worked on either.
    let begun = site.start("1.1.0", "default").unwrap().head;
    let payload = begun.payload().unwrap();
    let comment = crate::fleet::head::COMMENT;
    let signature = stranger.sign(&mut payload.as_slice(), comment, "x").unwrap();
    site.store.set(&site.names.head(), crate::fleet::Head::to_file(&payload, &[signature]).unwrap());
    assert_eq!(site.change(after(1), &Change::Pause).unwrap_err().exit().number(), 20);
}

#[test]
fn a_halt_is_acknowledged_by_name() {
    let site = Site::new();
    let begun = site.start("1.1.0", "default").unwrap().head;
    assert_eq!(site.change(after(1), &resume(Some("0123456789"))).unwrap_err().code(), "fleet.other_halt");
    site.store.set(&site.names.latch(&begun.rollout, 0), b"{\"why\":\"it burns\"}".to_vec());
    let bad = HostId::named("web-7");
    let rollup = json!({
        "v": 1, "rollout": begun.rollout, "attempt": 1, "seq": 1, "nonce": "n", "as_of": after(1), "shards": {},
        "rings": [[{"started": 9, "ok": 4, "bad": 4, "overdue": 1, "declined": 0}]],
        "bad": [{"host": bad, "place": null, "code": "handoff.exited", "at": after(1)}],
    });
    site.store.set(&site.names.rollup(&begun.rollout), rollup.to_string().into_bytes());
    for host in ["web-7", "web-8", "web-9", "web-10", "web-11"] {
        site.says(&begun.rollout, host, State::Bad(Code::new("handoff.exited")));
    }
    let refused = site.change(after(1), &resume(None)).unwrap_err();
    assert_eq!((refused.code(), refused.exit().number()), ("fleet.halted", 22));
    let named = crate::digest::Sha256::of(b"{\"why\":\"it burns\"}").to_string();
    assert!(refused.hint().unwrap().contains(&named[..12]));
    for wrong in ["", &named[..7], "00000000"] {
        assert_eq!(site.change(after(1), &resume(Some(wrong))).unwrap_err().code(), "fleet.other_halt", "{wrong}");
    }
    let change = Change::Resume { ack: Some(named[..12].to_owned()), exclude: vec![bad] };
    let ack = site.change(after(3), &change).unwrap().head.ack.unwrap();
    // Five have failed. One of them is not counted any more, so it is not deducted either.
    assert_eq!((ack.latches, ack.latch, ack.bad, ack.exclude), (1, named, 4, vec![bad]));
}

#[test]
fn what_no_host_has_said_is_not_acknowledged() {
    let site = Site::new();
    let begun = site.start("1.1.0", "default").unwrap().head;
    site.store.set(&site.names.latch(&begun.rollout, 0), b"{}".to_vec());
    site.says(&begun.rollout, "web-1", State::Bad(Code::new("handoff.exited")));
    site.says(&begun.rollout, "web-2", State::Stop(Code::new("operator")));
    // Somebody who may write a roll-up says that fifty have failed, and that nobody has said stop.
    let rollup = json!({
        "v": 1, "rollout": begun.rollout, "attempt": 1, "seq": 1, "nonce": "n", "as_of": after(1), "shards": {},
        "rings": [[{"started": 60, "ok": 10, "bad": 50, "overdue": 0, "declined": 0}]], "bad": [],
    });
    site.store.set(&site.names.rollup(&begun.rollout), rollup.to_string().into_bytes());
    let named = crate::digest::Sha256::of(b"{}").to_string();
    let ack = site.change(after(1), &resume(Some(&named))).unwrap().head.ack.unwrap();
    assert_eq!((ack.bad, ack.stops), (1, 1), "what hosts have said themselves");
}

#[test]
fn pages_that_do_not_go_on_are_an_error() {
    #[derive(Debug)]
    struct Endless(u64);
    impl crate::fleet::store::Store for Endless {
        fn ask(&mut self, request: Request) -> Reply {
            self.0 += 1;
            assert!(self.0 < 100, "it asks for ever");
            let next = Some(["b", "a"][usize::try_from(self.0 % 2).unwrap()].to_owned());
            let what = match request {
                Request::List { .. } => What::Keys { keys: Vec::new(), next },
                _ => What::Evidence { found: Vec::new(), next },
            };
            Reply { what, date: None }
        }
    }
    let (site, mut store) = (Site::new(), Endless(0));
    let mut desk = Desk::new(&mut store, site.names.clone(), Site::set(&site.online), T0);
    assert_eq!(desk.keys("x/", 100).unwrap_err().code(), "fleet.store");
    assert_eq!(desk.evidence("r-1", crate::fleet::cohort::Shards::ONE).unwrap_err().code(), "fleet.store");
}

#[test]
fn only_a_way_back_is_as_fast_as_an_emergency() {
    let site = Site::new();
    let base = Start { base: vec!["1.0.0".to_owned()], ..asked("1.1.0", "default") };
    site.at(T0, |desk| Proposal::start(desk, &base, false, GOOD_FOR)?.write(desk, std::slice::from_ref(&site.online)))
        .unwrap();
    // No host would go on with it: for a host that comes from an older release its own bounds hold.
    let half = Timestamp(T0.0 + HOUR / 2);
    assert_eq!(site.change(half, &Change::Promote).unwrap_err().code(), "fleet.out_of_bounds");
    site.change(half, &Change::Abort).unwrap();
    site.at(half, |desk| {
        Proposal::start(desk, &asked("1.1.0", "default"), false, GOOD_FOR)?
            .write(desk, std::slice::from_ref(&site.online))
    })
    .unwrap();
    let back = |desk: &mut Desk<'_>| {
        Proposal::rollback(desk, &asked("1.0.0", "default"), GOOD_FOR)?.write(desk, std::slice::from_ref(&site.online))
    };
    site.at(after(1), back).unwrap();
    let promoted = site.change(Timestamp(T0.0 + HOUR * 3 / 2), &Change::Promote).unwrap();
    assert_eq!(promoted.head.promoted, Some(Place { ring: 0, step: 1 }));
}

#[test]
fn a_host_is_explained() {
    let site = Site::new();
    let begun = site.start("1.1.0", "default").unwrap().head;
    let blocks = |now, host: &str| {
        site.at(now, |desk| {
            let head = desk.needed_head().unwrap().head;
            let told = explain::explain(desk, &head, host).unwrap();
            told.blocks.into_iter().map(|block| block.what).collect::<Vec<_>>()
        })
    };
    let early = (0..2000).map(|n| format!("web-{n}")).find(|name| HostId::named(name).position(&begun.salt) < 0.01);
    let late = (0..2000).map(|n| format!("web-{n}")).find(|name| HostId::named(name).position(&begun.salt) > 0.6);
    let (early, late) = (early.unwrap(), late.unwrap());
    assert_eq!(blocks(Timestamp(T0.0 + 1), &early), ["turn"]);
    assert_eq!(blocks(after(2), &early), ["steward"], "its turn has come, and nobody has counted");
    assert!(blocks(Timestamp(T0.0 + 1), &late).contains(&"gate"));
    let id = HostId::named(&early);
    let say = |state| {
        let report = Report { attempt: 1, state };
        let (rollout, shard) = (begun.rollout.clone(), id.shard(begun.shards));
        site.store.clone().ask(Request::Report { rollout, shard, host: id, report, body: Vec::new() });
    };
    say(State::Started(Place { ring: 0, step: 0 }));
    say(State::Bad(Code::new("handoff.exited")));
    assert_eq!(blocks(after(2), &id.to_string())[0], "denylist");
    let hosts = site.at(after(2), |desk| hosts::hosts(desk, &begun).unwrap());
    assert_eq!((hosts.len(), hosts[0].state, hosts[0].place), (1, hosts::Word::Bad, Some(Place { ring: 0, step: 0 })));
    let pin = Change::Pin(Pin { host: early.clone(), release: None });
    site.change(after(2), &pin).unwrap();
    site.change(after(2), &Change::Pause).unwrap();
    assert_eq!(blocks(after(2), &early), ["denylist", "pin", "state"]);
    assert_eq!(blocks(after(40 * 24), &early), ["denylist", "pin", "state", "expired"]);
}

#[test]
fn only_what_is_old_and_over_is_removed() {
    let site = Site::new();
    let begun = site.start("1.1.0", "default").unwrap().head;
    for rollout in [begun.rollout.as_str(), "r-old"] {
        let report = Report { attempt: 1, state: State::Ok };
        let (rollout, shard, host) = (rollout.to_owned(), "0".to_owned(), HostId::named("web-1"));
        site.store.set(&site.names.rollup(&rollout), b"{}".to_vec());
        site.store.clone().ask(Request::Report { rollout, shard, host, report, body: Vec::new() });
    }
    // Another product has a rollout of that name as long as this one stands here.
    let other = Names::new("p", "api", "beta").unwrap().head();
    site.store.set(&other, b"{\"rollout\":\"r-old\"}".to_vec());
    let month = Duration::from_secs(30 * 86_400);
    site.at(after(31 * 24), |desk| assert_eq!(gc::old(desk, month).unwrap(), []));
    site.store.lose(&other);
    site.at(after(29 * 24), |desk| assert_eq!(gc::old(desk, month).unwrap(), []));
    site.at(after(31 * 24), |desk| {
        let old = gc::old(desk, month).unwrap();
        assert_eq!(old.iter().map(|old| (old.rollout.as_str(), old.objects)).collect::<Vec<_>>(), [("r-old", 2)]);
        assert_eq!(gc::remove(desk, &old).unwrap(), 2);
        assert_eq!(gc::old(desk, month).unwrap(), []);
    });
    assert_eq!(site.store.keys(&format!("{}{}/", "p/ev/", begun.rollout)).len(), 1, "the current one stays");
}

#[test]
fn plans_are_as_long_as_they_say() {
    let length = |name: &str| profile::length(&Plan::named(name).unwrap().steps).as_secs();
    assert_eq!((length("default"), length("fast"), length("emergency")), (31 * HOUR, 165 * 60, HOUR));
    let plan = Plan::parse(
        "like = \"fast\"\nsteps = [{pct = 10, ramp = \"1h\", bake = \"30m\"}, {pct = 100, ramp = \"2h\", manual = true}]\n\
         gate = {deadline = \"10m\"}\nlease = {group = \"{az}\", slots = 2}\n\
         [[rings]]\nname = \"canary\"\nhosts = [\"web-1\"]\n",
    )
    .unwrap();
    assert_eq!((plan.steps[0].ramp_s, plan.steps[1].manual, plan.gate.deadline_s), (HOUR, true, 600));
    assert_eq!((plan.gate.min_bad, plan.rings[0].name.as_str()), (3, "canary"));
    // What nobody has said suits the size of the fleet; what somebody has said is what holds.
    let figures = |text: &str, hosts| {
        let gate = Plan::parse(text).unwrap().gate_for(hosts);
        (gate.min_bad, gate.abs_bad, gate.deadline_s)
    };
    assert_eq!((figures("", 100), figures("", 1_000_000)), ((3, 500, 1800), (4, 5000, 1800)));
    assert_eq!(figures("gate = {min_bad = 3, abs_bad = 20, deadline = \"10m\"}", 1_000_000), (3, 20, 600));
    assert!(Plan::parse("like = \"slow\"").is_err() && Plan::parse("stepps = []").is_err());
    assert_eq!(Plan::open("nowhere.toml").unwrap_err().code(), "fleet.usage");
}

#[test]
fn the_plan_and_the_bounds_of_the_guide_are_read() {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fleet.md")).unwrap();
    let mut blocks = guide.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let bounds: Bounds = toml::from_str(blocks.next().unwrap()).unwrap();
    assert_eq!(bounds, profile::bounds("default").unwrap());
    let plan = Plan::parse(blocks.next().unwrap()).unwrap();
    assert_eq!((plan.steps.len(), plan.rings.len(), plan.windows.len(), plan.poll_s.open), (3, 2, 1, 300));
}

#[test]
fn the_effect_says_how_many_hosts_come_when() {
    let site = Site::new();
    site.start("1.1.0", "default").unwrap();
    site.at(after(1), |desk| {
        let proposal = Proposal::change(desk, &Change::Pause, GOOD_FOR).unwrap();
        let before = proposal.effect.before.as_ref().unwrap();
        // Five of a hundred in the first hour, since one would be no rate; on day one the first half is through, at the latest.
        assert!((before.eligible[0] - 5.0).abs() < 0.01 && before.eligible[2] > 50.0, "{:?}", before.eligible);
        assert_eq!(proposal.effect.after.eligible, [0.0; 3]);
        let lines = proposal.effect.lines().join("\n");
        assert!(lines.contains("state    running → paused") && lines.contains("now: 5 → 0"), "{lines}");
    });
}

#[test]
fn a_change_of_a_head_that_was_put_back_gets_a_number_that_no_host_has_seen() {
    let site = Site::new();
    site.start("1.1.0", "default").unwrap();
    let first = site.head().unwrap();
    site.change(after(1), &Change::Pause).unwrap();
    site.store.clone().set(&site.names.head(), first);
    site.at(after(2), |desk| {
        let proposal = Proposal::change(desk, &Change::Abort, GOOD_FOR).unwrap();
        assert_eq!(proposal.after.seq, 3, "hosts have seen the second, and would take another second for a forgery");
        assert!(proposal.notes.iter().any(|note| note.contains("somebody put it back")), "{:?}", proposal.notes);
    });
}
