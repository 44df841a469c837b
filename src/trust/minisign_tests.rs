use super::*;
use crate::trust::base64::{decode, encode};
use crate::trust::fixture::{Key, code, keys, text, with_line};

const MESSAGE: &[u8] = b"the artifact";

fn verdict(signature: &str) -> &'static str {
    let keys = keys(&[&Key::new(1)], 1);
    code(keys.verify(&blake2b512(MESSAGE), &[signature.as_bytes()])).0
}

fn flip(line: &str, byte: usize) -> String {
    let mut bytes = decode(line.as_bytes()).unwrap();
    bytes[byte] ^= 1;
    encode(&bytes)
}

#[test]
fn a_published_vector_holds() {
    let key = PublicKey::parse("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3").unwrap();
    let signature = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
        wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";
    let keys = KeySet::new(vec![key], 1).unwrap();
    assert_eq!(keys.verify(&blake2b512(b"test"), &[signature.as_bytes()]), Ok(()));
    assert_eq!(code(keys.verify(&blake2b512(b"Test"), &[signature.as_bytes()])), ("signature.wrong", 20));
}

/// Attacks 1 to 5.
#[test]
fn each_part_that_is_signed_counts_and_nothing_else() {
    let good = Key::new(1).sign(MESSAGE, "comment");
    let lines: Vec<&str> = good.lines().collect();
    assert_eq!(verdict(&good), "ok");
    let keys = keys(&[&Key::new(1)], 1);
    assert_eq!(code(keys.verify(&blake2b512(b"the artifacu"), &[good.as_bytes()])), ("signature.wrong", 20));
    for byte in [10, 41, 42, 72] {
        // S is part of what G signs, so that is where it shows first.
        assert_eq!(verdict(&with_line(&good, 1, &flip(lines[1], byte))), "signature.comment");
    }
    for byte in [0, 31, 32, 62] {
        assert_eq!(verdict(&with_line(&good, 3, &flip(lines[3], byte))), "signature.comment");
    }
    assert_eq!(verdict(&with_line(&good, 2, "trusted comment: Comment")), "signature.comment");
    assert_eq!(verdict(&with_line(&good, 2, "trusted comment: comment ")), "signature.comment");
    assert_eq!(verdict(&with_line(&good, 0, "untrusted comment: anything at all")), "ok");
    // G of one signature beside S of another.
    let other = Key::new(1).sign(b"another", "comment");
    let spliced = with_line(&other, 3, lines[3]);
    assert_eq!(verdict(&spliced), "signature.comment");
}

/// Attacks 6 and 7: the letters are not signed, so the old kind is refused whoever made it.
#[test]
fn the_old_kind_is_refused_by_its_own_code() {
    use ed25519_dalek::Signer as _;
    let key = Key::new(1);
    let good = key.sign(MESSAGE, "c");
    let blob = decode(good.lines().nth(1).unwrap().as_bytes()).unwrap();
    let relabelled = encode(&[b"Ed", &blob[2..]].concat());
    assert_eq!(verdict(&with_line(&good, 1, &relabelled)), "signature.legacy");
    let s = key.secret.sign(MESSAGE).to_bytes();
    let g = key.secret.sign(&[&s[..], b"c"].concat()).to_bytes();
    assert_eq!(verdict(&text(b"Ed", &key.keynum, &s, "c", &g)), "signature.legacy");
    // And the reverse: a legacy signature of a 64-byte message is no signature of a file with that hash
    // unless somebody signed raw hashes, which fetchd never does.
    assert_eq!(verdict(&text(b"EX", &key.keynum, &s, "c", &g)), "signature.malformed");
}

/// Attack 9: S + L is the same number to a careless verifier.
#[test]
fn a_scalar_beyond_the_group_order_is_refused() {
    use ed25519_dalek::Signer as _;
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let plus_l = |signature: &mut [u8]| {
        let mut carry = 0_u16;
        for (byte, order) in signature[32..64].iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
    };
    let good = Key::new(1).sign(MESSAGE, "c");
    let lines: Vec<&str> = good.lines().collect();
    let mut global = decode(lines[3].as_bytes()).unwrap();
    plus_l(&mut global);
    assert_eq!(verdict(&with_line(&good, 3, &encode(&global))), "signature.comment");
    let key = Key::new(1);
    let mut s = key.secret.sign(&blake2b512(MESSAGE)).to_bytes();
    plus_l(&mut s);
    let g = key.secret.sign(&[&s[..], b"c"].concat()).to_bytes();
    assert_eq!(verdict(&text(b"ED", &key.keynum, &s, "c", &g)), "signature.wrong");
}

