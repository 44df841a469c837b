use super::*;
use crate::trust::fixture::code;

const GOOD: &str =
    "fetchd:1\tproduct:app\tversion:1.4.2\tchannel:stable\ttarget:x86_64-unknown-linux-gnu\tfile:app\tsize:9";

#[test]
fn every_field_is_read_and_written() {
    let text = format!(
        "{GOOD}\tissued:2026-11-22T14:30:00Z\texpires:2027-01-01T00:00:00Z\tseq:12\tentry:bin/app\tbinsha256:{}",
        Sha256::of(b"x")
    );
    let bound = Bound::parse(&text).unwrap();
    assert_eq!(bound.version, Version::new(1, 4, 2));
    assert_eq!((bound.size, bound.seq, bound.entry.as_deref()), (9, Some(12), Some("bin/app")));
    assert_eq!(bound.to_comment(), text);
    assert_eq!(Bound::parse(GOOD).unwrap().to_comment(), GOOD);
}

#[test]
fn each_needed_field_is_needed_once() {
    for field in GOOD.split('\t') {
        let without = GOOD.replace(field, "other:1");
        let wanted = if field == "fetchd:1" { "comment.unbound" } else { "comment.malformed" };
        assert_eq!(code(Bound::parse(&without)), (wanted, 20), "{field}");
        assert_eq!(code(Bound::parse(&format!("{GOOD}\t{field}"))), ("comment.malformed", 20), "{field}");
    }
    assert_eq!(code(Bound::parse(&format!("{GOOD}\tseq:1\tseq:2"))).0, "comment.malformed");
    assert_eq!(code(Bound::parse("timestamp:1633700835\tfile:test\thashed")).0, "comment.unbound");
    assert_eq!(code(Bound::parse(&GOOD.replace("fetchd:1", "fetchd:2"))).0, "comment.unsupported");
    assert!(Bound::parse(&format!("timestamp:1\t{GOOD}\thashed")).is_ok());
}

#[test]
fn a_value_that_makes_no_sense_is_refused() {
    for (good, bad) in [
        ("product:app", "product:"),
        ("product:app", "product:../app"),
        ("version:1.4.2", "version:1.4"),
        ("version:1.4.2", "version:v1.4.2"),
        ("channel:stable", "channel:a b"),
        ("target:x86_64", "target:/x86_64"),
        ("file:app", "file:"),
        ("size:9", "size:0"),
        ("size:9", "size:+9"),
        ("size:9", "size:-9"),
        ("size:9", "size:9.0"),
        ("size:9", "size:9007199254740992"),
        ("size:9", "size:9\tseq:99999999999999999999"),
        ("size:9", "size:9\texpires:tomorrow"),
        ("size:9", "size:9\tentry:"),
        ("size:9", "size:9\tbinsha256:ABC"),
    ] {
        assert_eq!(code(Bound::parse(&GOOD.replace(good, bad))), ("comment.malformed", 20), "{bad}");
    }
}
