//! Options of a source: known names only, and never a value in an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Options of a source, by name; each may be given several times.
pub type Options = BTreeMap<String, Vec<String>>;

/// A source that cannot be opened as configured.
///
/// Neither text holds the value of an option: a value may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ConfigError {
    /// An error that says what is wrong.
    pub fn new(message: impl Into<String>) -> ConfigError {
        ConfigError { message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> ConfigError {
        self.hint = Some(hint.into());
        self
    }
}

/// Options whose names have been checked; the one way a fetcher reads them.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    options: &'a Options,
}

impl<'a> Known<'a> {
    /// Takes `options` if each of their names is among `names`; else names the first that is not,
    /// with the nearest that exists.
    pub fn check(options: &'a Options, names: &[&str]) -> Result<Known<'a>, ConfigError> {
        match options.keys().find(|given| !names.contains(&given.as_str())) {
            None => Ok(Known { options }),
            Some(unknown) => {
                Err(ConfigError::new(format!("unknown option `{}`", plain(unknown))).hint(suggestion(unknown, names)))
            }
        }
    }

    /// Every value of `name`, in the order given.
    pub fn all(&self, name: &str) -> &'a [String] {
        self.options.get(name).map_or(&[], Vec::as_slice)
    }

    /// The value of `name`; given more than once, it is refused.
    pub fn one(&self, name: &str) -> Result<Option<&'a str>, ConfigError> {
        match self.all(name) {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            many => Err(ConfigError::new(format!("the option `{name}` is given {} times, not once", many.len()))),
        }
    }

    /// The value of `name` as the path of a file. A relative one is refused.
    ///
    /// Where options are checked and where a source is read are two processes with two working
    /// directories: a relative path would name two files.
    pub fn path(&self, name: &str) -> Result<Option<PathBuf>, ConfigError> {
        self.one(name)?.map(|text| absolute(name, text)).transpose()
    }

    /// Every value of `name` as [`Known::path`] reads it, in the order given.
    pub fn paths(&self, name: &str) -> Result<Vec<PathBuf>, ConfigError> {
        self.all(name).iter().map(|text| absolute(name, text)).collect()
    }

    /// The value of `name` as a time such as `10s` or `1m30s`, or `default`.
    pub fn duration(&self, name: &str, default: Duration) -> Result<Duration, ConfigError> {
        match self.one(name)? {
            None => Ok(default),
            Some(value) => humantime::parse_duration(value).map_err(|_| {
                ConfigError::new(format!("the option `{name}` is not a time")).hint("write it as `10s` or `1m30s`")
            }),
        }
    }
}

fn absolute(name: &str, text: &str) -> Result<PathBuf, ConfigError> {
    let path = Path::new(text);
    // Not shown: where a path is meant, people paste the secret itself.
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    Err(ConfigError::new(format!("the option `{name}` is not an absolute path"))
        .hint("begin it with `/`: the process that reads the file has a working directory of its own"))
}

impl std::fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.options.keys()).finish()
    }
}

/// "did you mean" where one of `names` is near, then all of them.
pub(crate) fn suggestion(given: &str, names: &[&str]) -> String {
    let nearest = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), *name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min();
    let existing = match names {
        [] => "there are none".to_owned(),
        names => format!("there are {}", names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")),
    };
    match nearest {
        Some((_, name)) => format!("did you mean `{name}`? {existing}"),
        None => existing,
    }
}

/// `text` short enough and free of control characters, for a message.
pub(crate) fn plain(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// `number` with commas between thousands, for a message.
#[cfg(any(feature = "file", feature = "http", feature = "s3"))]
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        let mut options = Options::new();
        for (name, value) in pairs {
            options.entry((*name).to_owned()).or_default().push((*value).to_owned());
        }
        options
    }

    #[test]
    fn an_unknown_option_is_named_and_its_value_is_not() {
        let given = options(&[("haeder", "X-Key: hunter2")]);
        let error = Known::check(&given, &["header", "timeout"]).unwrap_err();
        assert_eq!(error.message, "unknown option `haeder`");
        assert_eq!(error.hint.as_deref(), Some("did you mean `header`? there are `header`, `timeout`"));
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn an_option_far_from_every_name_gets_no_guess() {
        let given = options(&[("zzz", "")]);
        let error = Known::check(&given, &["header"]).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("there are `header`"));
    }

    #[test]
    fn an_option_given_twice_is_refused_where_one_is_meant() {
        let given = options(&[("timeout", "1s"), ("timeout", "2s")]);
        let known = Known::check(&given, &["timeout"]).unwrap();
        assert_eq!(
            known.duration("timeout", Duration::ZERO).unwrap_err().message,
            "the option `timeout` is given 2 times, not once"
        );
    }

    #[test]
    fn a_relative_path_is_refused_without_its_value() {
        let given = options(&[("file", "/etc/a"), ("file", "hunter2"), ("one", "./hunter2"), ("none", "")]);
        let known = Known::check(&given, &["file", "one", "none", "other"]).unwrap();
        for error in [known.paths("file").unwrap_err(), known.path("one").unwrap_err(), known.path("none").unwrap_err()]
        {
            assert!(error.message.ends_with("is not an absolute path"), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        assert_eq!(known.path("other"), Ok(None));
        let given = options(&[("file", "/etc/a")]);
        assert_eq!(Known::check(&given, &["file"]).unwrap().path("file"), Ok(Some("/etc/a".into())));
    }

    #[test]
    fn a_time_that_is_none_is_refused_without_its_value() {
        let given = options(&[("timeout", "soonish")]);
        let known = Known::check(&given, &["timeout"]).unwrap();
        let error = known.duration("timeout", Duration::ZERO).unwrap_err();
        assert_eq!(error.message, "the option `timeout` is not a time");
        assert!(!format!("{known:?}{error:?}").contains("soonish"));
    }
}
