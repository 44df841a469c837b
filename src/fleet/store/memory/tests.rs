use std::thread;

use super::*;
use crate::fleet::{Evidence, HostId};

fn store() -> MemoryStore {
    MemoryStore::new(Names::new("fleet/", "app", "stable").unwrap(), Timestamp(1_800_000_000))
}

fn create(store: &mut MemoryStore, key: &str, body: &str) -> What {
    store.ask(Request::Create { key: key.to_owned(), body: body.as_bytes().to_vec() }).what
}

fn get(store: &mut MemoryStore, key: &str, unless: Option<&Tag>) -> What {
    store.ask(Request::Get { key: key.to_owned(), unless: unless.cloned(), limit: 1000 }).what
}

fn replace(store: &mut MemoryStore, key: &str, body: &str, tag: &Tag) -> What {
    store.ask(Request::Replace { key: key.to_owned(), body: body.as_bytes().to_vec(), tag: tag.clone() }).what
}

fn report(store: &mut MemoryStore, host: HostId, report: &str) -> What {
    let request = Request::Report {
        rollout: "r-1".to_owned(),
        shard: "0".to_owned(),
        host,
        report: report.parse().unwrap(),
        body: Vec::new(),
    };
    store.ask(request).what
}

fn evidence(store: &mut MemoryStore) -> Vec<Evidence> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let request = Request::Evidence { rollout: "r-1".to_owned(), shard: "0".to_owned(), after };
        let What::Evidence { found, next } = store.ask(request).what else { panic!("no evidence") };
        assert!(found.len() <= PAGE);
        all.extend(found);
        after = next;
        if after.is_none() {
            return all;
        }
    }
}

#[test]
fn an_object_is_made_once_and_replaced_by_whoever_has_read_it() {
    let mut store = store();
    let What::Written(Some(first)) = create(&mut store, "k", "one") else { panic!("not written") };
    assert_eq!(create(&mut store, "k", "two"), What::Conflict);
    assert_eq!(get(&mut store, "k", Some(&first)), What::Unchanged);
    let What::Written(Some(second)) = replace(&mut store, "k", "two", &first) else { panic!("not written") };
    assert_eq!(replace(&mut store, "k", "three", &first), What::Conflict);
    assert_eq!(get(&mut store, "k", Some(&first)), What::Object { body: b"two".to_vec(), tag: second.clone() });
    assert_eq!(store.ask(Request::Delete { key: "k".to_owned(), tag: first }).what, What::Conflict);
    assert_eq!(store.ask(Request::Delete { key: "k".to_owned(), tag: second.clone() }).what, What::Gone);
    assert_eq!(store.ask(Request::Head { key: "k".to_owned() }).what, What::Absent);
    assert_eq!(replace(&mut store, "k", "four", &second), What::Absent);
    let counts = store.counts();
    assert_eq!((counts.get, counts.put, counts.delete, counts.head), (2, 5, 2, 1));
    assert_eq!((counts.not_modified, counts.refused, counts.failed), (1, 3, 0));
}

#[test]
fn of_many_that_create_at_once_one_wins() {
    let store = store();
    for round in 0..20 {
        let racers = (0..8).map(|racer| {
            let mut store = store.clone();
            thread::spawn(move || {
                matches!(create(&mut store, &format!("k{round}"), &racer.to_string()), What::Written(_))
            })
        });
        let won = racers.collect::<Vec<_>>().into_iter().filter_map(|racer| racer.join().ok().filter(|won| *won));
        assert_eq!(won.count(), 1);
    }
}

