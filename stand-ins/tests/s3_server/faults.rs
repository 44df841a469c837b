//! Each fault, as a client meets it.

use std::time::{Duration, Instant, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::types::ChecksumMode;
use fetchd_stand_ins::s3::{Fault, Operation, RELEASES, Refusal, S3Server, When};

use super::contract::{pattern, races, refusal, status};
use super::subject;

pub(super) struct Stand {
    pub(super) server: S3Server,
    pub(super) client: Client,
}

/// A server with the object `app`, and a client.
pub(super) fn stand(bytes: &[u8]) -> Stand {
    let server = S3Server::start();
    server.put("app", bytes.to_vec());
    let client = subject(&server).client();
    Stand { server, client }
}

impl Stand {
    async fn get(&self) -> GetObjectOutput {
        self.client.get_object().bucket(RELEASES).key("app").send().await.unwrap()
    }

    async fn range(&self, range: &str) -> GetObjectOutput {
        self.client.get_object().bucket(RELEASES).key("app").range(range).send().await.unwrap()
    }

    pub(super) fn put(&self, bytes: &[u8]) -> PutObjectFluentBuilder {
        self.client.put_object().bucket(RELEASES).key("app").body(bytes.to_vec().into())
    }
}

/// The bytes until the body ends or breaks off, and whether it broke off.
async fn drain(mut get: GetObjectOutput) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match get.body.next().await {
            Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
            Some(Err(_)) => return (bytes, true),
            None => return (bytes, false),
        }
    }
}

#[tokio::test]
async fn a_lost_request_did_nothing_and_a_lost_reply_did_it() {
    let stand = stand(b"one");
    stand.server.inject(Fault::LostRequest, When::any().operation(Operation::Put).once());
    let lost = stand.put(b"two").send().await.unwrap_err();
    assert!(lost.raw_response().is_none(), "a lost request is answered");
    assert_eq!(stand.server.get("app").unwrap(), "one");
    stand.server.clear();
    stand.server.inject(Fault::LostReply, When::any().operation(Operation::Put).once());
    let lost = stand.put(b"three").send().await.unwrap_err();
    assert!(lost.raw_response().is_none(), "a lost reply arrives");
    assert_eq!(stand.server.get("app").unwrap(), "three");
    stand.put(b"four").send().await.unwrap();
    let statuses: Vec<_> = stand.server.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [None, None, Some(200)]);
}

#[tokio::test]
async fn refusals_have_their_status_and_code() {
    let stand = stand(b"one");
    for (fault, code) in [
        (Refusal::Conflict, "ConditionalRequestConflict"),
        (Refusal::PreconditionFailed, "PreconditionFailed"),
        (Refusal::InternalError, "InternalError"),
        (Refusal::ServiceUnavailable, "ServiceUnavailable"),
        (Refusal::SlowDown(None), "SlowDown"),
        (Refusal::AccessDenied, "AccessDenied"),
        (Refusal::RequestTimeTooSkewed, "RequestTimeTooSkewed"),
        (Refusal::ExpiredToken, "ExpiredToken"),
        (Refusal::PermanentRedirect("eu-west-1".to_owned()), "PermanentRedirect"),
        (Refusal::WrongRegion("eu-west-1".to_owned()), "AuthorizationHeaderMalformed"),
        (Refusal::NoSuchBucket, "NoSuchBucket"),
        (Refusal::NoSuchKey, "NoSuchKey"),
    ] {
        stand.server.inject(Fault::Refuse(fault.clone()), When::any());
        let expected = (fault.status(), code.to_owned());
        assert_eq!(refusal(stand.client.get_object().bucket(RELEASES).key("app").send().await), expected);
        assert_eq!(refusal(stand.put(b"two").send().await), expected);
        assert_eq!(status(stand.client.head_object().bucket(RELEASES).key("app").send().await), fault.status());
        stand.server.clear();
    }
    assert_eq!(stand.server.get("app").unwrap(), "one");
}

#[tokio::test]
async fn refusals_tell_when_and_where() {
    let stand = stand(b"one");
    let header = async |fault, name: &str| {
        stand.server.inject(Fault::Refuse(fault), When::any().once());
        let error = stand.client.head_object().bucket(RELEASES).key("app").send().await.unwrap_err();
        error.raw_response().unwrap().headers().get(name).map(str::to_owned)
    };
    let wait = Refusal::SlowDown(Some(Duration::from_secs(77)));
    assert_eq!(header(wait, "retry-after").await.as_deref(), Some("77"));
    let moved = Refusal::PermanentRedirect("eu-west-1".to_owned());
    assert_eq!(header(moved, "x-amz-bucket-region").await.as_deref(), Some("eu-west-1"));
}

#[tokio::test]
async fn a_refusal_may_come_after_the_deed() {
    let stand = stand(b"one");
    stand.server.inject(Fault::RefuseAfter(Refusal::InternalError), When::any().operation(Operation::Put).once());
    assert_eq!(status(stand.put(b"two").send().await), 500);
    assert_eq!(stand.server.get("app").unwrap(), "two");
}

#[tokio::test]
async fn bodies_end_early_in_order_or_with_a_reset_after_exactly_so_many_bytes() {
    let bytes = pattern(3_000_000);
    for fault in [Fault::Truncate(1_234_567), Fault::Reset(1_234_567), Fault::Truncate(0), Fault::Reset(0)] {
        let stand = stand(&bytes);
        stand.server.inject(fault.clone(), When::any().operation(Operation::Get).once());
        let get = stand.get().await;
        assert_eq!(get.content_length(), Some(3_000_000));
        let (got, broken) = drain(get).await;
        let sent = if matches!(fault, Fault::Truncate(0) | Fault::Reset(0)) { 0 } else { 1_234_567 };
        assert!(broken, "{fault:?}: the end is taken for the whole");
        assert!(got == bytes[..sent], "{fault:?}: {} bytes come", got.len());
        assert!(drain(stand.get().await).await == (bytes.clone(), false), "the next body is not whole");
    }
}

