//! JSON as it is signed: one reading for every text, and a bound on its depth.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The largest integer that every JSON reader reads alike.
pub(super) const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Reads one JSON value whose lists and objects are nested at most `depth` deep.
///
/// Refused: a key that occurs twice, a number with a fraction or an exponent or beyond 2^53 - 1, a
/// lone surrogate, a byte order mark, anything but white space after the value.
pub fn strict(bytes: &[u8], depth: usize) -> Result<Value, String> {
    read(bytes, Strict { depth, fractions: false })
}

/// As [`strict`], with numbers that have a fraction: for documents whose bytes are signed as they stand, so that two
/// readers need not write one alike.
pub fn strict_with_fractions(bytes: &[u8], depth: usize) -> Result<Value, String> {
    read(bytes, Strict { depth, fractions: true })
}

fn read(bytes: &[u8], how: Strict) -> Result<Value, String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = how.deserialize(&mut reader).map_err(|e| e.to_string())?;
    reader.end().map_err(|e| e.to_string())?;
    Ok(value)
}

struct Strict {
    depth: usize,
    fractions: bool,
}

impl Strict {
    fn inner<E: Error>(&self) -> Result<Strict, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("it is nested too deeply"))?;
        Ok(Strict { depth, ..*self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without fractions")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        if value > MAX_INTEGER { Err(E::custom("an integer is beyond 2^53 - 1")) } else { Ok(value.into()) }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.visit_u64::<E>(value.unsigned_abs())?;
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        #[allow(clippy::cast_precision_loss, reason = "2^53 is exact")]
        if self.fractions && value.abs() < MAX_INTEGER as f64 {
            return Ok(value.into());
        }
        Err(E::custom("a number is not an integer, or too large to be one"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.inner()?)? {
            list.push(item);
        }
        // An empty list counts as one level too.
        self.inner::<A::Error>()?;
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let inner = self.inner::<A::Error>()?;
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom("a key occurs twice in one object"));
            }
            let value = entries.next_value_seed(Strict { depth: inner.depth, fractions: inner.fractions })?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_that_could_be_read_in_two_ways_is_refused() {
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"\u0062":2}}"#,
            "1.0",
            "1e3",
            "-0.5",
            "-0",
            "NaN",
            "Infinity",
            "9007199254740992",
            "-9007199254740992",
            "18446744073709551616",
            "\u{feff}{}",
            "{} {}",
            "{}x",
            r#""\ud800""#,
            r#""\udc00\ud800""#,
            "[1,]",
            "{'a':1}",
            "01",
            "",
            "/**/1",
        ] {
            assert!(strict(bad.as_bytes(), 8).is_err(), "{bad}");
        }
        assert!(strict(b"\"\xff\"", 8).is_err());
        assert!(strict(b"\"a\x00b\"", 8).is_err());
    }

    #[test]
    fn depth_counts_lists_and_objects_even_empty_ones() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(strict(nested(8).as_bytes(), 8).is_ok());
        assert!(strict(nested(9).as_bytes(), 8).is_err());
        assert!(strict(br#"{"a":{}}"#, 1).is_err());
        assert!(strict(nested(100_000).as_bytes(), 8).is_err());
    }

    #[test]
    fn ordinary_json_is_read() {
        let value = strict(br#" {"a":[null,true,-3,9007199254740991,"x\ud83d\ude00"]} "#, 8).unwrap();
        assert_eq!(value, serde_json::json!({"a": [null, true, -3, 9_007_199_254_740_991_u64, "x😀"]}));
    }
}
