//! Vectors that others made, against the function that every signature goes through.

use serde_json::Value;

use super::PublicKey;
use super::fixture::{code, keys, public_text, text};
use super::{KeySet, Signature, base64::encode};

const WYCHEPROOF: &str = include_str!("../../fixtures/vectors/wycheproof-ed25519_test.json");
const SPECCHECK: &str = include_str!("../../fixtures/vectors/ed25519-speccheck-cases.json");

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    assert!(hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn key(point: &Value) -> Result<PublicKey, super::Refused> {
    PublicKey::parse(&public_text(&[3; 8], bytes(point).as_slice().try_into().unwrap()))
}

/// As the parser and the verifier see it: 64 bytes of base64 in a signature file, or nothing.
fn accepts(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let Ok(exact) = <&[u8; 64]>::try_from(signature) else {
        let blob = encode(&[&b"ED"[..], &[3; 8], signature].concat());
        let good = text(b"ED", &[3; 8], &[0; 64], "", &[0; 64]);
        let lines: Vec<&str> = good.lines().collect();
        for file in [[lines[0], &blob, lines[2], lines[3]], [lines[0], lines[1], lines[2], &encode(signature)]] {
            let set = KeySet::new(vec![key.clone()], 1).unwrap();
            let file = file.join("\n");
            assert_eq!(code(Signature::parse(file.as_bytes())).0, "signature.malformed", "{file}");
            assert!(set.verify(&[0; 64], &[file.as_bytes()]).is_err());
        }
        return false;
    };
    key.made(exact, message)
}

/// Attack 11, the first half: every valid case is accepted, every invalid one refused.
#[test]
fn wycheproof_agrees_on_every_case() {
    let file: Value = serde_json::from_str(WYCHEPROOF).unwrap();
    assert_eq!(file["numberOfTests"], 151, "another version of the file");
    let (mut valid, mut invalid, mut wrong) = (0, 0, Vec::new());
    for group in file["testGroups"].as_array().unwrap() {
        let key = key(&group["publicKey"]["pk"]).expect("a key that is not weak");
        for case in group["tests"].as_array().unwrap() {
            let accepted = accepts(&key, &bytes(&case["msg"]), &bytes(&case["sig"]));
            let expected = match case["result"].as_str().unwrap() {
                "valid" => true,
                "invalid" => false,
                other => panic!("a verdict that this test does not know: {other}"),
            };
            if expected {
                valid += 1
            } else {
                invalid += 1
            }
            if accepted != expected {
                wrong.push(format!("case {} ({}): accepted is {accepted}", case["tcId"], case["comment"]));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!((valid, invalid), (88, 63), "a file that is cut off proves nothing");
}

/// How a case of "Taming the many EdDSAs" must end.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The key is not taken into a key set.
    Key,
    /// The signature is refused.
    Signature,
    Accepted,
}
use Verdict::{Accepted, Key, Signature as Refuses};

/// Attack 11, the second half. `A` is the public key, `R` and `S` are the halves of the signature, `L` is
/// the group's order.
const CASES: [(Verdict, &str); 12] = [
    (Key, "A and R of small order, S = 0: everybody can sign with such a key"),
    (Key, "A of small order, R of mixed order: a signature of every message"),
    (Refuses, "R of small order, A of mixed order"),
    // Nobody but the holder of the secret can make one, and every verifier agrees on it.
    (Accepted, "A and R of mixed order, and the equation holds without the cofactor"),
    (Refuses, "A and R of mixed order, and the equation holds with the cofactor only"),
    (Refuses, "the same, with the hash multiplied by the cofactor before it is reduced"),
    (Refuses, "S is beyond L: a second signature made out of the first"),
    (Refuses, "S is far beyond L, where careless implementations look at its top bits only"),
    (Refuses, "R is not canonical and of small order, hashed as it is written"),
    (Refuses, "R is not canonical and of small order, hashed as it is reduced"),
    (Key, "A is not canonical and of small order, hashed as it is written"),
    (Key, "A is not canonical and of small order, hashed as it is reduced"),
];

#[test]
fn signatures_that_verifiers_disagree_about() {
    let cases: Vec<Value> = serde_json::from_str(SPECCHECK).unwrap();
    assert_eq!(cases.len(), CASES.len(), "a file that is cut off proves nothing");
    for (number, (case, (expected, why))) in cases.iter().zip(&CASES).enumerate() {
        let (message, signature) = (bytes(&case["message"]), bytes(&case["signature"]));
        let verdict = match key(&case["pub_key"]) {
            Err(refused) => {
                assert_eq!(code::<()>(Err(refused)), ("key.weak", 64), "case {number}: {why}");
                Key
            }
            Ok(key) if accepts(&key, &message, &signature) => Accepted,
            Ok(_) => Refuses,
        };
        assert_eq!(verdict, *expected, "case {number}: {why}");
    }
}

/// What the vectors cannot show, because their messages are not 64 bytes long: both signatures of a file go
/// through the same function.
#[test]
fn a_signature_file_is_verified_by_the_same_function() {
    let signer = super::fixture::Key::new(5);
    let set = keys(&[&signer], 1);
    let file = signer.sign(b"bytes", "comment");
    let hash = super::blake2b512(b"bytes");
    assert_eq!(set.verify(&hash, &[file.as_bytes()]), Ok(()));
    let signature = Signature::parse(file.as_bytes()).unwrap();
    let signed = signature.signed_comment();
    let s: &[u8; 64] = signed[..64].try_into().unwrap();
    assert!(signer.public().made(s, &hash) && !signer.public().made(s, b"bytes"));
}
