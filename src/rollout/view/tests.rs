use std::sync::Arc;

use super::*;
use crate::fleet::Head;
use crate::fleet::evidence::{Place, Report};
use crate::fleet::plan::Phase;
use crate::fleet::rollup::{Bad, Count, Rollup};
use crate::fleet::sample::{T0, head, ring};
use crate::fleet::store::memory::MemoryStore;
use crate::fleet::store::{Request, What};
use crate::trust::Refused;

/// Takes a head without a signature: that is asked in `fleet::head`.
#[derive(Debug)]
struct Unsigned;

impl OpenHead for Unsigned {
    fn open(&self, file: &[u8]) -> Result<Arc<Head>, Refused> {
        Head::read(file).map(Arc::new)
    }
}

/// A bucket with a rollout in it.
struct Scene {
    names: Names,
    store: MemoryStore,
    head: Head,
    rollup: Rollup,
    now: Timestamp,
}

fn after(seconds: u64) -> Timestamp {
    Timestamp(T0.0 + seconds)
}

fn scene() -> Scene {
    let names = Names::new("fleet", "app", "stable").unwrap();
    let now = after(6000);
    let mut rollup = Rollup::empty("r-1", 1, "n".to_owned(), now, &[3]);
    rollup.rings[0][0] = Count { started: 10, ok: 10, passed_at: Some(after(5400)), ..Count::default() };
    rollup.rings[0][1] = Count { started: 40, ok: 36, bad: 0, overdue: 0, declined: 1, passed_at: None };
    Scene { store: MemoryStore::new(names.clone(), now), names, head: head(), rollup, now }
}

impl Scene {
    fn bad(&mut self, name: &str, code: &str, body: &str) -> HostId {
        let host = HostId::named(name);
        let (place, code) = (Place { ring: 0, step: 1 }, Code::new(code));
        self.rollup.rings[0][1].bad += 1;
        self.rollup.bad.push(Bad { host, place: Some(place), code: code.clone(), at: after(5900) });
        let report = Report { attempt: 1, state: crate::fleet::evidence::State::Bad(code) };
        let request = Request::Report {
            rollout: "r-1".to_owned(),
            shard: "0".to_owned(),
            host,
            report,
            body: body.as_bytes().to_vec(),
        };
        assert!(matches!(self.store.ask(request).what, What::Written(_)));
        host
    }

    fn write(&self) {
        self.store.set_time(self.now);
        self.store.set(&self.names.head(), self.head.payload().unwrap());
        self.store.set(&self.names.rollup("r-1"), serde_json::to_vec(&self.rollup).unwrap());
    }

    fn view(&mut self) -> View {
        self.write();
        View::gather(&mut self.store, &self.names, &Unsigned, self.now).unwrap()
    }
}

/// A view of a rollout that runs: its second step is filling.
pub(crate) fn view() -> View {
    scene().view()
}

/// The same with two failing hosts, one of which says what an attacker would, and halted by a latch.
pub(crate) fn halted() -> View {
    let mut scene = scene();
    let hostile = "{\"ahead_s\":-400,\"from\":\"1.0.0\",\"name\":\"<script>alert(1)</script>\",\"reason\":\"\\u001b[2J<img src=x onerror=alert(1)>\",\
                   \"log\":\"line 1\\n</pre><script>alert(2)</script>\\n\\\"' onload=alert(3)\"}";
    scene.bad("web-1", "handoff.exited", hostile);
    scene.bad("web-2", "health.failed", "no JSON at all");
    scene.rollup.rings[0][1].overdue = 1;
    let latch = "{\"v\":1,\"why\":{\"why\":\"share\",\"bad\":3,\"started\":50},\"by\":\"</code><script>x</script>\",\
                 \"at\":\"2027-01-15T09:39:00Z\"}";
    scene.store.set(&scene.names.latch("r-1", 0), latch.as_bytes().to_vec());
    scene.view()
}

#[test]
fn a_running_rollout_shows_which_step_fills_and_until_when() {
    let view = view();
    assert_eq!((view.state, view.halt.is_none()), (Standing::Running, true));
    let words: Vec<Word> = view.rings[0].steps.iter().map(|step| step.state).collect();
    assert_eq!(words, [Word::Passed, Word::Filling, Word::Closed]);
    assert_eq!(view.rings[0].steps[1].full, Some(after(5400 + 450 + 3600)));
    assert_eq!(view.rings[0].steps[2].waits.as_deref(), Some("step 2 has to pass"));
    assert_eq!(view.next.at, Some(after(9450)));
    assert!(view.next.text.starts_with("Step 2 (10 %) is filling"), "{}", view.next.text);
    let hosts = Hosts { planned: 1000, waiting: 949, under_way: 4, ok: 46, declined: 1, ..Hosts::default() };
    assert_eq!(view.hosts, hosts);
    assert_eq!(serde_json::from_str::<View>(&serde_json::to_string(&view).unwrap()).unwrap(), view);
}

