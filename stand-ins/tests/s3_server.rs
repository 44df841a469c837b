//! The S3 server in this process: it keeps what S3 promises, and breaks it where it is told to.

// A test may stop at anything unexpected.
#![allow(clippy::unwrap_used)]

mod contract;
#[path = "s3_server/faults.rs"]
mod faults;
#[path = "s3_server/others.rs"]
mod others;

use aws_sdk_s3::types::{ChecksumMode, ChecksumType, RequestCharged, RequestPayer};
use contract::{Differences, Subject, races, reads, refusal, uploads, writes};
use fetchd_stand_ins::s3::{ACCESS_KEY, OWNER, PUBLIC, RELEASES, S3Server, SECRET_KEY, VERSIONED};
use futures_util::future::join_all;

fn subject(server: &S3Server) -> Subject {
    Subject {
        endpoint: server.endpoint().to_string(),
        access_key: ACCESS_KEY,
        secret_key: SECRET_KEY,
        bucket: RELEASES,
        versioned: VERSIONED,
        differs: Differences::default(),
    }
}

/// One test of each function of the contract.
macro_rules! keeps {
    ($($part:ident::$promise:ident)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                let server = S3Server::start();
                $part::$promise(&subject(&server)).await;
            }
        )*
    };
}

keeps! {
    reads::what_was_put_is_read
    reads::reads_have_conditions
    reads::reads_have_ranges
    reads::a_checksum_is_of_the_whole
    reads::lists_have_pages
    reads::signatures_are_checked
    writes::create_once
    writes::compare_and_swap
    writes::deletions
    writes::damaged_uploads_are_refused
    writes::versions_are_kept
    uploads::parts_make_an_object
    uploads::an_upload_may_come_too_late
}

#[test]
fn every_reply_has_a_date() {
    let server = S3Server::start();
    reads::every_reply_has_a_date(&subject(&server));
}

#[tokio::test]
async fn of_racers_one_creates() {
    let server = S3Server::start();
    let subject = subject(&server);
    for round in 0..5 {
        races::one_creates(&subject, &[subject.client()], round).await;
    }
}

#[tokio::test]
async fn no_increment_is_lost() {
    let server = S3Server::start();
    let subject = subject(&server);
    races::no_increment_is_lost(&subject, &[subject.client()]).await;
}

#[tokio::test]
async fn a_public_bucket_is_read_by_anybody_and_written_by_its_owner() {
    let server = S3Server::start();
    server.bucket(PUBLIC).put("app", "hello");
    let nobody = subject(&server).client_with(None);
    let get = nobody.get_object().bucket(PUBLIC).key("app").send().await.unwrap();
    assert_eq!(get.body.collect().await.unwrap().to_vec(), b"hello");
    nobody.list_objects_v2().bucket(PUBLIC).send().await.unwrap();
    let put = nobody.put_object().bucket(PUBLIC).key("app").body(b"other".to_vec().into());
    assert_eq!(refusal(put.send().await), (403, "AccessDenied".to_owned()));
}

#[tokio::test]
async fn the_owner_is_checked_and_the_requester_may_pay() {
    let server = S3Server::start();
    server.put("app", "hello");
    let get = subject(&server).client().get_object().bucket(RELEASES).key("app");
    let other = get.clone().expected_bucket_owner("999988887777").send().await;
    assert_eq!(refusal(other), (403, "AccessDenied".to_owned()));
    let paid = get.expected_bucket_owner(OWNER).request_payer(RequestPayer::Requester).send().await.unwrap();
    assert_eq!(paid.request_charged(), Some(&RequestCharged::Requester));
}

#[tokio::test]
async fn a_customers_key_is_needed_again() {
    let server = S3Server::start();
    let client = subject(&server).client();
    let (key, md5) = ("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "qgzGPLuxfm2iq+5fx/DPZg==");
    let put = client.put_object().bucket(RELEASES).key("app").body(b"hello".to_vec().into());
    put.sse_customer_algorithm("AES256").sse_customer_key(key).sse_customer_key_md5(md5).send().await.unwrap();
    let get = client.get_object().bucket(RELEASES).key("app");
    assert_eq!(refusal(get.clone().send().await), (400, "InvalidRequest".to_owned()));
    get.sse_customer_algorithm("AES256").sse_customer_key(key).sse_customer_key_md5(md5).send().await.unwrap();
}

#[tokio::test]
async fn what_tests_put_looks_uploaded() {
    let server = S3Server::start();
    let client = subject(&server).client();
    let etag = server.put_multipart("parts", "hello");
    assert!(etag.ends_with("-2"), "{etag}");
    server.put_with_sha256("sums", "hello");
    let head = client.head_object().bucket(RELEASES).key("sums").checksum_mode(ChecksumMode::Enabled);
    let head = head.send().await.unwrap();
    assert_eq!(head.checksum_sha256(), Some("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="));
    assert_eq!(head.checksum_type(), Some(&ChecksumType::FullObject));
    server.remove("parts");
    assert_eq!(server.keys(), ["sums"]);
    assert_eq!(server.get("parts"), None);
}

/// A key as it may come: the log has it decoded, as the store.
#[tokio::test]
async fn keys_are_any_text() {
    let server = S3Server::start();
    let key = "a b+c/ü%41 (1).tar.gz";
    subject(&server).put(key, b"hello").await;
    assert_eq!(server.keys(), [key]);
    assert_eq!(server.requests()[0].key, key);
}

/// As a fleet does: many clients, each on a connection of its own, and a store that stays exact.
#[tokio::test]
async fn two_hundred_clients_race() {
    let server = S3Server::start();
    let subject = subject(&server);
    let race = (0..200_u8).map(|racer| {
        let put = subject.client().put_object().bucket(RELEASES).key("race").if_none_match("*");
        put.body(vec![racer].into()).send()
    });
    let results = join_all(race).await;
    let winners: Vec<usize> = (0..200).filter(|racer| results[*racer].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{winners:?} win");
    assert_eq!(server.get("race").unwrap(), vec![winners[0] as u8]);
    assert_eq!(server.requests().iter().filter(|request| request.status == Some(412)).count(), 199);
}

/// Nothing listens any more, and no thread waits for a client.
#[tokio::test]
async fn it_ends_when_dropped() {
    let server = S3Server::start();
    server.put("app", vec![0; 8 * 1024 * 1024]);
    let address = server.address();
    let client = subject(&server).client();
    let open = client.get_object().bucket(RELEASES).key("app").send().await.unwrap();
    drop(server);
    assert!(std::net::TcpStream::connect(address).is_err());
    assert!(open.body.collect().await.is_err());
}
