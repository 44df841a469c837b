use super::*;
use crate::trust::fixture::{
    Key, NOW, TARGET, bundle, code, expect, keys, manifest, offered, read_bytes, read_document, read_value,
};
use serde_json::json;

const COMMENT: &str =
    "fetchd:1\tproduct:app\tversion:1.4.2\tchannel:stable\ttarget:x86_64-unknown-linux-gnu\tfile:app.tar.gz\tsize:9";

/// Reads `app.tar.gz` signed with `comment`, as mode `bound` or plain.
fn artifact(comment: &str, bound: bool, label: Option<&str>) -> Result<Manifest, Refused> {
    let key = Key::new(1);
    let signature = key.sign(b"123456789", comment);
    let release = offered(label, &["1.4.2/app.tar.gz"]);
    let offer = Offer { release: &release, document: None, signature: Some(signature.as_bytes()), asset: None };
    let keys = keys(&[&key], 1);
    let trust = if bound { Trust::Bound { keys } } else { Trust::Plain { keys } };
    read(&offer, &trust, &expect(), NOW)
}

#[test]
fn a_manifest_is_not_parsed_before_its_signature_holds() {
    let (key, other) = (Key::new(1), Key::new(2));
    let document = bundle(b"not even JSON", &[&other]);
    assert_eq!(code(read_document(&document, keys(&[&key], 1))), ("signature.unknown_key", 20));
    assert_eq!(code(read_document(&document, keys(&[&other], 1))), ("manifest.malformed", 20));
}

#[test]
fn two_files_say_the_same_as_one() {
    let key = Key::new(1);
    let payload = manifest(&["1.0.0"]).to_string();
    let signature = key.sign(payload.as_bytes(), "");
    let release = offered(None, &["manifest.json"]);
    let document = Some(payload.as_bytes());
    let trust = Trust::Bundle { keys: keys(&[&key], 1) };
    let offer = Offer { release: &release, document, signature: Some(signature.as_bytes()), asset: None };
    let two = read(&offer, &trust, &expect(), NOW).unwrap();
    assert_eq!(two.sha256(), read_bytes(payload.as_bytes()).unwrap().sha256());
    let stale = key.sign(b"the manifest before", "");
    let offer = Offer { signature: Some(stale.as_bytes()), ..offer };
    assert_eq!(code(read(&offer, &trust, &expect(), NOW)), ("signature.wrong", 20));
    let offer = Offer { document: None, ..offer };
    assert_eq!(code(read(&offer, &trust, &expect(), NOW)), ("bundle.missing", 20));
}

/// Attack 40.
#[test]
fn issued_more_than_a_day_ahead_is_a_matter_of_clocks() {
    let mut value = manifest(&["1.0.0"]);
    value["issued"] = json!(NOW.plus(Duration::from_secs(48 * 3600)).to_string());
    assert_eq!(code(read_value(&value)), ("manifest.clock", 22));
    value["issued"] = json!(NOW.plus(CLOCK_SKEW).to_string());
    assert_eq!(code(read_value(&value)), ("ok", 0));
    let comment = format!("{COMMENT}\tissued:{}", NOW.plus(2 * CLOCK_SKEW));
    assert_eq!(code(artifact(&comment, true, None)), ("manifest.clock", 22));
}

#[test]
fn a_bound_artifact_is_a_manifest_of_one() {
    let digest = Sha256::of(b"binary");
    let comment = format!("{COMMENT}\tseq:12\texpires:2099-01-01T00:00:00Z\tentry:bin/app\tbinsha256:{digest}");
    let manifest = artifact(&comment, true, Some("v1.4.2")).unwrap();
    assert_eq!((manifest.seq(), manifest.epoch()), (Some(12), 0));
    assert!(manifest.expires().is_some());
    let [release] = manifest.releases() else { panic!("one release") };
    assert_eq!(release.version, Some(Version::new(1, 4, 2)));
    let [found] = release.artifacts.as_slice() else { panic!("one artifact") };
    assert_eq!(found.urls, ["1.4.2/app.tar.gz"]);
    assert_eq!((found.size, found.format, found.entry.as_deref()), (Some(9), Format::TarGz, Some("bin/app")));
    assert_eq!((found.sha256, found.binary_sha256, found.target.as_deref()), (None, Some(digest), Some(TARGET)));
}

/// Attacks 23, 37 and 46, for artifacts.
#[test]
fn a_bound_artifact_is_good_for_one_place_only() {
    for (good, bad, wanted) in [
        ("product:app", "product:other", ("comment.wrong_product", 21)),
        ("channel:stable", "channel:beta", ("comment.wrong_channel", 21)),
        ("target:x86_64", "target:aarch64", ("comment.wrong_target", 23)),
        ("file:app.tar.gz", "file:other.tar.gz", ("comment.wrong_file", 20)),
        ("version:1.4.2", "version:1.4.1", ("comment.wrong_version", 20)),
        ("fetchd:1\t", "", ("comment.unbound", 20)),
    ] {
        let comment = COMMENT.replace(good, bad);
        assert_ne!(comment, COMMENT);
        assert_eq!(code(artifact(&comment, true, Some("v1.4.2"))), wanted);
    }
    assert_eq!(code(artifact(COMMENT, true, Some("v9.9.9"))), ("comment.wrong_version", 20));
    assert_eq!(code(artifact(COMMENT, true, Some("nightly"))), ("ok", 0));
}

