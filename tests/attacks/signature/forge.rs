//! What is done to the text of a signature.

use crate::maker::{Maker, Signer, artifact_name, binding, bundle_of, decode, encode, manifest, program};
use crate::maker::{POINTER, SEQ};
use crate::table::Files;

/// The text with the base64 of one of its four lines edited.
fn line(text: &str, number: usize, edit: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    let mut bytes = decode(&lines[number - 1]);
    edit(&mut bytes);
    lines[number - 1] = encode(&bytes);
    lines.join("\n") + "\n"
}

/// One bit of the signature of the bytes is another.
pub fn signature_flipped(text: &str) -> String {
    line(text, 2, |blob| blob[20] ^= 1)
}

/// One bit of the signature of the comment is another.
pub fn global_flipped(text: &str) -> String {
    line(text, 4, |global| global[10] ^= 1)
}

/// The trusted comment says something else.
pub fn comment_edited(text: &str) -> String {
    let edited = text.replace("version:1.1.0", "version:9.9.9").replace("fetchd manifest", "fetchd manifesto");
    assert_ne!(edited, text);
    edited
}

/// The label says that the raw bytes were signed.
pub fn relabelled(text: &str) -> String {
    line(text, 2, |blob| blob[1] = b'd')
}

/// signify's two lines: no trusted comment.
pub fn signify(text: &str) -> String {
    let relabelled = relabelled(text);
    format!("untrusted comment: verify with app.pub\n{}\n", relabelled.lines().nth(1).unwrap())
}

/// The number of the key is another.
pub fn renumbered(text: &str) -> String {
    line(text, 2, |blob| blob[2..10].copy_from_slice(&[9; 8]))
}

/// The scalar of the signature of the comment is the same number, written larger.
pub fn global_beyond_order(text: &str) -> String {
    line(text, 4, |global| add_order(&mut global[32..]))
}

/// The same of the signature of the bytes. The comment is signed anew, so that the scalar is all that is wrong.
pub fn signature_beyond_order(text: &str, signer: &Signer) -> String {
    let mut s: [u8; 64] = decode(text.lines().nth(1).unwrap())[10..].try_into().unwrap();
    add_order(&mut s[32..]);
    let comment = text.lines().nth(2).unwrap().strip_prefix("trusted comment: ").unwrap();
    signer.text(b"ED", &s, comment, &signer.global(&s, comment))
}

/// Adds the order of the group to a scalar.
fn add_order(scalar: &mut [u8]) {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, order) in scalar.iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = ((sum & 0xff) as u8, sum >> 8);
    }
    assert_eq!(carry, 0);
}

pub fn fifth_line(text: &str) -> String {
    format!("{text}untrusted comment: more\n")
}

pub fn crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

pub fn unpadded(text: &str) -> String {
    text.replace('=', "")
}

/// The blob is a byte too long.
pub fn long_blob(text: &str) -> String {
    line(text, 2, |blob| blob.push(0))
}

/// The manifest of a case, signed as `minisign -l` does.
pub fn legacy_manifest(maker: &Maker) -> Files {
    let mut files = maker.good(SEQ, "1.1.0");
    let payload = manifest(SEQ, "1.1.0").to_string().into_bytes();
    let signature = maker.publisher.sign_legacy(&payload, "fetchd manifest");
    files.insert(POINTER.to_owned(), bundle_of(&payload, &[signature]));
    files
}

/// The manifest of a case with these signatures, each made by `sign` or just text.
pub fn with_signatures(maker: &Maker, signatures: impl FnOnce(&[u8]) -> Vec<String>) -> Files {
    let mut files = maker.good(SEQ, "1.1.0");
    let payload = manifest(SEQ, "1.1.0").to_string().into_bytes();
    files.insert(POINTER.to_owned(), bundle_of(&payload, &signatures(&payload)));
    files
}

/// The artifact of a case, its binding comment signed by somebody else.
pub fn artifact_by(signer: &Signer) -> Files {
    let (name, binary) = (artifact_name("1.1.0"), program("1.1.0"));
    let signature = signer.sign(&binary, &binding("1.1.0")).into_bytes();
    Files::from([(format!("{name}.minisig"), signature), (name, binary)])
}

/// Bytes that the publisher signed as a manifest, beside the artifact of a case.
pub fn payload(maker: &Maker, payload: &[u8]) -> Files {
    let mut files = maker.good(SEQ, "1.1.0");
    let signature = maker.publisher.sign(payload, "timestamp:1767225600\tfile:SHA256SUMS\thashed");
    files.insert(POINTER.to_owned(), bundle_of(payload, &[signature]));
    files
}
