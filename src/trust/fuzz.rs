//! What must hold of keys, signatures, bundles and manifests whatever the bytes are.

use std::sync::LazyLock;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use fetchd_fetchers::{AssetName, Release as Offered, Revision};
use semver::Version;
use serde_json::Value;

use super::base64::{decode, encode};
use super::bundle::{self, Bundle};
use super::json::strict;
use super::{
    Admitted, ArtifactSignature, Bound, Choice, Expect, Format, KeyDocument, KeySet, Manifest, Offer, Policy,
    PublicKey, Signature, Trust, admit, blake2b512, choose, manifest, read,
};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::state::Record;

const KEYNUM: [u8; 8] = [1; 8];
/// The artifact that signatures are held against.
const ARTIFACT: &[u8] = b"the artifact";
const TARGET: &str = "x86_64-unknown-linux-gnu";
const NOW: Timestamp = Timestamp(1_795_000_000);

/// Everybody knows it: with it the fuzzer's finds can be told from what the key's owner signs.
static SECRET: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[1; 32]));
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let text = encode(&[&b"Ed"[..], &KEYNUM, SECRET.verifying_key().as_bytes()].concat());
    let key = PublicKey::parse(&text).expect("the key of a pair that was just made");
    KeySet::new(vec![key], 1).expect("one key, threshold one")
});

/// What the key's owner writes under `message`.
pub fn sign(message: &[u8], comment: &str) -> String {
    let s = SECRET.sign(&blake2b512(message)).to_bytes();
    let g = SECRET.sign(&[&s[..], comment.as_bytes()].concat()).to_bytes();
    let blob = encode(&[&b"ED"[..], &KEYNUM, &s].concat());
    format!("untrusted comment: x\n{blob}\ntrusted comment: {comment}\n{}\n", encode(&g))
}

/// A signature file: one text for each signature, and none accepted that the owner did not make.
pub fn minisign(data: &[u8]) -> bool {
    let Ok(signature) = Signature::parse(data) else {
        assert!(KEYS.verify(&blake2b512(ARTIFACT), &[data]).is_err(), "what cannot be read is accepted");
        return false;
    };
    assert!(data.len() <= Signature::MAX_FILE && signature.claimed_comment().len() <= Signature::MAX_COMMENT);
    let text = std::str::from_utf8(data).expect("checked by the parser");
    let lines: Vec<&str> = text.split('\n').collect();
    assert!(lines.len() == 4 || (lines.len() == 5 && lines[4].is_empty()), "{} lines are accepted", lines.len());
    let signed = signature.signed_comment();
    let blob = encode(&[&b"ED"[..], &signature.keynum, &signed[..64]].concat());
    let global = encode(&decode(lines[3].as_bytes()).expect("checked by the parser"));
    let again = format!("{}\n{blob}\ntrusted comment: {}\n{global}", lines[0], signature.claimed_comment());
    assert_eq!(again, text.strip_suffix('\n').unwrap_or(text), "one signature has two texts");
    assert_eq!(Signature::parse(again.as_bytes()).as_ref(), Ok(&signature));
    if let Ok(bound) = Bound::parse(signature.claimed_comment()) {
        assert_eq!(Bound::parse(&bound.to_comment()).as_ref(), Ok(&bound), "a bound comment is read in two ways");
    }
    let whole = KEYS.verify(&blake2b512(ARTIFACT), &[data]);
    let early = ArtifactSignature::read(data, &KEYS).and_then(|early| early.check(&blake2b512(ARTIFACT)));
    assert_eq!(whole, early, "two ways to the same verdict");
    if whole.is_ok() {
        let made = sign(ARTIFACT, signature.claimed_comment());
        assert!(made.ends_with(&format!("\n{}\n", lines[1..4].join("\n"))), "a signature nobody made is accepted");
    }
    true
}

