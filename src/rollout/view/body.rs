//! What hosts write beside the name of an object. Nobody signs it and nothing depends on it: it is shown, that is all.

use serde::Deserialize;
use serde_json::Value;

use crate::clock::Timestamp;

/// The most that is read of one, in bytes.
pub(super) const LIMIT: u64 = 16 * 1024;

/// The longest text that is shown of one, in characters.
const LONGEST: usize = 4096;

/// The body of a piece of evidence, or of a host's inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) name: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) log: Option<String>,
}

impl Body {
    /// Whatever of `file` can be read.
    pub(super) fn read(file: &[u8]) -> Body {
        let value: Value = serde_json::from_slice(file).unwrap_or_default();
        let text = |names: &[&str]| {
            let found = names.iter().find_map(|name| value.get(name).and_then(readable));
            found.map(|text| last_of(&text)).filter(|text| !text.is_empty())
        };
        Body {
            name: text(&["name", "host_name"]),
            reason: text(&["reason", "message", "why"]),
            log: text(&["log", "log_tail", "tail"]),
        }
    }
}

/// Text, or a list of lines.
fn readable(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(lines) => Some(lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")),
        _ => None,
    }
}

/// The end of a text says why it ends.
fn last_of(text: &str) -> String {
    let text = text.trim_end();
    let over = text.chars().count().saturating_sub(LONGEST);
    text.chars().skip(over).collect()
}

/// A lease, of whatever is in its object.
#[derive(Debug, Deserialize)]
pub(super) struct Lease {
    pub(super) until: Timestamp,
}

impl Lease {
    pub(super) fn read(file: &[u8]) -> Option<Lease> {
        serde_json::from_slice(file).ok()
    }
}