#[test]
fn a_step_goes_from_word_to_word() {
    let word = |seconds: u64, change: &dyn Fn(&mut Scene)| {
        let mut scene = scene();
        scene.now = after(seconds);
        scene.rollup.as_of = scene.now;
        change(&mut scene);
        let view = scene.view();
        (view.rings[0].steps[1].state, view.rings[0].steps[1].waits.clone().unwrap_or_default(), view.next.text)
    };
    let same = |_: &mut Scene| {};
    assert_eq!(word(5300, &|scene| scene.head.steps[1].not_before = Some(after(5500))).0, Word::Opens);
    assert_eq!(word(5900, &same).0, Word::Filling);
    assert_eq!(word(9500, &same).0, Word::Baking);
    let (waiting, waits, next) = word(11_300, &same);
    assert_eq!((waiting, waits.as_str()), (Word::Waiting, "only 36 of 40 started hosts are well"));
    assert_eq!(next, "Step 2 (10 %) waits: only 36 of 40 started hosts are well.");
    let (_, waits, _) = word(11_300, &|scene| scene.rollup.rings[0][1] = Count::default());
    assert_eq!(waits, "0 hosts have started, and 5 are needed");
    let (closed, waits, _) = word(5500, &|scene| scene.head.steps[1].manual = true);
    assert_eq!((closed, waits.as_str()), (Word::Closed, "an operator has to promote it"));
    let (_, _, next) = word(5900, &|scene| {
        scene.head.rings = vec![ring("canary", 1000), ring("prod", 1000)];
        scene.rollup.rings.push(vec![Count::default(); 3]);
    });
    assert!(next.starts_with("Step 2 of canary (10 %) is filling"), "{next}");
}

#[test]
fn what_outweighs_the_signed_state_is_shown_instead_of_it() {
    let state = |change: &dyn Fn(&mut Scene)| {
        let mut scene = scene();
        change(&mut scene);
        scene.view().state
    };
    assert_eq!(state(&|scene| scene.head.valid_until = after(5999)), Standing::Expired);
    assert_eq!(state(&|scene| scene.rollup.as_of = after(6000 - 601)), Standing::Held);
    assert_eq!(state(&|scene| scene.rollup.rings[0][1].bad = 4), Standing::Halted);
    for (phase, standing) in [
        (Phase::Paused, Standing::Paused),
        (Phase::Halted, Standing::Halted),
        (Phase::Aborted, Standing::Aborted),
        (Phase::Done, Standing::Done),
    ] {
        assert_eq!(state(&|scene| scene.head.state = phase), standing);
    }
    // A latch alone stops it, whatever the figures say.
    assert_eq!(state(&|scene| scene.store.set(&scene.names.latch("r-1", 0), Vec::new())), Standing::Halted);
    let paused = &|scene: &mut Scene| {
        scene.head.state = Phase::Paused;
        scene.store.set(&scene.names.latch("r-1", 0), Vec::new());
    };
    assert_eq!(state(paused), Standing::Halted);
}

#[test]
fn a_halt_says_which_rule_who_and_which_latch() {
    let view = halted();
    assert_eq!(view.state, Standing::Halted);
    let words: Vec<Word> = view.rings[0].steps.iter().map(|step| step.state).collect();
    assert_eq!(words, [Word::Passed, Word::Stopped, Word::Closed]);
    let halt = view.halt.unwrap();
    assert_eq!(halt.rule, Some(Halt::Share { bad: 3, started: 50 }));
    assert_eq!(halt.text, "3 of 50 started hosts are bad or silent: more than the plan allows");
    assert_eq!(halt.latch.as_deref(), Some("fleet/latch/r-1/halt"));
    assert_eq!(halt.at.map(|at| at.to_string()).as_deref(), Some("2027-01-15T09:39:00Z"));
    assert_eq!(halt.sha256.map(|digest| digest.len()), Some(64));
}

#[test]
fn failing_hosts_are_shown_with_what_they_said() {
    let view = halted();
    let host = view.failing.iter().find(|host| host.host == HostId::named("web-1")).unwrap();
    assert_eq!((host.code.as_str(), host.attempt), ("handoff.exited", Some(1)));
    assert_eq!(host.place, Some(("all".to_owned(), 2)));
    assert_eq!(host.name.as_deref(), Some("<script>alert(1)</script>"), "it is escaped where it is shown");
    assert!(host.log.as_deref().unwrap().starts_with("line 1\n"));
    assert_eq!((host.from.as_deref(), host.clock_ahead_s), (Some("1.0.0"), Some(-400)));
    let other = view.failing.iter().find(|host| host.host == HostId::named("web-2")).unwrap();
    assert_eq!((other.log.as_deref(), other.attempt), (None, Some(1)));
    assert_eq!(view.failing_more, 1, "the silent one is counted and not listed");
}

#[test]
fn a_silent_host_is_looked_for_where_it_started_and_named_by_the_inventory() {
    let mut scene = scene();
    let host = HostId::named("web-9");
    let place = Place { ring: 0, step: 1 };
    scene.rollup.rings[0][1].overdue = 1;
    scene.rollup.bad.push(Bad { host, place: Some(place), code: Code::new("silent"), at: after(5000) });
    scene.store.set(&scene.names.inventory("0", host), b"{\"name\":\"web-9\"}".to_vec());
    scene.store.set(&scene.names.inventory("3", host), Vec::new());
    let view = scene.view();
    assert_eq!((view.failing[0].name.as_deref(), view.failing[0].attempt), (Some("web-9"), None));
    assert_eq!(view.hosts.inventory, Some(1));
}