/// A public key, or several with a threshold (the first byte, before files divided by NUL), or a key document.
pub fn keys(data: &[u8]) -> bool {
    if data.first() == Some(&b'{') {
        return key_document(data);
    }
    let single = std::str::from_utf8(data).is_ok_and(key);
    let Some((&threshold, files)) = data.split_first() else { return single };
    let parsed: Option<Vec<PublicKey>> =
        files.split(|byte| *byte == 0).map(|file| PublicKey::parse(std::str::from_utf8(file).ok()?).ok()).collect();
    let Some(parsed) = parsed else { return single };
    let Ok(set) = KeySet::new(parsed.clone(), usize::from(threshold)) else { return single };
    assert_eq!(set.keys(), parsed);
    assert!((1..=parsed.len()).contains(&set.threshold()), "a threshold that means nothing is accepted");
    for (i, key) in parsed.iter().enumerate() {
        assert!(self::key(&key.to_file()));
        assert!(parsed[..i].iter().all(|other| other.bytes() != key.bytes() && other.keynum() != key.keynum()));
    }
    assert!(set.verify(&[0; 64], &[]).is_err(), "no signature is enough");
    true
}

fn key_document(data: &[u8]) -> bool {
    let Ok(document) = KeyDocument::parse(data) else { return false };
    assert_eq!(KeyDocument::parse(&document.to_bytes()).as_ref(), Ok(&document));
    for role in [&document.root, &document.release] {
        assert!((1..=role.keys().len()).contains(&role.threshold()), "a threshold that means nothing is accepted");
        assert!(role.keys().iter().all(|one| key(&one.to_string())));
    }
    true
}

fn key(text: &str) -> bool {
    let Ok(key) = PublicKey::parse(text) else { return false };
    assert_eq!(PublicKey::parse(&key.to_string()).as_ref(), Ok(&key));
    assert_eq!(PublicKey::parse(&key.to_file()).as_ref(), Ok(&key));
    let point = VerifyingKey::from_bytes(key.bytes()).expect("it was one before").to_edwards();
    assert!(!point.is_small_order(), "a key of small order is accepted");
    assert_eq!(point.compress().as_bytes(), key.bytes(), "a key that is not canonical is accepted");
    true
}

/// A bundle file, and all that stands behind it when a source shows one.
pub fn bundle(data: &[u8]) -> bool {
    let release = Offered { revision: Revision("r".to_owned()), label: None, assets: vec![], document: None };
    let offer = Offer { release: &release, document: Some(data), signature: None, asset: None };
    let offered = read(&offer, &Trust::Bundle { keys: KEYS.clone() }, &expect(), NOW);
    let Ok(bundle) = Bundle::parse(data) else {
        assert!(offered.is_err(), "what cannot be read is believed");
        return false;
    };
    assert!(data.len() <= bundle::MAX_FILE && bundle.signatures().len() <= KeySet::LOOKED_AT);
    let again = Bundle::parse(&bundle.to_file());
    assert_eq!(again.as_ref(), Ok(&bundle), "a bundle is read in two ways");
    let payload = bundle.claimed_payload().to_vec();
    match bundle.clone().verified(&KEYS) {
        Ok(verified) => {
            assert_eq!(verified, payload);
            let owners = |text: &String| {
                Signature::parse(text.as_bytes()).is_ok_and(|signature| {
                    let made = sign(&payload, signature.claimed_comment());
                    Signature::parse(made.as_bytes()) == Ok(signature)
                })
            };
            assert!(bundle.signatures().iter().any(owners), "a bundle nobody signed is believed");
        }
        Err(_) => assert!(offered.is_err(), "an unsigned manifest is believed"),
    }
    if let Ok(manifest) = offered {
        assert_eq!(manifest.sha256(), Sha256::of(&payload));
    }
    true
}

/// A manifest whose signature held.
pub fn manifest(data: &[u8]) -> bool {
    let expect = expect();
    let parse = |bytes: &[u8]| manifest::parse(bytes, &expect.product, &expect.channel, NOW);
    let Ok(manifest) = parse(data) else { return false };
    assert!(data.len() <= manifest::MAX_FILE);
    assert_eq!(manifest.sha256(), Sha256::of(data));
    sound(&manifest);
    // Written anew it says the same.
    let value: Value = strict(data, 8).expect("a manifest is strict JSON");
    let again = parse(&serde_json::to_vec(&value).expect("a value can be written"));
    assert_eq!(again.map(|again| said(&again)), Ok(said(&manifest)), "a manifest is read in two ways");
    let mut record = Record::default();
    // Epoch 0, number 0 is where a record begins.
    admit(&manifest, &mut record).expect("nothing was accepted before");
    assert_eq!(admit(&manifest, &mut record), Ok(Admitted::Known), "the same manifest changes the record twice");
    chosen(&manifest, &record, &expect);
    let floor = Record { seq: record.seq + 1, ..record };
    let mut kept = floor.clone();
    // The first one below the floor is a warning, and the record remembers no more than that.
    assert!(matches!(admit(&manifest, &mut kept), Ok(Admitted::Stale(_))), "a manifest below the floor is accepted");
    assert!(admit(&manifest, &mut kept).is_err(), "another one below the floor is accepted");
    assert_eq!(Record { stale_since: None, ..kept }, floor, "a manifest below the floor leaves a trace");
    true
}

