//! Writes at the same time: of those that exclude each other exactly one wins.

use aws_sdk_s3::Client;
use futures_util::future::join_all;

use super::{Subject, refusal};

const RACERS: usize = 32;
const WRITERS: usize = 12;
const EACH: usize = 15;

/// Of 32 that create the same object one does. `clients` are of one server or of several in front of
/// the same store.
pub(crate) async fn one_creates(subject: &Subject, clients: &[Client], round: usize) {
    let key = format!("race/{round}");
    let races = (0..RACERS).map(|racer| {
        let put = clients[racer % clients.len()].put_object().bucket(subject.bucket).key(&key);
        put.if_none_match("*").body(format!("racer {racer}").into_bytes().into()).send()
    });
    let results = join_all(races).await;
    let winners: Vec<usize> = (0..RACERS).filter(|racer| results[*racer].is_ok()).collect();
    assert_eq!(winners.len(), 1, "the winners are {winners:?}");
    let got = clients[0].get_object().bucket(subject.bucket).key(&key).send().await.unwrap();
    let bytes = got.body.collect().await.unwrap().to_vec();
    assert_eq!(String::from_utf8(bytes).unwrap(), format!("racer {}", winners[0]));
    for result in results.into_iter().filter(Result::is_err) {
        let (status, code) = refusal(result);
        assert!(matches!(status, 409 | 412), "a loser gets {status} {code}");
    }
}

/// 12 writers count to 15 each by reading and swapping: the sum is 180.
pub(crate) async fn no_increment_is_lost(subject: &Subject, clients: &[Client]) {
    let key = "race/counter";
    subject.put(key, b"0").await;
    join_all((0..WRITERS).map(|writer| count(&clients[writer % clients.len()], subject.bucket, key))).await;
    let get = clients[0].get_object().bucket(subject.bucket).key(key).send().await.unwrap();
    let total = String::from_utf8(get.body.collect().await.unwrap().to_vec()).unwrap();
    assert_eq!(total, (WRITERS * EACH).to_string());
}

async fn count(client: &Client, bucket: &str, key: &str) {
    let mut counted = 0;
    while counted < EACH {
        let get = client.get_object().bucket(bucket).key(key).send().await.unwrap();
        let etag = get.e_tag().unwrap().to_owned();
        let value: u64 = String::from_utf8(get.body.collect().await.unwrap().to_vec()).unwrap().parse().unwrap();
        let put = client.put_object().bucket(bucket).key(key).if_match(etag);
        match put.body((value + 1).to_string().into_bytes().into()).send().await {
            Ok(_) => counted += 1,
            error => {
                let (status, code) = refusal(error);
                assert!(matches!(status, 409 | 412), "a writer that comes late gets {status} {code}");
            }
        }
    }
}
