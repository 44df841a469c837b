//! What the name of an asset looks like, as an operator writes it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::name::{parts, spellings};

/// The form of an asset's name: `*` for anything, `{target} {os} {arch} {version} {name}` for what
/// this machine is and what the release is called.
///
/// `{os}` and `{arch}` stand for every usual spelling (`linux`, `Linux`; `x86_64`, `amd64`, `x64`),
/// `{version}` for the version in the tag, with or without a `v` before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AssetPattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Anything,
    Target,
    Os,
    Arch,
    Version,
    Name,
}

/// Not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an asset pattern: {why}")]
pub struct BadPattern {
    text: String,
    why: &'static str,
}

/// More parts than this are refused.
const MOST_PARTS: usize = 32;

impl FromStr for AssetPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<AssetPattern, BadPattern> {
        let bad = |why| BadPattern { text: text.escape_debug().to_string(), why };
        if text.is_empty() || text.len() > 256 {
            return Err(bad("it has 1 to 256 bytes"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['*', '{', '}']) {
            if at > 0 {
                parts.push(Part::Text(rest[..at].to_owned()));
            }
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix('*') {
                if parts.last() != Some(&Part::Anything) {
                    parts.push(Part::Anything);
                }
                rest = after;
                continue;
            }
            let known = [
                ("{target}", Part::Target),
                ("{os}", Part::Os),
                ("{arch}", Part::Arch),
                ("{version}", Part::Version),
                ("{name}", Part::Name),
            ];
            let found = known.into_iter().find_map(|(name, part)| Some((rest.strip_prefix(name)?, part)));
            let (after, part) = found.ok_or_else(|| bad("there are {target}, {os}, {arch}, {version} and {name}"))?;
            parts.push(part);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.len() > MOST_PARTS {
            return Err(bad("it has more than 32 parts"));
        }
        Ok(AssetPattern { text: text.to_owned(), parts })
    }
}

impl AssetPattern {
    /// Whether `name` looks like this. Where the version is not known it may be anything.
    pub(super) fn matches(&self, name: &str, product: &str, target: &str, version: Option<&str>) -> bool {
        let (os, arch) = parts(target);
        let of = |part: &Part| -> Option<Vec<String>> {
            Some(match part {
                Part::Text(text) => vec![text.clone()],
                Part::Anything => return None,
                Part::Target => vec![target.to_owned()],
                Part::Os => spellings(os),
                Part::Arch => spellings(arch),
                Part::Version => match version {
                    Some(version) => vec![version.to_owned(), format!("v{version}")],
                    None => return None,
                },
                Part::Name => vec![product.to_owned()],
            })
        };
        let choices: Vec<Option<Vec<String>>> = self.parts.iter().map(of).collect();
        fits(&choices, name)
    }
}

/// Whether `name` is made of one of each of `choices`; `None` is any text. Keeps the set of places
/// that the choices so far can reach, so that no pattern takes long.
fn fits(choices: &[Option<Vec<String>>], name: &str) -> bool {
    let mut reached = BTreeSet::from([0]);
    for choice in choices {
        reached = match choice {
            None => reached.first().into_iter().flat_map(|&first| first..=name.len()).collect(),
            Some(texts) => {
                let after = |at: usize, text: &String| {
                    name.as_bytes()[at..].starts_with(text.as_bytes()).then_some(at + text.len())
                };
                reached.iter().flat_map(|&at| texts.iter().filter_map(move |text| after(at, text))).collect()
            }
        };
    }
    reached.contains(&name.len())
}

impl fmt::Display for AssetPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl TryFrom<String> for AssetPattern {
    type Error = BadPattern;

    fn try_from(text: String) -> Result<AssetPattern, BadPattern> {
        text.parse()
    }
}

impl From<AssetPattern> for String {
    fn from(pattern: AssetPattern) -> String {
        pattern.text
    }
}
