//! Finding a version in what a program prints.

use std::fmt;
use std::str::FromStr;

use semver::Version;

/// The text around the version, with `{version}` in its place, such as `app {version}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    before: String,
    after: String,
}

/// The text does not hold `{version}` exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version pattern holds `{{version}}` exactly once")]
pub struct NotAPattern;

impl FromStr for Pattern {
    type Err = NotAPattern;

    fn from_str(text: &str) -> Result<Pattern, NotAPattern> {
        let (before, after) = text.split_once(PLACE).ok_or(NotAPattern)?;
        if after.contains(PLACE) {
            return Err(NotAPattern);
        }
        Ok(Pattern { before: before.to_owned(), after: after.to_owned() })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{PLACE}{}", self.before, self.after)
    }
}

/// The first whole token of `text` that is a version, where `pattern` allows it.
pub(super) fn find(text: &str, pattern: Option<&Pattern>) -> Option<Version> {
    tokens(text, pattern).find_map(|token| Version::parse(bare(token)).ok())
}

/// Whether `version` stands in `text` as a whole token, where `pattern` allows it.
pub(super) fn names(text: &str, version: &Version, pattern: Option<&Pattern>) -> bool {
    let version = version.to_string();
    tokens(text, pattern).any(|token| token == version || bare(token) == version)
}

/// The longest runs of characters a version can be made of.
fn tokens<'a>(text: &'a str, pattern: Option<&'a Pattern>) -> impl Iterator<Item = &'a str> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + text[rest..].find(belongs)?;
        let length = text[start..].find(|c| !belongs(c)).unwrap_or(text.len() - start);
        rest = start + length;
        Some((start, rest))
    })
    .filter(move |(start, end)| {
        pattern.is_none_or(|pattern| {
            let (before, after) = (&text[..*start], &text[*end..]);
            // What stands around must itself begin and end with a whole token.
            before
                .strip_suffix(pattern.before.as_str())
                .is_some_and(|further| !(pattern.before.starts_with(belongs) && further.ends_with(belongs)))
                && after
                    .strip_prefix(pattern.after.as_str())
                    .is_some_and(|further| !(pattern.after.ends_with(belongs) && further.starts_with(belongs)))
        })
    })
    .map(move |(start, end)| &text[start..end])
}

fn belongs(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-')
}

fn bare(token: &str) -> &str {
    token.strip_prefix('v').unwrap_or(token)
}

const PLACE: &str = "{version}";

#[cfg(test)]
mod tests {
    use super::*;

    fn has(text: &str, version: &str) -> bool {
        names(text, &version.parse().unwrap(), None)
    }

    #[test]
    fn a_version_counts_as_a_whole_token_only() {
        for text in ["1.2.3", "app 1.2.3\n", "v1.2.3", "app (1.2.3)", "INFO starting\nwarn: x\napp 1.2.3, built today"]
        {
            assert!(has(text, "1.2.3"), "{text}");
        }
        for text in ["", "1.2.30", "11.2.3", "1.2.3-rc.1", "1.2.3+x", "a1.2.3", "1.2.3.4", "vv1.2.3", "1 2 3", "1.2"] {
            assert!(!has(text, "1.2.3"), "{text}");
        }
        assert!(has("app 2.0.0-rc.1+build.7 (linux)", "2.0.0-rc.1+build.7"));
        assert!(!has("app 2.0.0-rc.1", "2.0.0-rc.1+build.7"));
        assert!(has("größe → 1.2.3 →", "1.2.3"));
    }

    #[test]
    fn the_first_version_is_found() {
        assert_eq!(find("2026-11-22 INFO up\napp v1.4.2 (rustc 1.95.0)", None), Some(Version::new(1, 4, 2)));
        assert_eq!(find("no version here 1.2", None), None);
    }

    #[test]
    fn a_pattern_says_where() {
        let pattern: Pattern = "app {version}".parse().unwrap();
        let text = "rustc 1.95.0, app 1.4.2, myapp 9.9.9";
        assert_eq!(find(text, Some(&pattern)), Some(Version::new(1, 4, 2)));
        assert!(!names(text, &Version::new(9, 9, 9), Some(&pattern)));
        assert!(!names(text, &Version::new(1, 95, 0), Some(&pattern)));
        assert_eq!(pattern.to_string(), "app {version}");
        assert_eq!("app".parse::<Pattern>(), Err(NotAPattern));
        assert_eq!("{version} {version}".parse::<Pattern>(), Err(NotAPattern));
    }
}