/// Attacks 12 and 13.
#[test]
fn number_and_key_must_both_be_right() {
    assert_eq!(verdict(&Key::new(2).numbered(1).sign(MESSAGE, "")), "signature.comment");
    assert_eq!(verdict(&Key::new(1).numbered(2).sign(MESSAGE, "")), "signature.unknown_key");
}

/// Attacks 8 and 21.
#[test]
fn only_the_exact_shape_is_read() {
    let good = Key::new(1).sign(MESSAGE, "c");
    let lines: Vec<&str> = good.lines().collect();
    assert_eq!(verdict(good.trim_end()), "ok");
    let long_comment = "c".repeat(Signature::MAX_COMMENT + 1);
    let cases = [
        String::new(),
        "\n\n\n\n".to_owned(),
        lines[..2].join("\n"),
        format!("{good}\n"),
        format!("{good}one more line\n"),
        format!("\n{good}"),
        format!("\u{feff}{good}"),
        good.replace('\n', "\r\n"),
        with_line(&good, 0, "comment: x"),
        with_line(&good, 0, "untrusted comment:"),
        with_line(&good, 2, "trusted comment:c"),
        with_line(&good, 2, "trusted comment: c\u{7}"),
        with_line(&good, 2, &format!("trusted comment: {long_comment}")),
        with_line(&good, 0, &format!("untrusted comment: {}", "c".repeat(Signature::MAX_UNTRUSTED + 1))),
        with_line(&good, 1, &format!(" {}", lines[1])),
        with_line(&good, 1, lines[1].trim_end_matches('=')),
        with_line(&good, 1, &encode(&[0x45; 75])),
        with_line(&good, 1, &encode(&[0x45; 73])),
        with_line(&good, 3, lines[3].trim_end_matches('=')),
        with_line(&good, 3, &lines[3].replace("==", "=")),
        with_line(&good, 3, &encode(&[0; 63])),
        "A".repeat(1 << 20),
    ];
    for case in cases {
        let shown: String = case.chars().take(60).collect();
        assert_eq!(verdict(&case), "signature.malformed", "{shown:?}");
    }
    // 64 bytes in base64 leave four bits over: all but one of sixteen spellings are refused.
    let last = lines[3].len() - 3;
    for other in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
        let mut line = lines[3].as_bytes().to_vec();
        if line[last] != *other {
            line[last] = *other;
            assert_ne!(verdict(&with_line(&good, 3, std::str::from_utf8(&line).unwrap())), "ok");
        }
    }
    assert_eq!(code(Signature::parse(b"untrusted comment: \xff\n")).0, "signature.malformed");
}

#[test]
fn an_artifact_signature_vouches_for_its_comment_first_and_the_bytes_later() {
    let key = Key::new(1);
    let signature = key.sign(MESSAGE, "a comment");
    let set = keys(&[&key], 1);
    let proof = ArtifactSignature::read(signature.as_bytes(), &set).unwrap();
    assert_eq!(proof.comment(), "a comment");
    assert_eq!(proof.check(&blake2b512(MESSAGE)), Ok(()));
    assert_eq!(code(proof.check(&blake2b512(b"other"))), ("signature.wrong", 20));
    let tampered = signature.replace("a comment", "b comment");
    assert_eq!(code(ArtifactSignature::read(tampered.as_bytes(), &set)), ("signature.comment", 20));
    let two = keys(&[&key, &Key::new(2)], 2);
    assert_eq!(code(ArtifactSignature::read(signature.as_bytes(), &two)), ("signature.threshold", 20));
}

#[test]
fn a_stream_hashes_as_memory_does() {
    let bytes = vec![7; 700_000];
    assert_eq!(blake2b512_reader(&mut bytes.as_slice()).unwrap(), blake2b512(&bytes));
}
