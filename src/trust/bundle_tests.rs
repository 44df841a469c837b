use super::*;
use crate::trust::fixture::{Key, bundle, code, keys, manifest, read_document};

#[test]
fn what_was_signed_comes_out_byte_for_byte() {
    let key = Key::new(1);
    let payload = b" { \"any\" : 1 }\n";
    let parsed = Bundle::parse(&bundle(payload, &[&key])).unwrap();
    assert_eq!(parsed.verified(&keys(&[&key], 1)).unwrap(), payload);
}

/// Attack 1, for the bundle.
#[test]
fn one_bit_of_the_payload_is_enough() {
    let key = Key::new(1);
    let mut payload = manifest(&["1.0.0"]).to_string().into_bytes();
    let signature = key.sign(&payload, "");
    payload[40] ^= 1;
    let file = Bundle::new(payload, vec![signature]).to_file();
    assert_eq!(code(read_document(&file, keys(&[&key], 1))), ("signature.wrong", 20));
}

#[test]
fn only_one_reading_of_a_bundle_is_accepted() {
    let good = r#"{"fetchd":"bundle/1","payload":"e30=","minisig":[]}"#;
    assert!(Bundle::parse(good.as_bytes()).is_ok());
    assert!(Bundle::parse(good.replace('}', ",\"more\":{\"a\":[1]}}").as_bytes()).is_ok());
    for bad in [
        good.replace("bundle/1", "bundle/2"),
        good.replace("\"fetchd\":\"bundle/1\",", ""),
        good.replace("e30=", "e30"),
        good.replace("e30=", "e31="),
        good.replace("e30=", "e3 0="),
        good.replace("[]", "{}"),
        good.replace("[]", "[1]"),
        good.replace(",\"minisig\":[]", ""),
        good.replace('}', ",\"payload\":\"e30=\"}"),
        format!("{good}{{}}"),
        format!("\u{feff}{good}"),
        "[]".to_owned(),
        String::new(),
    ] {
        assert_eq!(code(Bundle::parse(bad.as_bytes())), ("bundle.malformed", 20), "{bad}");
    }
    let large = format!("{good}{}", " ".repeat(MAX_FILE));
    assert_eq!(code(Bundle::parse(large.as_bytes())), ("bundle.too_large", 20));
}
