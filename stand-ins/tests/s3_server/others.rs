//! What other servers make of conditions, as a client meets it.

use fetchd_stand_ins::s3::{Fault, RELEASES, When};
use futures_util::future::join_all;

use super::contract::status;
use super::faults::stand;

#[tokio::test]
async fn conditional_reads_may_be_ignored_or_half_answered() {
    let stand = stand(b"one");
    let etag = format!("\"{}\"", stand.server.bucket(RELEASES).etag("app").unwrap());
    let get = stand.client.get_object().bucket(RELEASES).key("app");
    stand.server.inject(Fault::ReadConditionsIgnored, When::any());
    assert!(get.clone().if_none_match(&etag).send().await.is_ok());
    assert!(get.clone().if_match("\"other\"").send().await.is_ok());
    stand.server.clear();
    stand.server.inject(Fault::NotModifiedWithoutEtag, When::any());
    let error = get.if_none_match(&etag).send().await.unwrap_err();
    let response = error.raw_response().unwrap();
    assert_eq!((response.status().as_u16(), response.headers().get("etag")), (304, None));
}

/// As with Garage: everybody wins.
#[tokio::test]
async fn conditions_of_writes_may_be_ignored() {
    let stand = stand(b"one");
    stand.server.inject(Fault::ConditionsIgnored, When::any());
    stand.put(b"two").if_none_match("*").send().await.unwrap();
    stand.put(b"three").if_match("\"other\"").send().await.unwrap();
    let delete = stand.client.delete_object().bucket(RELEASES).key("app");
    delete.if_match("\"other\"").send().await.unwrap();
    assert_eq!(stand.server.get("app"), None);
}

/// As with s3s-fs: each is right alone, and several win a race.
#[tokio::test]
async fn conditions_of_writes_may_be_checked_too_early() {
    let stand = stand(b"one");
    stand.server.inject(Fault::ConditionsNotAtomic, When::any());
    assert_eq!(status(stand.put(b"two").if_none_match("*").send().await), 412);
    // Whether two look before either writes is a matter of time, so they get many chances.
    for round in 0..50 {
        let race = (0..8).map(|racer: u8| {
            let put = stand.client.put_object().bucket(RELEASES).key(format!("race/{round}")).if_none_match("*");
            put.body(vec![racer].into()).send()
        });
        if join_all(race).await.into_iter().filter(Result::is_ok).count() > 1 {
            return;
        }
    }
    panic!("in 50 races nobody wins besides another");
}

/// As with Ceph's gateway: only an ETag without quotes matches, and who comes late gets a 500.
#[tokio::test]
async fn etags_may_match_without_quotes_only() {
    let stand = stand(b"one");
    stand.server.inject(Fault::EtagsUnquoted, When::any());
    let etag = stand.server.bucket(RELEASES).etag("app").unwrap();
    assert_eq!(status(stand.put(b"two").if_match(format!("\"{etag}\"")).send().await), 412);
    let race = (0..8).map(|racer: u8| stand.put(&[racer]).if_match(&etag).send());
    let results = join_all(race).await;
    let winner = (0..8).filter(|racer| results[*racer].is_ok()).collect::<Vec<_>>();
    assert_eq!(winner.len(), 1, "{winner:?} win");
    assert_eq!(stand.server.get("app").unwrap(), vec![winner[0] as u8]);
    for result in results.into_iter().filter(Result::is_err) {
        let status = status(result);
        assert!(matches!(status, 412 | 500), "a loser gets {status}");
    }
}