fn sound(manifest: &Manifest) {
    const MOST: u64 = (1 << 53) - 1;
    assert!(manifest.releases().len() <= 512);
    assert!(manifest.epoch() <= MOST && manifest.seq().is_some_and(|seq| seq <= MOST));
    for release in manifest.releases() {
        assert!(release.rollout.as_ref().is_none_or(|rollout| rollout.percent <= 100));
        for artifact in &release.artifacts {
            assert!((1..=16).contains(&artifact.urls.len()));
            let stays = |url: &String| AssetName::new(url.as_str()).is_ok() || url::Url::parse(url).is_ok();
            assert!(artifact.urls.iter().all(stays), "{:?}", artifact.urls);
            let sizes = [artifact.size, artifact.binary_size];
            assert!(sizes.iter().all(|size| size.is_some_and(|size| (1..=MOST).contains(&size))), "{sizes:?}");
            assert!(artifact.sha256.is_some() && artifact.binary_sha256.is_some());
            if artifact.format == Format::Raw {
                assert_eq!((artifact.size, artifact.sha256), (artifact.binary_size, artifact.binary_sha256));
            }
            assert!(artifact.entry.is_none() || artifact.format.is_archive());
        }
    }
}

/// Everything but the digest of how it was written.
fn said(manifest: &Manifest) -> String {
    format!("{:?}", Manifest { sha256: Sha256([0; 32]), ..manifest.clone() })
}

fn chosen(manifest: &Manifest, record: &Record, expect: &Expect) {
    let middle = manifest.releases().get(manifest.releases().len() / 2).and_then(|release| release.version.clone());
    let policies = [
        Policy::default(),
        Policy { running: Some(Version::new(1, 0, 0)), ..Policy::default() },
        Policy { running: middle.clone(), host_id: Some("host".to_owned()), ..Policy::default() },
        Policy { pin: middle, allow_downgrade: true, force: true, ..Policy::default() },
    ];
    for policy in policies {
        let Choice::Take(chosen) = choose(manifest, record, &policy, expect, NOW) else { continue };
        let digests: Vec<Sha256> = chosen.sha256().into_iter().chain(chosen.binary_sha256()).collect();
        assert_eq!(manifest.revocation(chosen.version(), &digests), None, "a revoked release is taken");
        assert_eq!(chosen.target(), Some(TARGET), "a release for another machine is taken");
        assert!(!chosen.urls().is_empty() && chosen.size().is_some_and(|size| size <= expect.max_size));
        assert!(chosen.binary_size().is_some_and(|size| size <= expect.max_size));
        assert!(manifest.expires().is_none_or(|expires| expires > NOW), "an expired manifest is followed");
        let version = chosen.version().expect("each release of a manifest has one");
        let release = manifest.release(version).expect("it is listed");
        assert!(!release.yanked || policy.pin.is_some(), "a withdrawn release is taken");
        assert!(policy.pin.as_ref().is_none_or(|pin| pin == version), "another release than the pinned one is taken");
        let least = manifest.min_version();
        assert!(least.is_none_or(|least| version.cmp_precedence(least).is_ge()), "a release below the least is taken");
        assert!(release.rollout.as_ref().is_none_or(|rollout| rollout.percent > 0), "nobody may take it yet");
    }
}

fn expect() -> Expect {
    Expect { product: "app".into(), channel: "stable".into(), target: TARGET.into(), max_size: 1 << 30, epoch: None }
}
