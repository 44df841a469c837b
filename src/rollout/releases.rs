//! The releases that lie in the bucket.

use serde_json::Value;

use super::{Desk, RolloutError, seen};
use crate::trust::bundle::Bundle;
use crate::trust::{KeySet, strict_json};

/// The most releases that are looked at.
const MOST: usize = 500;

/// A release in the bucket whose manifest is signed.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its directory.
    pub release: String,
    /// The bundle, as it lies there.
    pub bundle: Vec<u8>,
    /// The manifest's epoch and number.
    pub number: (u64, u64),
}

/// The signed releases of this product and channel, the one with the highest number first. What is signed by nobody of
/// `keys`, or of another channel, is left out.
pub fn releases(desk: &mut Desk<'_>, keys: &KeySet) -> Result<Vec<Listed>, RolloutError> {
    let prefix = desk.names.releases();
    let mut listed = desk.keys(&prefix, 100_000)?;
    listed.sort_by(|(_, a), (_, b)| b.cmp(a));
    let mut found = Vec::new();
    for (key, _) in listed {
        let Some(release) = key[prefix.len()..].strip_suffix("/manifest.json").filter(|rest| !rest.contains('/'))
        else {
            continue;
        };
        if found.len() == MOST {
            break;
        }
        let release = release.to_owned();
        let Some((bundle, _)) = desk.get(&key, 1024 * 1024)? else { continue };
        let Some(manifest) = read(&bundle, keys) else { continue };
        if manifest["product"] != desk.names.product() || manifest["channel"] != desk.names.channel() {
            continue;
        }
        let number = |field: &str| manifest[field].as_u64().unwrap_or(0);
        found.push(Listed { release, bundle, number: (number("epoch"), number("seq")) });
    }
    found.sort_by_key(|listed| std::cmp::Reverse(listed.number));
    Ok(found)
}

/// The directory that is there and was probably meant: one of that version, else one whose name is written much alike.
pub(super) fn near(desk: &mut Desk<'_>, asked: &str) -> Result<Option<String>, RolloutError> {
    let prefix = desk.names.releases();
    let keys = desk.keys(&prefix, 10_000)?;
    let of = |(key, _): &(String, crate::clock::Timestamp)| {
        key[prefix.len()..].strip_suffix("/manifest.json").map(str::to_owned)
    };
    let there: Vec<String> = keys.iter().filter_map(of).collect();
    let version = format!("{asked}+");
    let same = there.iter().rfind(|there| there.starts_with(&version)).cloned();
    Ok(same.or_else(|| seen::nearest(asked, there.iter().map(String::as_str))))
}

fn read(bundle: &[u8], keys: &KeySet) -> Option<Value> {
    let payload = Bundle::parse(bundle).ok()?.verified(keys).ok()?;
    strict_json(&payload, 8).ok()
}
