//! Signatures and keys.

use crate::maker::{Maker, decode, encode};
use crate::table::{Carry, Case, Files, Play, Verdict};

pub const CASES: &[Case] = &[
    Case {
        id: 1,
        attack: "one bit of the payload is flipped",
        fixture: "payload-bit-flipped",
        plays: &[Play::Serve {
            variant: "",
            make: payload_flipped,
            flags: &[],
            over: Carry::ALL,
            verdict: Verdict::refused(20, "signature.wrong"),
        }],
    },
    Case {
        id: 5,
        attack: "the untrusted comment is edited",
        fixture: "untrusted-comment-edited",
        plays: &[Play::Serve {
            variant: "",
            make: |maker| maker.resigned(|text| text.replacen("signature", "anything", 1)),
            flags: &[],
            over: Carry::ALL,
            verdict: Verdict::accepted(),
        }],
    },
];

fn payload_flipped(maker: &Maker) -> Files {
    maker.tampered(|bundle| {
        let mut payload = decode(bundle["payload"].as_str().unwrap());
        payload[100] ^= 1;
        bundle["payload"] = encode(&payload).into();
    })
}