#[test]
fn a_second_look_reads_only_what_can_have_changed() {
    let mut scene = scene();
    for number in 0..4 {
        scene.bad(&format!("web-{number}"), "health.failed", "{\"name\":\"n\"}");
    }
    scene.write();
    let mut looker = Looker::new(scene.names.clone());
    let first = looker.look(&mut scene.store, &Unsigned, scene.now).unwrap();
    let before = scene.store.counts();
    let second = looker.look(&mut scene.store, &Unsigned, scene.now).unwrap();
    let asked = scene.store.counts() - before;
    assert_eq!(first, second);
    assert_eq!((asked.get, asked.not_modified, asked.list), (3, 2, 1), "{asked:?}");
}

#[test]
fn an_older_head_that_somebody_put_back_is_refused() {
    let mut scene = scene();
    scene.head.seq = 7;
    scene.write();
    let mut looker = Looker::new(scene.names.clone());
    looker.look(&mut scene.store, &Unsigned, scene.now).unwrap();
    scene.head.seq = 6;
    scene.write();
    let error = looker.look(&mut scene.store, &Unsigned, scene.now).unwrap_err();
    assert_eq!((error.code.as_str(), error.exit.number()), ("head.rollback", 21));
}

#[test]
fn no_rollout_and_a_store_that_is_down_are_failures() {
    let mut scene = scene();
    let look = |scene: &mut Scene| View::gather(&mut scene.store, &scene.names, &Unsigned, scene.now).unwrap_err();
    assert_eq!(look(&mut scene).code, "fleet.no_rollout");
    scene.write();
    scene.store.unavailable_until(after(7000));
    let error = look(&mut scene);
    assert_eq!(error.exit.number(), 30);
    assert!(error.message.contains("head/app/stable.json"), "{}", error.message);
}

#[test]
fn a_roll_up_may_say_anything() {
    let mut scene = scene();
    let most = (1 << 53) - 1;
    let huge = Count { started: most, ok: most, bad: most, overdue: 9, declined: most, passed_at: None };
    scene.rollup.rings = vec![vec![huge; 40]; 40];
    scene.rollup.as_of = Timestamp(253_402_300_799);
    let view = scene.view();
    assert_eq!(view.notes, Vec::<String>::new());
    assert_eq!(view.state, Standing::Halted);
    let _ = (crate::rollout::text::lines(&view), crate::rollout::metrics::text(&view, std::time::Duration::ZERO));
    let shown = crate::rollout::page::Shown { view: Some(&view), trouble: None };
    let _ = crate::rollout::page::page(shown, false);
    scene.rollup.rings.clear();
    assert_eq!(scene.view().rings[0].steps.len(), 3);
    scene.store.set(&scene.names.rollup("r-1"), b"{}".to_vec());
    let view = View::gather(&mut scene.store, &scene.names, &Unsigned, scene.now).unwrap();
    assert!(view.notes[0].starts_with("The roll-up is not counted"), "{:?}", view.notes);
}

#[test]
fn leases_and_stewards_are_counted_while_they_last() {
    let mut scene = scene();
    let lease = |until: u64| format!("{{\"host\":null,\"nonce\":\"\",\"until\":\"{}\",\"seq\":1}}", after(until));
    for (key, until) in [
        (scene.names.lease("eu-1a", 0), 6100),
        (scene.names.lease("eu-1a", 1), 5900),
        (scene.names.lease("eu-1b", 0), 7000),
        (scene.names.steward(0), 6100),
        (scene.names.steward(1), 5000),
    ] {
        scene.store.set(&key, lease(until).into_bytes());
    }
    let view = scene.view();
    let used: Vec<(&str, u64)> = view.leases.iter().map(|leases| (leases.group.as_str(), leases.used)).collect();
    assert_eq!((used, view.rollup.stewards), (vec![("eu-1a", 1), ("eu-1b", 1)], Some(1)));
}

#[test]
fn the_clock_of_this_machine_is_told_apart_from_the_stores() {
    let mut scene = scene();
    scene.write();
    let view = View::gather(&mut scene.store, &scene.names, &Unsigned, after(5000)).unwrap();
    assert_eq!(view.at, after(6000));
    assert_eq!(view.notes, ["This machine's clock is 1000 s behind the store's."]);
}

#[test]
fn requests_cost_what_the_price_list_says() {
    let close = |is: f64, should: f64| assert!((is - should).abs() < 0.005, "{is} {should}");
    // 100,000 hosts: $57.60 at 30 minutes, $345.60 at 5 minutes, and $15 for the daily inventory.
    let cost = Cost::of(100_000, 1800, 300);
    close(cost.idle_month, 57.60 + 15.0);
    close(cost.open_month, 345.60 + 15.0);
    close(cost.rollout, 1.0 + 0.12 + 0.5);
}
