//! What one who asks alone is told.

use fetchd::clock::Timestamp;
use fetchd::fleet::store::{Request, Tag, What};
use fetchd::fleet::{Evidence, HostId};

use super::{LIMIT, Subject, names};

pub(crate) async fn all(subject: &Subject) {
    an_object_is_made_once(subject).await;
    only_what_was_read_is_replaced(subject).await;
    what_is_missing_is_neither_replaced_nor_removed(subject).await;
    only_what_was_read_is_removed(subject).await;
    what_has_not_changed_is_not_sent(subject).await;
    what_is_written_is_listed_at_once_and_in_pages(subject).await;
    evidence_is_written_once_and_read_in_pages(subject).await;
    every_answer_has_the_time_of_the_store(subject).await;
}

fn written(what: What) {
    assert!(matches!(what, What::Written(_)), "{what:?}");
}

async fn an_object_is_made_once(subject: &Subject) {
    let key = "fleet/latch/r-1/halt";
    assert!(!subject.exists(key).await);
    written(subject.create(key, "one").await);
    assert_eq!(subject.create(key, "two").await, What::Conflict);
    // Not even with the same bytes: whoever made it was told.
    assert_eq!(subject.create(key, "one").await, What::Conflict);
    assert!(subject.exists(key).await);
    assert_eq!(subject.body(key).await.as_deref(), Some("one"));
    written(subject.put(key, "three").await);
    assert_eq!(subject.body(key).await.as_deref(), Some("three"));
}

async fn only_what_was_read_is_replaced(subject: &Subject) {
    let key = "fleet/head/app/stable.json";
    written(subject.create(key, "one").await);
    let first = subject.tag(key).await;
    let What::Written(told) = subject.replace(key, "two", &first).await else { panic!("it was not replaced") };
    let second = subject.tag(key).await;
    assert!(told.is_none_or(|told| told == second) && first != second);
    assert_eq!(subject.replace(key, "three", &first).await, What::Conflict);
    assert_eq!(subject.body(key).await.as_deref(), Some("two"));
    written(subject.replace(key, "four", &second).await);
    assert_eq!(subject.body(key).await.as_deref(), Some("four"));
}

async fn what_is_missing_is_neither_replaced_nor_removed(subject: &Subject) {
    let key = "fleet/lease/web/9";
    written(subject.put("fleet/other", "a tag of something else").await);
    let tag = subject.tag("fleet/other").await;
    assert_eq!(subject.replace(key, "one", &tag).await, What::Absent);
    assert!(!subject.exists(key).await);
    assert_eq!(subject.get(key).await, None);
}

async fn only_what_was_read_is_removed(subject: &Subject) {
    let key = "fleet/lease/web/0";
    written(subject.create(key, "one").await);
    let first = subject.tag(key).await;
    written(subject.replace(key, "two", &first).await);
    assert_eq!(subject.delete(key, &first).await, What::Conflict);
    assert_eq!(subject.body(key).await.as_deref(), Some("two"));
    let second = subject.tag(key).await;
    assert_eq!(subject.delete(key, &second).await, What::Gone);
    assert_eq!((subject.get(key).await, subject.exists(key).await), (None, false));
    // And is made again, once.
    written(subject.create(key, "three").await);
    assert_eq!(subject.create(key, "four").await, What::Conflict);
    assert_eq!(subject.body(key).await.as_deref(), Some("three"));
}

async fn what_has_not_changed_is_not_sent(subject: &Subject) {
    let key = "fleet/agg/r-1/0.json";
    written(subject.put(key, "one").await);
    let read = async |unless: &Tag, limit| {
        subject.ask(Request::Get { key: key.to_owned(), unless: Some(unless.clone()), limit }).await
    };
    let tag = subject.tag(key).await;
    assert_eq!(read(&tag, LIMIT).await, What::Unchanged);
    written(subject.put(key, "two").await);
    let What::Object { body, tag } = read(&tag, LIMIT).await else { panic!("it was not sent") };
    assert_eq!(body, b"two");
    let too_large = subject.ask(Request::Get { key: key.to_owned(), unless: None, limit: 2 }).await;
    assert!(
        matches!(&too_large, What::Failed(trouble) if trouble.code == "source.document_too_large" && !trouble.passes)
    );
    assert_eq!(read(&tag, 3).await, What::Unchanged);
}