#[tokio::test]
async fn a_stalled_body_is_open_until_the_client_goes() {
    let stand = stand(&pattern(300_000));
    stand.server.inject(Fault::Stall(100_000), When::any());
    let mut get = stand.get().await;
    let mut got = 0;
    let stalled = async {
        while let Some(chunk) = get.body.next().await {
            got += chunk.unwrap().len();
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(500), stalled).await.is_err(), "the body ends");
    assert_eq!((got, stand.server.bodies()), (100_000, 1));
    drop(get);
    let until = Instant::now() + Duration::from_secs(10);
    while stand.server.bodies() + stand.server.connections() > 0 {
        assert!(Instant::now() < until, "the body is still open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn bodies_may_be_damaged_or_slow() {
    let bytes = pattern(200_000);
    let stand = stand(&bytes);
    stand.server.inject(Fault::FlipBit(8 * 150_000 + 3), When::any().once());
    let mut expected = bytes.clone();
    expected[150_000] ^= 8;
    // A range has no checksum that would tell the client.
    assert!(drain(stand.range("bytes=0-").await).await.0 == expected, "another bit is flipped");
    stand.server.clear();
    stand.server.inject(Fault::Rate(400_000), When::any());
    stand.server.inject(Fault::Delay(Duration::from_millis(100)), When::any());
    let started = Instant::now();
    assert!(drain(stand.get().await).await == (bytes, false), "a slow body is not whole");
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(550), "200,000 bytes at 400,000 a second take {took:?}");
}

#[tokio::test]
async fn heads_may_lie() {
    let stand = stand(&pattern(1000));
    let get = || stand.client.get_object().bucket(RELEASES).key("app").checksum_mode(ChecksumMode::Enabled);
    let once = |fault| stand.server.inject(fault, When::any().once());
    once(Fault::WrongRangeStart);
    assert_eq!(stand.range("bytes=10-19").await.content_range(), Some("bytes 11-19/1000"));
    once(Fault::WrongRangeTotal);
    assert_eq!(stand.range("bytes=10-19").await.content_range(), Some("bytes 10-19/1001"));
    once(Fault::RangeIgnored);
    let whole = stand.range("bytes=10-19").await;
    assert_eq!((whole.content_range(), whole.content_length()), (None, Some(1000)));
    assert!(get().send().await.unwrap().checksum_crc64_nvme().is_some());
    once(Fault::NoChecksums);
    assert_eq!(get().send().await.unwrap().checksum_crc64_nvme(), None);
    once(Fault::ChecksumOnRange);
    let part = get().range("bytes=10-19").send().await.unwrap();
    assert!(part.checksum_crc64_nvme().is_some());
    once(Fault::NoValidators);
    let bare = stand.get().await;
    assert_eq!((bare.e_tag(), bare.last_modified()), (None, None));
}

#[tokio::test]
async fn the_date_may_be_wrong() {
    let stand = stand(b"one");
    stand.server.inject(Fault::Date(-7200), When::any());
    stand.server.inject(Fault::Refuse(Refusal::NoSuchKey), When::any());
    let error = stand.client.get_object().bucket(RELEASES).key("app").send().await.unwrap_err();
    let date = error.raw_response().unwrap().headers().get("date").unwrap().to_owned();
    let behind = SystemTime::now().duration_since(httpdate::parse_http_date(&date).unwrap()).unwrap();
    assert!((7190..7300).contains(&behind.as_secs()), "the date is {behind:?} behind");
}

#[tokio::test]
async fn an_object_may_change_between_two_requests() {
    let stand = stand(b"one");
    let second = When::any().operation(Operation::Get).key("app").nth(2);
    stand.server.inject(Fault::ReplaceAfter("two".into()), second);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(drain(stand.get().await).await.0);
    }
    assert_eq!(seen, [b"one", b"one", b"two"]);
}

#[tokio::test]
async fn faults_keep_to_their_requests() {
    let stand = stand(b"one");
    stand.server.put("other/app", "x");
    let refuse = || Fault::Refuse(Refusal::AccessDenied);
    stand.server.inject(refuse(), When::any().operation(Operation::Head).prefix("other/").from(2).times(2));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let head = stand.client.head_object().bucket(RELEASES).key("other/app").send().await;
        statuses.push(head.map_or_else(|error| error.raw_response().unwrap().status().as_u16(), |_| 200));
        stand.get().await;
    }
    assert_eq!(statuses, [200, 403, 403, 200]);
    let seen = stand.server.requests();
    assert_eq!(seen.len(), 8);
    assert_eq!((seen[0].operation, seen[0].key.as_str()), (Operation::Head, "other/app"));
    assert_eq!((seen[0].method.as_str(), seen[0].bucket.as_str()), ("HEAD", RELEASES));
    assert!(seen[0].header("Authorization").unwrap().starts_with("AWS4-HMAC-SHA256"));
}

/// With delays and refusals in between, a strict store still loses no increment.
#[tokio::test]
async fn conditions_hold_under_delays() {
    let stand = stand(b"one");
    let put = When::any().operation(Operation::Put);
    stand.server.inject(Fault::Delay(Duration::from_millis(2)), put.clone().from(3));
    stand.server.inject(Fault::Refuse(Refusal::Conflict), put.from(20).times(10));
    races::no_increment_is_lost(&subject(&stand.server), &[stand.client]).await;
}
