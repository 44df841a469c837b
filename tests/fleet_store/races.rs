//! Several who want the same at once.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fetchd::fleet::store::{Request, What};
use futures_util::future::join_all;

use super::Subject;

/// How much is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    rounds: usize,
    writers: usize,
    each: usize,
    hosts: usize,
}

/// Where a request takes microseconds.
pub(crate) const WHOLE: Size = Size { rounds: 20, writers: 12, each: 50, hosts: 60 };

/// Where it takes a millisecond, or races make it wait.
pub(crate) const PART: Size = Size { rounds: 5, writers: 6, each: 4, hosts: 15 };

/// Where it takes several.
pub(crate) const SMALL: Size = Size { rounds: 3, writers: 4, each: 3, hosts: 8 };

/// `usual`, or everything where somebody has the time for it (`docs/fleet-stores.md`).
pub(crate) fn size(usual: Size) -> Size {
    if std::env::var_os("FETCHD_TEST_FLEET_RACES").is_some_and(|size| size == "whole") { WHOLE } else { usual }
}

const RACERS: usize = 32;
const SLOTS: usize = 5;

pub(crate) async fn all(subject: &Subject) {
    let begun = Instant::now();
    one_creates(subject).await;
    let created = begun.elapsed();
    no_line_is_lost(subject, "fleet/race/lines").await;
    let written = begun.elapsed() - created;
    no_slot_has_two_holders(subject).await;
    let taken = begun.elapsed() - created - written;
    eprintln!("{:?}: created {created:.1?}, lines {written:.1?}, slots {taken:.1?}", subject.races);
}

async fn one_creates(subject: &Subject) {
    for round in 0..subject.races.rounds {
        let key = format!("fleet/race/{round}");
        let racers = (0..RACERS).map(|racer| {
            let request = Request::Create { key: key.clone(), body: format!("racer {racer}").into() };
            async move { subject.reply(racer, request).await.what }
        });
        let answers = join_all(racers).await;
        let won: Vec<usize> = (0..RACERS).filter(|racer| matches!(answers[*racer], What::Written(_))).collect();
        let lost = answers.iter().filter(|what| **what == What::Conflict).count();
        assert_eq!((won.len(), lost), (1, RACERS - 1), "{answers:?}");
        assert_eq!(subject.body(&key).await, Some(format!("racer {}", won[0])));
    }
}

/// Everybody adds lines to one object, and knows his own again.
pub(crate) async fn no_line_is_lost(subject: &Subject, key: &str) {
    let Size { writers, each, .. } = subject.races;
    subject.put(key, "begin\n").await;
    let add = async |writer: usize| {
        for number in 0..each {
            let line = format!("{writer}.{number}\n");
            loop {
                let (lines, tag) = subject.get(key).await.unwrap();
                if lines.split_inclusive('\n').any(|there| there == line) {
                    break;
                }
                let body = format!("{lines}{line}").into_bytes();
                match subject.reply(writer, Request::Replace { key: key.to_owned(), body, tag }).await.what {
                    What::Written(_) => break,
                    What::Conflict => {}
                    // Nothing is known: the next look tells.
                    What::Failed(trouble) if trouble.passes => {}
                    what => panic!("{what:?}"),
                }
            }
        }
    };
    join_all((0..writers).map(add)).await;
    let body = subject.body(key).await.unwrap();
    let lines: Vec<&str> = body.lines().skip(1).collect();
    let different: BTreeSet<&&str> = lines.iter().collect();
    assert_eq!((lines.len(), different.len()), (writers * each, writers * each));
}

/// Hosts take one of a few slots, hold it for a moment, and give it up.
async fn no_slot_has_two_holders(subject: &Subject) {
    let holders = Cell::new(0);
    let host = async |host: usize| {
        for turn in 0.. {
            let key = format!("fleet/lease/race/{}", (host + turn) % SLOTS);
            let request = Request::Create { key: key.clone(), body: format!("{host}.{turn}").into() };
            match subject.reply(host, request).await.what {
                What::Written(_) => {
                    holders.set(holders.get() + 1);
                    assert!(holders.get() <= SLOTS, "{} hold {SLOTS} slots", holders.get());
                    let (holder, tag) = subject.get(&key).await.unwrap();
                    assert_eq!(holder, format!("{host}.{turn}"));
                    holders.set(holders.get() - 1);
                    assert_eq!(subject.reply(host, Request::Delete { key, tag }).await.what, What::Gone);
                    return;
                }
                What::Conflict => tokio::time::sleep(Duration::from_millis(5)).await,
                what => panic!("{what:?}"),
            }
        }
    };
    join_all((0..subject.races.hosts).map(host)).await;
}
