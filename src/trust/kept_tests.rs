use super::super::fixture::{Key, bundle, code, expect, keys, manifest};
use super::*;

fn signed(seq: u64, key: &Key) -> Vec<u8> {
    let mut value = manifest(&["1.0.0"]);
    value["seq"] = seq.into();
    bundle(value.to_string().as_bytes(), &[key])
}

#[test]
fn a_kept_bundle_raises_a_record_that_was_set_back_and_no_other() {
    let key = Key::new(1);
    let proved = proved(&signed(7, &key), &keys(&[&key], 1), &expect()).unwrap();
    let mut record = Record::default();
    assert!(proved.raise(&mut record));
    assert_eq!((record.floor(), record.manifest_sha256), ((1, 7), Some(proved.manifest_sha256)));
    assert!(!proved.raise(&mut record), "what it proves is there");
    // Above what it proves nothing is touched.
    record.seq = 8;
    record.manifest_sha256 = None;
    let above = record.clone();
    assert!(!proved.raise(&mut record));
    assert_eq!(record, above);
    // An edited digest would make equivocation of the genuine manifest.
    (record.seq, record.manifest_sha256) = (7, Some(Sha256::of(b"another")));
    assert!(proved.raise(&mut record));
    assert_eq!(record.manifest_sha256, Some(proved.manifest_sha256));
}

#[test]
fn a_kept_bundle_that_was_edited_or_is_of_other_keys_proves_nothing() {
    let (key, other) = (Key::new(1), Key::new(2));
    let bytes = signed(7, &key);
    assert_eq!(code(proved(&bytes, &keys(&[&other], 1), &expect())).1, 20);
    let edited = String::from_utf8(bytes.clone()).unwrap().replacen("\"payload\":\"e", "\"payload\":\"f", 1);
    assert_ne!(edited.as_bytes(), bytes);
    assert_eq!(code(proved(edited.as_bytes(), &keys(&[&key], 1), &expect())).1, 20);
    assert_eq!(code(proved(&bytes[..bytes.len() / 2], &keys(&[&key], 1), &expect())), ("bundle.malformed", 20));
    let beta = Expect { channel: "beta".to_owned(), ..expect() };
    assert_eq!(code(proved(&bytes, &keys(&[&key], 1), &beta)).1, 21);
}

#[test]
fn the_provisioned_floor_raises_and_never_lowers() {
    let mut record = Record { manifest_sha256: Some(Sha256::of(b"m")), seq: 5, ..Record::default() };
    assert!(!provision(&mut record, (0, 5)));
    assert!(!provision(&mut record, (0, 4)));
    assert!(record.manifest_sha256.is_some());
    assert!(provision(&mut record, (0, 6)));
    assert_eq!((record.floor(), record.manifest_sha256), ((0, 6), None));
    assert!(provision(&mut record, (1, 0)), "an epoch counts more than any number");
    assert_eq!(record.floor(), (1, 0));
}
