//! Tags, and the versions in them.

use std::fmt;

use semver::Version;

use crate::options::ConfigError;

/// Where the version stands in a pattern.
const VERSION: &str = "{version}";
/// No tag is longer: it is the name of a file in a git repository.
const LONGEST: usize = 255;

/// Which tags are meant. `*` stands for any text, `{version}` for a semantic version; without the
/// latter the version is what the tag ends in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    before: String,
    /// What follows `{version}`, if it is there.
    after: Option<String>,
}

impl Pattern {
    /// Every tag that ends in a version.
    pub(super) fn any() -> Pattern {
        Pattern { before: "*".to_owned(), after: None }
    }

    /// Reads a pattern; nothing for a text that is one tag, without anything variable in it.
    pub(super) fn parse(text: &str) -> Result<Option<Pattern>, ConfigError> {
        let refused = |why: &str| {
            ConfigError::new(format!("the option `tag` {why}"))
                .hint("write it as `web-v{version}`, `web-*` or `v1.2.3`")
        };
        if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
            return Err(refused("is not a tag of 1 to 255 bytes"));
        }
        let (before, after) = match text.split_once(VERSION) {
            Some((before, after)) => (before, Some(after)),
            None => (text, None),
        };
        if [before, after.unwrap_or_default()].iter().any(|part| part.contains(['{', '}'])) {
            return Err(refused("has a brace that is not of one `{version}`"));
        }
        let variable = after.is_some() || before.contains('*');
        Ok(variable.then(|| Pattern { before: before.to_owned(), after: after.map(str::to_owned) }))
    }

    /// The version of `tag`, if it is meant and has one: of several readings the one that begins
    /// first, and of those the longest.
    pub(super) fn version(&self, tag: &str) -> Option<Version> {
        if tag.len() > LONGEST {
            return None;
        }
        let Some(after) = &self.after else {
            return fits(&self.before, tag).then(|| beginnings(tag).find_map(|at| Version::parse(&tag[at..]).ok()))?;
        };
        beginnings(tag).filter(|at| fits(&self.before, &tag[..*at])).find_map(|at| {
            let ends = (at + 1..=tag.len()).rev().filter(|end| tag.is_char_boundary(*end));
            ends.filter(|end| fits(after, &tag[*end..])).find_map(|end| Version::parse(&tag[at..end]).ok())
        })
    }
}

/// As it is configured.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.before)?;
        self.after.as_ref().map_or(Ok(()), |after| write!(f, "{VERSION}{after}"))
    }
}

/// Where a number begins.
fn beginnings(tag: &str) -> impl Iterator<Item = usize> {
    let bytes = tag.as_bytes();
    (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit() && (*at == 0 || !bytes[at - 1].is_ascii_digit()))
}

/// Whether `pattern`, with `*` for any text, describes the whole of `text`.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut rest = rest;
    while let Some((part, more)) = rest.split_once('*') {
        let Some(at) = text.find(part) else { return false };
        (text, rest) = (&text[at + part.len()..], more);
    }
    text.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(pattern: &str, tag: &str) -> Option<String> {
        Pattern::parse(pattern).unwrap().unwrap().version(tag).map(|version| version.to_string())
    }

    #[test]
    fn a_pattern_finds_the_version_of_a_tag() {
        let table = [
            ("v{version}", "v1.2.3", Some("1.2.3")),
            ("v{version}", "v1.2.3-rc.1+b5", Some("1.2.3-rc.1+b5")),
            ("web-v{version}", "web-v1.10.0", Some("1.10.0")),
            ("web-v{version}", "api-v1.10.0", None),
            ("web-v{version}", "web-v1.10", None),
            ("web-v{version}", "web-v01.1.0", None),
            ("{version}", "v1.2.3", None),
            ("{version}/web", "1.2.3/web", Some("1.2.3")),
            ("*{version}", "app-11.2.3", Some("11.2.3")),
            ("*-{version}-*", "web-1.2.3-linux", Some("1.2.3")),
            ("*-{version}*", "web-1.2.3-linux", Some("1.2.3-linux")),
            ("web-*", "web-v1.2.3", Some("1.2.3")),
            ("web-*", "web-nightly", None),
            ("*", "x64-1.2.3", Some("1.2.3")),
            ("*", "1.2.3_linux", None),
            ("a*b*c", "a1.0.0", None),
            ("v{version}", "v99999999999999999999.0.0", None),
            ("é*{version}", "éß1.2.3", Some("1.2.3")),
        ];
        for (pattern, tag, expected) in table {
            assert_eq!(version(pattern, tag).as_deref(), expected, "{pattern} of {tag}");
        }
    }

    #[test]
    fn a_plain_tag_is_no_pattern() {
        assert_eq!(Pattern::parse("v1.2.3"), Ok(None));
        assert!(Pattern::any().version("web/v1.2.3").is_some());
    }

    #[test]
    fn a_wrong_pattern_is_refused() {
        for bad in ["", "v{versoin}", "v{version}{version}", "v}", "v{", "a\nb", &"x".repeat(256)] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_long_tag_has_no_version() {
        assert_eq!(version("*", &format!("1.2.3-{}", "a".repeat(300))), None);
    }
}
