use super::*;
use crate::fetch::failure::FetchFailure;
use crate::fetch::job::{Offered, PollReply};
use crate::fetch::wire::{Answer, MESSAGE_LIMIT, Reply, decode, encode};

#[test]
fn messages_survive_in_pieces() {
    let document = Some((0..=255).collect());
    let asset = AssetName::new("app").unwrap();
    let offered = Offered { release: release(&["app"]), asset, document, signature: None };
    let reply = Reply::Done(Answer::Poll(PollReply::Offers(offered.clone())));
    let bytes = [encode(&Reply::Alive).unwrap(), encode(&reply).unwrap()].concat();
    let (mut inbox, mut seen) = (Vec::new(), Vec::new());
    for byte in bytes {
        inbox.push(byte);
        seen.extend(decode::<Reply>(&mut inbox).unwrap());
    }
    assert!(inbox.is_empty());
    assert!(
        matches!(&seen[..], [Reply::Alive, Reply::Done(Answer::Poll(PollReply::Offers(back)))] if *back == offered)
    );
}

#[test]
fn the_largest_document_fits_into_a_message() {
    let asset = AssetName::new("app").unwrap();
    let offered = Offered {
        release: release(&["app"]),
        asset,
        document: Some(vec![0xff; 512 * 1024]),
        signature: Some(vec![0xff; 16 * 1024]),
    };
    assert!(encode(&Reply::Done(Answer::Poll(PollReply::Offers(offered)))).is_ok());
}

#[test]
fn messages_beyond_the_limit_are_refused_before_they_are_read() {
    let mut inbox = (MESSAGE_LIMIT as u32 + 1).to_be_bytes().to_vec();
    assert!(decode::<Reply>(&mut inbox).is_err());
    assert!(encode(&"x".repeat(MESSAGE_LIMIT)).is_err());
    assert!(decode::<Reply>(&mut b"\0\0\0\x02{}".to_vec()).is_err());
}

#[test]
fn failures_cross_the_socket_unchanged() {
    let failures = [
        FetchFailure::Source { kind: Kind::Throttled, message: "m".into(), retry_after: Some(Duration::from_secs(7)) },
        FetchFailure::Stalled { after: Duration::from_millis(1500) },
        FetchFailure::Archive(crate::fetch::ArchiveFault::Missing { entry: Some("a".into()) }),
        FetchFailure::Archive(crate::fetch::ArchiveFault::Trailing),
        FetchFailure::Worker(crate::fetch::WorkerFault::Died { how: "signal 9".into() }),
        FetchFailure::Stopped,
    ];
    for failure in failures {
        let text = serde_json::to_string(&failure).unwrap();
        assert_eq!(serde_json::from_str::<FetchFailure>(&text).unwrap(), failure, "{text}");
    }
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let mut source = source(Path::new("/srv"), &["token=hunter2"]);
    source.url = Url::parse("https://ann:hunter2@example.com/app?sig=hunter2").unwrap();
    assert!(!format!("{source:?}").contains("hunter2"));
}
