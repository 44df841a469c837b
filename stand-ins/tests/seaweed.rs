//! SeaweedFS keeps the contract that the S3 server in this process keeps: so the contract is one of
//! S3 and not of our own making.
//!
//! It differs, as of 4.48, in what the [`Differences`] of `subject` say, and in two ways that no
//! client of ours depends upon: a body that is not the one whose hash was signed is taken, and
//! without `-ip.bind` it would listen on every interface.

// A test may stop at anything unexpected.
#![allow(clippy::unwrap_used)]

mod contract;

use std::path::Path;

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use contract::{Differences, Subject, client, races, reads, uploads, writes};
use fetchd_stand_ins::s3::{ACCESS_KEY, RELEASES, SECRET_KEY, VERSIONED};
use fetchd_stand_ins::seaweed::Seaweed;

fn start() -> Seaweed {
    Seaweed::start().unwrap_or_else(|error| panic!("{error}"))
}

fn subject(server: &Seaweed) -> Subject {
    Subject {
        endpoint: server.endpoint().to_string(),
        access_key: ACCESS_KEY,
        secret_key: SECRET_KEY,
        bucket: RELEASES,
        versioned: VERSIONED,
        differs: Differences { missing_is_412: true },
    }
}

/// In one test: the server takes a second to start, and half a gigabyte.
#[tokio::test]
async fn it_keeps_the_contract() {
    let server = start();
    let subject = subject(&server);
    let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let enable = subject.client().put_bucket_versioning().bucket(VERSIONED).versioning_configuration(versioning);
    enable.send().await.unwrap();
    reads::what_was_put_is_read(&subject).await;
    reads::reads_have_conditions(&subject).await;
    reads::reads_have_ranges(&subject).await;
    reads::a_checksum_is_of_the_whole(&subject).await;
    reads::lists_have_pages(&subject).await;
    reads::signatures_are_checked(&subject).await;
    reads::every_reply_has_a_date(&subject);
    writes::create_once(&subject).await;
    writes::compare_and_swap(&subject).await;
    writes::deletions(&subject).await;
    writes::damaged_uploads_are_refused(&subject).await;
    writes::versions_are_kept(&subject).await;
    uploads::parts_make_an_object(&subject).await;
    uploads::an_upload_may_come_too_late(&subject).await;
}

/// Through one gateway and through two.
#[tokio::test]
async fn of_writers_one_wins() {
    let mut server = start();
    let subject = subject(&server);
    let second = server.second_gateway().unwrap_or_else(|error| panic!("{error}"));
    let one = vec![subject.client()];
    let two = vec![subject.client(), client(second.as_str(), Some((ACCESS_KEY, SECRET_KEY)))];
    for (round, clients) in [&one, &two, &one, &two].into_iter().enumerate() {
        races::one_creates(&subject, clients, round).await;
    }
    races::no_increment_is_lost(&subject, &one).await;
    races::no_increment_is_lost(&subject, &two).await;
}

/// No process is left of it, not even one to reap, and no port.
#[test]
fn it_ends_when_dropped() {
    let server = start();
    let address = server.endpoint().socket_addrs(|| None).unwrap()[0];
    let process = Path::new("/proc").join(server.process().to_string());
    assert!(process.exists());
    drop(server);
    assert!(!process.exists());
    assert!(std::net::TcpStream::connect(address).is_err());
}
