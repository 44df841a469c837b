//! Scheme → fetcher, as a value built in `main`.

use std::collections::BTreeMap;
use std::path::Path;

use url::Url;

use crate::fetcher::Fetcher;
use crate::options::{ConfigError, Options, plain, suggestion};

/// Makes a fetcher from its URL and options, or says what is wrong with them. It does no I/O on
/// the network and starts nothing.
pub type Make = fn(&Url, &Options) -> Result<Box<dyn Fetcher>, ConfigError>;

/// The fetchers that exist.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    makers: BTreeMap<String, Make>,
}

/// The scheme has a fetcher already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scheme `{0}` is registered already")]
pub struct SchemeTaken(pub String);

impl Registry {
    /// Those compiled in: one for each feature of this crate that is on.
    pub fn builtin() -> Registry {
        let makers: &[(&str, Make)] = &[
            #[cfg(feature = "file")]
            ("file", crate::file::make),
            #[cfg(feature = "http")]
            ("http", crate::http::make),
            #[cfg(feature = "http")]
            ("https", crate::http::make),
            #[cfg(feature = "s3")]
            ("s3", crate::s3::make),
            #[cfg(feature = "github")]
            ("github", crate::github::make),
        ];
        Registry { makers: makers.iter().map(|(scheme, make)| ((*scheme).to_owned(), *make)).collect() }
    }

    /// Adds one. The scheme is as it stands before the `:` of a URL, in lower case.
    pub fn register(&mut self, scheme: &str, make: Make) -> Result<(), SchemeTaken> {
        if self.makers.contains_key(scheme) {
            return Err(SchemeTaken(scheme.to_owned()));
        }
        self.makers.insert(scheme.to_owned(), make);
        Ok(())
    }

    /// The schemes there are, in alphabetical order.
    pub fn schemes(&self) -> Vec<&str> {
        self.makers.keys().map(String::as_str).collect()
    }

    /// Opens a source. An unknown scheme is an error that lists those that exist.
    pub fn open(&self, source: &Url, options: &Options) -> Result<Box<dyn Fetcher>, ConfigError> {
        match self.makers.get(source.scheme()) {
            Some(make) => make(source, options),
            None => Err(ConfigError::new(format!("no fetcher for `{}:`", plain(source.scheme())))
                .hint(suggestion(source.scheme(), &self.schemes()))),
        }
    }
}

/// The variables of the environment that the built-in fetcher of `scheme` reads, besides those of
/// proxies and certificates: where its credentials come from.
pub fn variables(scheme: &str) -> &'static [&'static str] {
    match scheme {
        #[cfg(feature = "s3")]
        "s3" => crate::s3::VARIABLES,
        #[cfg(feature = "github")]
        "github" => crate::github::VARIABLES,
        _ => &[],
    }
}

/// A source as an operator writes it, as a URL.
///
/// `file:rel` is resolved against the working directory here, once: a URL of this scheme is
/// always absolute, so [`Url::parse`] would read it as `/rel`. A text without a scheme is refused
/// with the text that was probably meant.
pub fn parse_source(text: &str) -> Result<Url, ConfigError> {
    if let Some(relative) = text.strip_prefix("file:").filter(|rest| !rest.starts_with('/')) {
        if relative.is_empty() {
            return Err(ConfigError::new("`file:` names no file").hint("write `file:/srv/app/stable.fetchd`"));
        }
        let here = std::env::current_dir()
            .map_err(|error| ConfigError::new(format!("the working directory cannot be found: {error}")))?;
        return relative_to(&here, relative).ok_or_else(|| ConfigError::new("the source is not a valid URL"));
    }
    Url::parse(text).map_err(|error| {
        let refused = ConfigError::new(format!("the source is not a valid URL: {error}"));
        match error {
            url::ParseError::RelativeUrlWithoutBase if !text.contains(['@', '?']) => {
                refused.hint(format!("for a file write `file:{}`", plain(text)))
            }
            _ => refused.hint("a source looks like `file:/srv/app` or `https://dl.example.com/stable.fetchd`"),
        }
    })
}

fn relative_to(here: &Path, relative: &str) -> Option<Url> {
    // The `./` keeps a first component such as `a:b` from being read as a scheme.
    Url::from_directory_path(here).ok()?.join(&format!("./{relative}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scheme_lists_those_that_exist() {
        let mut registry = Registry::default();
        registry.register("https", |_, _| Err(ConfigError::new("never"))).unwrap();
        registry.register("file", |_, _| Err(ConfigError::new("never"))).unwrap();
        let error = registry.open(&Url::parse("htps://example.com/app").unwrap(), &Options::new()).unwrap_err();
        assert_eq!(error.message, "no fetcher for `htps:`");
        assert_eq!(error.hint.as_deref(), Some("did you mean `https`? there are `file`, `https`"));
    }

    #[test]
    fn a_scheme_is_registered_once() {
        let mut registry = Registry::default();
        registry.register("x", |_, _| Err(ConfigError::new("never"))).unwrap();
        let again = registry.register("x", |_, _| Err(ConfigError::new("never")));
        assert_eq!(again, Err(SchemeTaken("x".to_owned())));
    }

    #[test]
    fn a_relative_file_is_resolved_against_the_working_directory() {
        let here = std::env::current_dir().unwrap();
        let url = parse_source("file:some dir/app?settle=0s").unwrap();
        assert_eq!(url.to_file_path().unwrap(), here.join("some dir/app"));
        assert_eq!(url.query(), Some("settle=0s"));
    }

    #[test]
    fn absolute_forms_name_the_same_file() {
        assert_eq!(parse_source("file:/srv/app").unwrap(), parse_source("file:///srv/app").unwrap());
    }

    #[test]
    fn a_path_without_a_scheme_is_refused_with_what_was_meant() {
        let error = parse_source("./app").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("for a file write `file:./app`"));
        assert!(!format!("{:?}", parse_source("//ann:hunter2@example.com/app")).contains("hunter2"));
    }
}