async fn what_is_written_is_listed_at_once_and_in_pages(subject: &Subject) {
    let mut made = Vec::new();
    for name in ["b", "a", "c/d", "c-d", "e"] {
        let key = format!("fleet/inv/{name}");
        written(subject.put(&key, name).await);
        made.push(key);
        made.sort_unstable();
        assert_eq!(listed(subject, 2).await, made);
    }
    assert_eq!(listed(subject, 1).await, made);
    assert_eq!(listed(subject, 3).await, made);
}

/// All keys of the inventory, read in pages of so many. Stores that keep directories have an order of their own.
async fn listed(subject: &Subject, limit: u16) -> Vec<String> {
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let request = Request::List { prefix: "fleet/inv/".to_owned(), after, limit };
        let What::Keys { keys, next } = subject.ask(request).await else { panic!("it is not listed") };
        assert!(keys.len() <= usize::from(limit));
        listed.extend(keys.into_iter().map(|(key, _)| key));
        after = next;
        if after.is_none() {
            listed.sort_unstable();
            return listed;
        }
    }
}

async fn evidence_is_written_once_and_read_in_pages(subject: &Subject) {
    let hosts: Vec<HostId> = (0..3).map(|n| HostId::named(&n.to_string())).collect();
    let mut expected = Vec::new();
    let report = async |host: HostId, text: &str| {
        let report = text.parse().unwrap();
        let (rollout, shard) = ("r-1".to_owned(), "0".to_owned());
        subject.ask(Request::Report { rollout, shard, host, report, body: b"{}".to_vec() }).await
    };
    for host in hosts {
        for text in ["1-s-r0k2", "1-b-smoke.exited"] {
            written(report(host, text).await);
            assert_eq!(report(host, text).await, What::Conflict);
            expected.push((host.to_string(), text.to_owned()));
        }
    }
    // What is no evidence counts for nothing.
    written(subject.put(&format!("{}strange", names().evidence_of("r-1", "0")), "x").await);
    expected.sort_unstable();
    let read = async |after: Option<String>| {
        let request = Request::Evidence { rollout: "r-1".to_owned(), shard: "0".to_owned(), after };
        match subject.ask(request).await {
            What::Evidence { found, next } => (found, next),
            what => panic!("{what:?}"),
        }
    };
    let told = |found: &[Evidence]| -> Vec<(String, String)> {
        found.iter().map(|one| (one.host.to_string(), one.report.to_string())).collect()
    };
    let (found, next) = read(None).await;
    assert_eq!((told(&found), next), (expected.clone(), None));
    assert!(found.iter().all(|one| near(one.at)));
    let (found, _) = read(Some(format!("{}/{}", expected[1].0, expected[1].1))).await;
    assert_eq!(told(&found), expected[2..]);
}

async fn every_answer_has_the_time_of_the_store(subject: &Subject) {
    let key = "fleet/caps.json";
    let get = |unless| Request::Get { key: key.to_owned(), unless, limit: LIMIT };
    let create = || Request::Create { key: key.to_owned(), body: b"x".to_vec() };
    let absent = subject.reply(0, get(None)).await;
    let made = subject.reply(0, create()).await;
    let refused = subject.reply(0, create()).await;
    let unchanged = subject.reply(0, get(Some(subject.tag(key).await))).await;
    assert_eq!((&absent.what, &refused.what, &unchanged.what), (&What::Absent, &What::Conflict, &What::Unchanged));
    for reply in [absent, made, refused, unchanged] {
        assert!(reply.date.is_some_and(near), "{reply:?}");
    }
}

/// A machine that is busy for half an hour has other troubles.
fn near(time: Timestamp) -> bool {
    Timestamp::now().0.abs_diff(time.0) < 1800
}
