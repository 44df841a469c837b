//! Answers that are lost, late, or say less than they should.

use std::time::Duration;

use fetchd::fleet::HostId;
use fetchd::fleet::store::memory::Fault as MemoryFault;
use fetchd::fleet::store::s3::Deletes;
use fetchd::fleet::store::{Reply, Request, What};
use fetchd_stand_ins::s3::{Fault, Operation, Refusal, S3Server, When};

use super::{Subject, races};

/// What leaves open whether a write was carried out.
fn unclear() -> Vec<Fault> {
    vec![
        Fault::LostRequest,
        Fault::LostReply,
        Fault::Refuse(Refusal::InternalError),
        Fault::RefuseAfter(Refusal::InternalError),
        Fault::Refuse(Refusal::Conflict),
        Fault::RefuseAfter(Refusal::ServiceUnavailable),
    ]
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_found_again() {
    let server = S3Server::start();
    let subject = Subject::server(&server, Deletes::Conditional).await;
    for (number, fault) in unclear().into_iter().enumerate() {
        let key = format!("fleet/{number}");
        let inject = |operation| server.inject(fault.clone(), When::any().operation(operation).once());

        inject(Operation::Put);
        let made = subject.create(&key, "one").await;
        assert!(matches!(made, What::Written(_)), "{fault:?}: {made:?}");
        let tag = subject.tag(&key).await;
        inject(Operation::Put);
        let replaced = subject.replace(&key, "two", &tag).await;
        assert!(matches!(replaced, What::Written(_)), "{fault:?}: {replaced:?}");
        assert_eq!(subject.body(&key).await.as_deref(), Some("two"));

        inject(Operation::Put);
        let (rollout, shard, report) = ("r".to_owned(), "0".to_owned(), format!("{}-o", number + 1).parse().unwrap());
        let body = b"{}".to_vec();
        let told = subject.ask(Request::Report { rollout, shard, host: HostId::named("a"), report, body }).await;
        // That it is there already is as good.
        assert!(matches!(told, What::Written(_) | What::Conflict), "{fault:?}: {told:?}");

        let tag = subject.tag(&key).await;
        inject(Operation::Delete);
        assert_eq!(subject.delete(&key, &tag).await, What::Gone, "{fault:?}");
        assert!(!subject.exists(&key).await);
    }
}

/// A refusal in the same place is told as one, and as nothing else.
#[tokio::test]
async fn a_write_that_somebody_else_made_in_between_is_lost() {
    let server = S3Server::start();
    let subject = Subject::server(&server, Deletes::Conditional).await;
    server.inject(Fault::Refuse(Refusal::InternalError), When::any().operation(Operation::Put).once());
    server.put("fleet/k", "theirs");
    assert_eq!(subject.create("fleet/k", "ours").await, What::Conflict);
    let tag = subject.tag("fleet/k").await;
    server.inject(Fault::ReplaceAfter("theirs again".into()), When::any().operation(Operation::Put).once());
    server.inject(Fault::LostReply, When::any().operation(Operation::Put).once());
    assert_eq!(subject.replace("fleet/k", "ours", &tag).await, What::Conflict);
    assert_eq!(subject.body("fleet/k").await.as_deref(), Some("theirs again"));
}

#[tokio::test]
async fn no_line_is_lost_among_lost_answers() {
    let server = S3Server::start();
    for nth in (3..60).step_by(5) {
        server.inject(Fault::LostReply, When::any().operation(Operation::Put).nth(nth));
        server.inject(Fault::LostRequest, When::any().operation(Operation::Put).nth(nth + 2));
    }
    let subject = Subject::server(&server, Deletes::Conditional).await;
    races::no_line_is_lost(&subject, "fleet/lines").await;
}

/// Nobody knows more than the store tells: the next look does.
#[tokio::test]
async fn no_line_is_lost_where_a_lost_answer_is_told_as_such() {
    let (subject, store) = Subject::memory();
    let mut asked = 0;
    store.on_request(move |request, _| {
        asked += 1;
        let fault = if asked % 2 == 0 { MemoryFault::LostReply } else { MemoryFault::Refused };
        (matches!(request, Request::Replace { .. }) && asked % 3 == 0).then_some(fault)
    });
    races::no_line_is_lost(&subject, "fleet/lines").await;
    assert!(store.counts().failed > 0);
}

#[tokio::test]
async fn a_store_that_asks_for_fewer_requests_is_told_of_with_its_wish() {
    let server = S3Server::start();
    let subject = Subject::server(&server, Deletes::Conditional).await;
    let slow = Refusal::SlowDown(Some(Duration::from_secs(120)));
    server.inject(Fault::Refuse(slow), When::any());
    for request in [
        Request::Get { key: "fleet/k".to_owned(), unless: None, limit: 100 },
        Request::Create { key: "fleet/k".to_owned(), body: b"x".to_vec() },
        Request::List { prefix: "fleet/".to_owned(), after: None, limit: 10 },
    ] {
        let What::Failed(trouble) = subject.ask(request).await else { panic!("it did not fail") };
        assert_eq!((trouble.code.as_str(), trouble.retry_after_s), ("source.throttled", Some(120)));
        assert!(trouble.passes, "{trouble:?}");
    }
    server.clear();
    server.inject(Fault::Refuse(Refusal::AccessDenied), When::any());
    let What::Failed(trouble) = subject.create("fleet/k", "x").await else { panic!("it did not fail") };
    assert_eq!((trouble.code.as_str(), trouble.passes), ("source.denied", false));
}

#[tokio::test]
async fn the_time_of_the_store_is_told_however_wrong() {
    let server = S3Server::start();
    let subject = Subject::server(&server, Deletes::Conditional).await;
    server.inject(Fault::Date(-7200), When::any());
    let Reply { date, .. } = subject.reply(0, Request::Head { key: "fleet/k".to_owned() }).await;
    let behind = fetchd::clock::Timestamp::now().0 - date.unwrap().0;
    assert!((7100..9000).contains(&behind), "{behind} s");
}

/// Whoever may create a latch could create it with the bytes that stand for no object.
#[tokio::test]
async fn a_latch_is_there_whatever_its_bytes() {
    const NOTHING: &str = "{\"fetchd\":\"there is nothing here\"}\n";
    let server = S3Server::start();
    let subject = Subject::server(&server, Deletes::Tombstone).await;
    let (latch, other) = (super::names().latch("r-1", 0), "fleet/lease/g/0");
    subject.put(&latch, NOTHING).await;
    subject.put(other, NOTHING).await;
    assert!(subject.exists(&latch).await, "a host at its gate is stopped");
    assert_eq!(subject.body(&latch).await.as_deref(), Some(NOTHING), "an operator sees it");
    assert_eq!(subject.create(&latch, "halt").await, What::Conflict, "a halt is there");
    assert!(!subject.exists(other).await && subject.body(other).await.is_none());
}
