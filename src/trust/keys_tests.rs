use super::*;
use crate::trust::fixture::{Key, code, keys, public_text};

#[test]
fn a_public_key_is_read_from_a_file_or_a_bare_line() {
    let key = Key::new(1).public();
    assert_eq!(PublicKey::parse(&key.to_file()).unwrap(), key);
    assert_eq!(PublicKey::parse(&format!("  {key}\n")).unwrap(), key);
    assert_eq!(PublicKey::parse(&key.to_file().replace('\n', "\r\n")).unwrap(), key);
    assert_eq!(key.keynum(), "0101010101010101");
    let published = PublicKey::parse("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3").unwrap();
    assert_eq!(published.keynum(), "E7620F1842B4E81F");
}

#[test]
fn what_is_no_key_is_refused_with_64() {
    let key = Key::new(1).public().to_string();
    for bad in ["", "x", &key[1..], &format!("{key}{key}"), &key.replace("RW", "RX"), &format!("comment\n{key}")] {
        assert_eq!(code(PublicKey::parse(bad)), ("key.malformed", 64), "{bad}");
    }
    let mut ed = vec![b'E', b'D'];
    ed.extend([0; 40]);
    assert_eq!(code(PublicKey::parse(&encode(&ed))), ("key.malformed", 64));
}

/// Attack 10: with a key of small order in the store, signatures that nobody made are valid.
#[test]
fn weak_keys_are_refused_with_64() {
    let mut order_1 = [0; 32];
    order_1[0] = 1;
    let order_4 = [0; 32];
    let mut order_2 = [0xff; 32];
    order_2[0] = 0xec;
    order_2[31] = 0x7f;
    let mut order_8 = [0; 32];
    for (i, byte) in order_8.iter_mut().enumerate() {
        let hex = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
        *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
    }
    // y = p + 3 names the point with y = 3 a second time, and p + 1 that of order 1.
    let mut odd = [0xff; 32];
    odd[31] = 0x7f;
    odd[0] = 0xf0;
    let mut odd_1 = odd;
    odd_1[0] = 0xee;
    for point in [order_1, order_2, order_4, order_8, odd, odd_1] {
        let (found, exit) = code(PublicKey::parse(&public_text(&[7; 8], &point)));
        assert!(found == "key.weak", "{point:02x?}: {found}");
        assert_eq!(exit, 64);
    }
}

/// Attacks 15, 17 and 20.
#[test]
fn a_key_set_that_means_nothing_is_refused_with_64() {
    let (a, b) = (Key::new(1).public(), Key::new(2).public());
    let renumbered = Key::new(1).numbered(9).public();
    let clash = Key::new(3).numbered(1).public();
    assert_eq!(code(KeySet::new(vec![], 1)), ("keys.empty", 64));
    assert_eq!(code(KeySet::new(vec![], 0)), ("keys.empty", 64));
    assert_eq!(code(KeySet::new(vec![a.clone(), a.clone()], 1)), ("keys.duplicate", 64));
    assert_eq!(code(KeySet::new(vec![a.clone(), b.clone(), renumbered], 2)), ("keys.duplicate", 64));
    assert_eq!(code(KeySet::new(vec![a.clone(), clash], 1)), ("keys.duplicate_keynum", 64));
    assert_eq!(code(KeySet::new(vec![a.clone(), b.clone()], 0)), ("keys.threshold", 64));
    assert_eq!(code(KeySet::new(vec![a.clone(), b.clone()], 3)), ("keys.threshold", 64));
    assert_eq!(code(KeySet::new(vec![a, b], 2)), ("ok", 0));
}

#[test]
fn a_threshold_counts_distinct_keys() {
    let (a, b, stranger) = (Key::new(1), Key::new(2), Key::new(3));
    let message = b"message";
    let hash = crate::trust::blake2b512(message);
    let two = keys(&[&a, &b], 2);
    let one = keys(&[&a, &b], 1);
    let (sa, sb, sx) = (a.sign(message, ""), b.sign(message, ""), stranger.sign(message, ""));
    let again = a.sign(message, "another comment");
    let check = |set: &KeySet, list: &[&str]| {
        let list: Vec<&[u8]> = list.iter().map(|text| text.as_bytes()).collect();
        code(set.verify(&hash, &list)).0
    };
    assert_eq!(check(&two, &[&sa, &sb]), "ok");
    // Attack 16.
    assert_eq!(check(&two, &[&sa, &sa]), "signature.threshold");
    assert_eq!(check(&two, &[&sa, &again]), "signature.threshold");
    // Attack 18.
    assert_eq!(check(&two, &[&sa, "garbage"]), "signature.threshold");
    assert_eq!(check(&two, &[&sa, &sx]), "signature.threshold");
    // Attack 19.
    assert_eq!(check(&one, &[&sa, "garbage"]), "ok");
    assert_eq!(check(&one, &["garbage", &sx, &sb]), "ok");
    // Attack 14.
    assert_eq!(check(&one, &[&sx]), "signature.unknown_key");
    assert_eq!(check(&one, &[]), "signature.missing");
    // Only the first sixteen are looked at.
    let mut many = vec!["garbage"; 16];
    many.push(&sa);
    assert_eq!(check(&one, &many), "signature.malformed");
    many.remove(0);
    assert_eq!(check(&one, &many), "ok");
}