#[test]
fn a_plain_signature_binds_no_version_and_takes_the_label() {
    let manifest = artifact("timestamp:1\tfile:x", false, Some("app-v2.0.0")).unwrap();
    let release = &manifest.releases()[0];
    assert_eq!(release.version, Some(Version::new(2, 0, 0)));
    assert_eq!((release.artifacts[0].size, manifest.seq()), (None, None));
    assert_eq!(artifact("", false, None).unwrap().releases()[0].version, None);
}

#[test]
fn without_a_signature_only_owner_and_unsigned_read() {
    let release = offered(Some("1.0.0"), &["app.gz"]);
    let offer = Offer { release: &release, document: None, signature: None, asset: None };
    let keys = keys(&[&Key::new(1)], 1);
    let verdict = |trust: &Trust| code(read(&offer, trust, &expect(), NOW));
    assert_eq!(verdict(&Trust::Bound { keys: keys.clone() }), ("signature.missing", 20));
    assert_eq!(verdict(&Trust::Plain { keys }), ("signature.missing", 20));
    let owner = read(&offer, &Trust::Owner, &expect(), NOW).unwrap();
    assert_eq!((owner.releases()[0].artifacts[0].format, &owner.releases()[0].version), (Format::Raw, &None));
    let unsigned = read(&offer, &Trust::Unsigned, &expect(), NOW).unwrap();
    assert_eq!((unsigned.releases()[0].artifacts[0].format, &unsigned.releases()[0].version), (Format::Gz, &None));
    let several = offered(None, &["a", "b"]);
    let offer = Offer { release: &several, ..offer };
    assert_eq!(code(read(&offer, &Trust::Unsigned, &expect(), NOW)), ("asset.unknown", 23));
}

#[test]
fn labels_are_read_as_people_write_them() {
    for label in ["1.2.3", "v1.2.3", "app-1.2.3", "app-v1.2.3", "app/v1.2.3"] {
        assert_eq!(version_of_label(label, "app"), Some(Version::new(1, 2, 3)), "{label}");
    }
    for label in ["", "latest", "1.2", "other-1.2.3", "vv1.2.3", "app1.2.3", "1.2.3 "] {
        assert_eq!(version_of_label(label, "app"), None, "{label}");
    }
}

mod damage {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever a mirror does to a bundle: it is refused, or the manifest is the one that was signed.
        #[test]
        fn a_damaged_bundle_never_says_anything_else(at in any::<prop::sample::Index>(), with in any::<u8>(), cut in 0..3_u8) {
            let key = Key::new(1);
            let payload = manifest(&["1.0.0"]).to_string();
            let mut document = bundle(payload.as_bytes(), &[&key]);
            let at = at.index(document.len());
            match cut {
                0 => document[at] = with,
                1 => document.insert(at, with),
                _ => document.truncate(at),
            }
            if let Ok(read) = read_document(&document, keys(&[&key], 1)) {
                prop_assert_eq!(read.sha256(), Sha256::of(payload.as_bytes()));
            }
        }

        /// Whatever the holder of a key signs: an answer, never a panic.
        #[test]
        fn a_signed_manifest_of_any_bytes_gets_an_answer(at in any::<prop::sample::Index>(), with in ".{0,12}") {
            let mut text = manifest(&["1.0.0", "1.0.1"]).to_string();
            let at = at.index(text.len());
            text.replace_range(at..(at + with.len()).min(text.len()), &with);
            let _ = read_bytes(text.as_bytes());
            let _ = artifact(&with.replace('\n', "\t"), true, Some(&with));
            let _ = artifact(&format!("{COMMENT}\t{with}"), true, Some(&with));
        }
    }
}

/// Attack 38: only the root keys begin an epoch.
#[test]
fn a_key_set_says_which_epoch_a_manifest_is_of() {
    let key = Key::new(1);
    let of = |epoch: u64, expected: Option<u64>| {
        let mut value = manifest(&["1.0.0"]);
        value["epoch"] = json!(epoch);
        let document = bundle(value.to_string().as_bytes(), &[&key]);
        let release = offered(None, &["stable.fetchd"]);
        let offer = Offer { release: &release, document: Some(&document), signature: None, asset: None };
        let expect = Expect { epoch: expected, ..expect() };
        read(&offer, &Trust::Bundle { keys: keys(&[&key], 1) }, &expect, NOW)
    };
    assert_eq!(code(of(3, Some(3))), ("ok", 0));
    assert_eq!(code(of(3, None)), ("ok", 0));
    assert_eq!(code(of(4, Some(3))), ("manifest.epoch", 21));
    assert_eq!(code(of(2, Some(3))), ("manifest.rollback", 21));
}

#[test]
fn a_bound_artifact_is_numbered_in_the_epoch_of_the_key_set() {
    let key = Key::new(1);
    let signature = key.sign(b"123456789", &format!("{COMMENT}\tseq:5"));
    let release = offered(None, &["app.tar.gz"]);
    let offer = Offer { release: &release, document: None, signature: Some(signature.as_bytes()), asset: None };
    for (epoch, position) in [(Some(3), (3, 5)), (None, (0, 5))] {
        let expect = Expect { epoch, ..expect() };
        let manifest = read(&offer, &Trust::Bound { keys: keys(&[&key], 1) }, &expect, NOW).unwrap();
        assert_eq!(manifest.position, Some(position));
    }
}
