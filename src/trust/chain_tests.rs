use super::*;
use crate::trust::fixture::{Key, NOW, code, keys};

fn document(version: u64, root: &[&Key], threshold: usize) -> KeyDocument {
    let release = keys(&[&Key::new(90)], 1);
    KeyDocument { product: "app".into(), version, epoch: 0, expires: None, root: keys(root, threshold), release }
}

fn file(document: &KeyDocument, signers: &[&Key]) -> Vec<u8> {
    let payload = document.to_bytes();
    let signatures = signers.iter().map(|key| key.sign(&payload, "keys")).collect();
    Bundle::new(payload, signatures).to_file()
}

fn provisioned(document: &KeyDocument, signers: &[&Key]) -> TrustedKeys {
    TrustedKeys::provisioned(&file(document, signers), "app").unwrap()
}

#[test]
fn what_is_written_is_read_again() {
    let (a, b) = (Key::new(1), Key::new(2));
    let mut one = document(1, &[&a, &b], 2);
    one.expires = Some(NOW);
    assert_eq!(KeyDocument::parse(&one.to_bytes()).unwrap(), one);
}

#[test]
fn a_step_needs_the_old_and_the_new_root() {
    let (old, new, stranger) = (Key::new(1), Key::new(2), Key::new(3));
    let trusted = provisioned(&document(1, &[&old], 1), &[&old]);
    let next = document(2, &[&new], 1);
    assert_eq!(trusted.advance(&file(&next, &[&old, &new])).unwrap().version(), 2);
    for (signers, expected) in [
        (vec![&old], "signature.unknown_key"),
        (vec![&new], "signature.unknown_key"),
        (vec![&stranger, &new], "signature.unknown_key"),
        (vec![], "signature.missing"),
    ] {
        assert_eq!(code(trusted.advance(&file(&next, &signers))), (expected, 20), "{}", signers.len());
    }
}

#[test]
fn versions_follow_one_another_and_epochs_never_fall() {
    let root = Key::new(1);
    let mut first = document(4, &[&root], 1);
    first.epoch = 3;
    let trusted = provisioned(&first, &[&root]);
    let step = |version, epoch| {
        let next = KeyDocument { epoch, ..document(version, &[&root], 1) };
        code(trusted.advance(&file(&next, &[&root])))
    };
    assert_eq!(step(5, 3), ("ok", 0));
    assert_eq!(step(5, 9), ("ok", 0));
    assert_eq!(step(4, 3), ("keys.version", 20));
    assert_eq!(step(6, 3), ("keys.version", 20));
    assert_eq!(step(5, 2), ("keys.epoch", 21));
}