#[test]
fn evidence_is_made_once_and_comes_in_pages_in_the_order_of_its_keys() {
    let mut store = store();
    let hosts: Vec<HostId> = (0..700).map(|n| HostId::named(&n.to_string())).collect();
    for host in &hosts {
        for text in ["2-s-r0k1", "10-o", "1-s-r0k0", "1-b-smoke.exited", "1-s-r0k10", "1-s-r0k2"] {
            assert!(matches!(report(&mut store, *host, text), What::Written(_)));
        }
        assert_eq!(report(&mut store, *host, "10-o"), What::Conflict);
    }
    let names = Names::new("fleet", "app", "stable").unwrap();
    let found: Vec<String> =
        evidence(&mut store).iter().map(|one| names.evidence("r-1", "0", one.host, &one.report)).collect();
    let mut sorted = found.clone();
    sorted.sort_unstable();
    assert_eq!((found.len(), &found), (4200, &sorted));
    assert_eq!(store.keys("fleet/ev/"), found);

    // The same by its keys, as an operator sees it.
    assert_eq!(create(&mut store, &found[0], "x"), What::Conflict);
    let What::Object { body, tag } = get(&mut store, &found[0], None) else { panic!("no object") };
    assert_eq!(body, b"");
    assert_eq!(store.ask(Request::Delete { key: found[0].clone(), tag }).what, What::Gone);
    assert_eq!(evidence(&mut store).len(), 4199);
}

#[test]
fn keys_come_in_pages_in_order_and_evidence_among_them() {
    let mut store = store();
    let hosts = [HostId::named("a"), HostId::named("b")];
    for host in hosts {
        report(&mut store, host, "1-o");
    }
    for key in ["fleet/agg/r-1/0.json", "fleet/head/app/stable.json", "other", "fleet/ev/strange"] {
        create(&mut store, key, "x");
    }
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let request = Request::List { prefix: "fleet/".to_owned(), after, limit: 2 };
        let What::Keys { keys, next } = store.ask(request).what else { panic!("no keys") };
        all.extend(keys.into_iter().map(|(key, _)| key));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((all.len(), &all), (5, &store.keys("fleet/")));
    assert!(all.is_sorted() && all.iter().filter(|key| key.starts_with("fleet/ev/r-1/0/")).count() == 2, "{all:?}");
}

#[test]
fn a_lost_answer_has_happened_and_a_refused_request_has_not() {
    let mut store = store();
    let mut faults =
        [Some(Fault::Refused), Some(Fault::Busy { retry_after_s: Some(7) }), Some(Fault::LostReply)].into_iter();
    store.on_request(move |_, _| faults.next().flatten());
    let trouble = |what| match what {
        What::Failed(trouble) => (trouble.code, trouble.retry_after_s, trouble.passes),
        what => panic!("{what:?}"),
    };
    assert_eq!(trouble(create(&mut store, "k", "x")), ("source.unreachable".to_owned(), None, true));
    assert_eq!(trouble(create(&mut store, "k", "x")), ("source.throttled".to_owned(), Some(7), true));
    assert_eq!(store.peek("k"), None);
    assert_eq!(trouble(create(&mut store, "k", "x")), ("source.unreachable".to_owned(), None, true));
    assert_eq!(store.peek("k").as_deref(), Some(&b"x"[..]));
    assert_eq!(create(&mut store, "k", "x"), What::Conflict);
    assert_eq!((store.counts().put, store.counts().failed), (2, 3));

    store.unavailable_until(Timestamp(1_800_000_060));
    assert!(matches!(get(&mut store, "k", None), What::Failed(_)));
    store.set_time(Timestamp(1_800_000_060));
    let reply = store.ask(Request::Head { key: "k".to_owned() });
    assert_eq!(reply, Reply { what: What::Unchanged, date: Some(Timestamp(1_800_000_060)) });
}

#[test]
fn a_store_of_tier_3_lets_everybody_win() {
    let mut store = store();
    store.ignore_conditions(true);
    for body in ["one", "two"] {
        assert!(matches!(create(&mut store, "k", body), What::Written(_)));
        assert!(matches!(replace(&mut store, "k", body, &Tag("stale".to_owned())), What::Written(_)));
    }
    assert_eq!(store.ask(Request::Delete { key: "k".to_owned(), tag: Tag("stale".to_owned()) }).what, What::Gone);
}
