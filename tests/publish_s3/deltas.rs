//! Deltas beside the artifacts of a channel in a bucket.

use fetchd::digest::Sha256;
use fetchd::publish::{PublishOptions, publish};
use fetchd_delta::Limits;
use fetchd_stand_ins::s3::Operation;

use crate::Desk;

/// Bytes of which most are the same in each version.
fn build(version: u8) -> Vec<u8> {
    let mut state = 7_u64;
    let noise = (0..40_000).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    let mut bytes: Vec<u8> = noise.collect();
    bytes[20_000..20_010].fill(version);
    bytes
}

#[test]
fn a_delta_is_made_from_what_lies_in_the_bucket_and_put_there_once() {
    let desk = Desk::new();
    let (first, second) = (build(1), build(2));
    desk.publish("1.0.0", &[("here", &first)]).unwrap();
    let before = desk.server.get(crate::POINTER).unwrap();
    let place = desk.place();
    let with_delta = || {
        let mut options = PublishOptions::at(&place, "web", "stable", std::slice::from_ref(&desk.key));
        options.release = Some(desk.release("1.1.0", &[("here", &second)]));
        options.delta_from = 3;
        publish(&options).unwrap()
    };
    let published = with_delta();
    assert!(published.deltas.iter().any(|delta| delta.left_out.is_none()), "{:?}", published.deltas);
    let manifest = desk.manifest();
    let listed = manifest.releases()[0].artifacts[0].deltas.clone();
    assert!(!listed.is_empty());
    for delta in &listed {
        let bytes = desk.server.get(&format!("web/{}", delta.urls[0])).unwrap();
        assert_eq!((delta.size, delta.sha256), (bytes.len() as u64, Sha256::of(&bytes)));
        assert_eq!(delta.from_sha256, Sha256::of(&first));
        let mut made = vec![0; second.len()];
        fetchd_delta::apply(&first, &bytes, &mut made, &Limits::default()).unwrap();
        assert!(made == second);
    }
    let written = |name: &str| {
        let requests = desk.server.requests();
        requests.iter().filter(|request| request.operation == Operation::Put && request.key.ends_with(name)).count()
    };
    assert_eq!(written(&listed[0].urls[0]), 1);

    // As if it had ended before the pointer was replaced: nothing but the pointer is written again.
    desk.server.put(crate::POINTER, before);
    with_delta();
    assert_eq!(desk.manifest().releases()[0].artifacts[0].deltas, listed);
    assert_eq!(written(&listed[0].urls[0]), 1);
}