#[test]
fn a_document_of_another_kind_or_product_is_no_key_set() {
    let root = Key::new(1);
    let bundle = |payload: &[u8]| Bundle::new(payload.to_vec(), vec![root.sign(payload, "x")]).to_file();
    let trusted = provisioned(&document(1, &[&root], 1), &[&root]);
    let manifest = br#"{"type":"fetchd-manifest","spec":1}"#;
    assert_eq!(code(trusted.advance(&bundle(manifest))), ("keys.wrong_type", 20));
    assert_eq!(code(trusted.advance(&bundle(br#"{"type":"fetchd-keys","spec":2}"#))), ("keys.unsupported", 20));
    let other = KeyDocument { product: "other".into(), ..document(2, &[&root], 1) };
    assert_eq!(code(trusted.advance(&file(&other, &[&root]))), ("keys.wrong_product", 21));
    assert_eq!(code(TrustedKeys::provisioned(&file(&other, &[&root]), "app")), ("keys.wrong_product", 21));
}

#[test]
fn a_key_set_that_could_be_met_by_fewer_people_is_refused_with_20() {
    let (a, b) = (Key::new(1), Key::new(2));
    let good = String::from_utf8(document(1, &[&a, &b], 2).to_bytes()).unwrap();
    let signed = |text: &str| Bundle::new(text.into(), vec![a.sign(text.as_bytes(), "x")]).to_file();
    let (number, other) = (a.public().keynum(), b.public().keynum());
    let twice = a.clone().numbered(9).public();
    for (from, to, expected) in [
        ("\"threshold\": 2".to_owned(), "\"threshold\": 3".to_owned(), "keys.threshold"),
        ("\"threshold\": 2".to_owned(), "\"threshold\": 0".to_owned(), "keys.threshold"),
        (format!("\"{other}\""), format!("\"{number}\""), "keys.duplicate"),
        (b.public().to_string(), twice.to_string(), "keys.duplicate"),
        (b.public().to_string(), b.clone().numbered(1).public().to_string(), "keys.duplicate_keynum"),
        (format!("\"{other}\""), "\"0000000000000000\"".to_owned(), "keys.malformed"),
    ] {
        assert!(good.contains(&from), "{from}");
        let refused = TrustedKeys::provisioned(&signed(&good.replace(&from, &to)), "app");
        assert_eq!(code(refused), (expected, 20), "{from} -> {to}");
    }
}

#[test]
fn an_expired_key_set_holds_and_can_still_be_followed() {
    let root = Key::new(1);
    let mut first = document(1, &[&root], 1);
    first.expires = Some(NOW);
    let trusted = provisioned(&first, &[&root]);
    assert_eq!(trusted.expired(NOW).map(|why| (why.code(), why.exit().number())), Some(("keys.expired", 22)));
    assert_eq!(trusted.expired(Timestamp(NOW.0 - 1)), None);
    let next = trusted.advance(&file(&document(2, &[&root], 1), &[&root])).unwrap();
    assert_eq!(next.expired(NOW), None);
}

#[test]
fn a_file_beyond_64_kib_is_not_read() {
    let long = vec![b' '; TrustedKeys::MAX_FILE + 1];
    assert_eq!(code(TrustedKeys::provisioned(&long, "app")), ("keys.malformed", 20));
}

/// Attack 27: the sequences by which TUF's own conformance suite judges a rotation of root keys. Of each version: its
/// root keys, its threshold, who signed it, and whether it is taken.
#[test]
fn rotations_end_as_those_of_tuf_do() {
    const FIVE: &[u8] = &[0, 1, 2, 3, 4];
    const SIXTH: &[u8] = &[0, 1, 3, 4, 5];
    const OTHERS: &[u8] = &[5, 6, 7, 8, 9];
    type Version = (&'static [u8], usize, &'static [u8], bool);
    let sequences: [(&str, &[Version]); 15] = [
        ("one key for another", &[(&[1], 1, &[1], true), (&[2], 1, &[2, 1], true), (&[2], 1, &[2], true)]),
        (
            "signatures of strangers beside them",
            &[(&[1], 1, &[3, 1, 4], true), (&[2], 1, &[3, 2, 1, 4], true), (&[2], 1, &[3, 2, 4], true)],
        ),
        ("not signed by the old key", &[(&[1], 1, &[1], true), (&[2], 1, &[2, 3, 4], false)]),
        ("not signed by the new key", &[(&[1], 1, &[1], true), (&[2], 1, &[1, 3, 4], false)]),
        (
            "three of five, others each time",
            &[(FIVE, 3, &[0, 2, 4], true), (FIVE, 3, &[0, 4, 1], true), (FIVE, 3, &[0, 1, 3], true)],
        ),
        ("three of five, one replaced", &[(FIVE, 3, &[0, 2, 4], true), (SIXTH, 3, &[0, 4, 1], true)]),
        ("three of the new five are missing", &[(FIVE, 3, &[0, 2, 4], true), (SIXTH, 3, &[0, 2, 4], false)]),
        ("three of the old five are missing", &[(FIVE, 3, &[0, 2, 4], true), (SIXTH, 3, &[0, 4, 5], false)]),
        (
            "three of five, one replaced in two steps",
            &[(FIVE, 3, &[0, 2, 4], true), (SIXTH, 3, &[0, 2, 4, 5], true), (SIXTH, 3, &[0, 4, 5], true)],
        ),
        (
            "three of five, all replaced",
            &[(FIVE, 3, &[0, 2, 4], true), (OTHERS, 3, &[0, 2, 4, 5, 6, 7], true), (OTHERS, 3, &[5, 6, 7], true)],
        ),
        ("a threshold rises", &[(&[1, 2, 3], 1, &[1], true), (&[1, 2, 3], 2, &[1, 2], true)]),
        ("it rises and is not met", &[(&[1, 2, 3], 1, &[1], true), (&[1, 2, 3], 2, &[2], false)]),
        (
            "a threshold falls",
            &[(&[1, 2, 3], 2, &[1, 2], true), (&[1, 2, 3], 1, &[1, 2], true), (&[1, 2, 3], 1, &[1], true)],
        ),
        ("it falls and the old one is not met", &[(&[1, 2, 3], 2, &[1, 2], true), (&[1, 2, 3], 1, &[1], false)]),
        ("a key is added and both must sign", &[(&[1], 1, &[1], true), (&[1, 2], 2, &[1, 2], true)]),
    ];
    let keys: Vec<Key> = (0..10).map(|seed| Key::new(seed + 1)).collect();
    let of = |numbers: &[u8]| numbers.iter().map(|number| &keys[usize::from(*number)]).collect::<Vec<_>>();
    for (name, versions) in sequences {
        let mut trusted: Option<TrustedKeys> = None;
        for (version, (root, threshold, signers, good)) in (1..).zip(versions) {
            let file = file(&document(version, &of(root), *threshold), &of(signers));
            let next = match &trusted {
                None => TrustedKeys::provisioned(&file, "app"),
                Some(trusted) => trusted.advance(&file),
            };
            assert_eq!(next.is_ok(), *good, "{name}, version {version}: {next:?}");
            if let Err(refused) = &next {
                assert_eq!(refused.exit().number(), 20, "{name}, version {version}");
            }
            trusted = next.ok();
        }
    }
}
