//! The token, and where it comes from.

use std::fmt;
use std::path::PathBuf;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::net::{contents, sensitive, warn_if_open};
use crate::options::{ConfigError, Known};

/// The variables that a token is taken from; the first that is set counts.
const VARIABLES: [&str; 2] = ["GITHUB_TOKEN", "GH_TOKEN"];

/// What the requests are signed with.
#[derive(Clone)]
pub(super) enum Token {
    /// Nothing: the source is public.
    None,
    /// A header from the environment.
    Fixed(HeaderValue),
    /// The `token_file`, read anew for each request.
    File(PathBuf),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Token {
    /// The token that is configured, tried once. `environment` looks up a variable.
    pub(super) fn read(options: Known<'_>, environment: impl Fn(&str) -> Option<String>) -> Result<Token, ConfigError> {
        if options.one("token_file")? == Some("none") {
            return Ok(Token::None);
        }
        if let Some(file) = options.path("token_file")? {
            let token = Token::File(file.clone());
            token.headers()?;
            warn_if_open("token_file", &file);
            return Ok(token);
        }
        let set =
            VARIABLES.iter().find_map(|name| Some((name, environment(name)?)).filter(|(_, it)| !it.trim().is_empty()));
        match set {
            None => Ok(Token::None),
            Some((name, token)) => Ok(Token::Fixed(bearer(&format!("`{name}` of the environment"), &token)?)),
        }
    }

    /// Whether there is one.
    pub(super) fn exists(&self) -> bool {
        !matches!(self, Token::None)
    }

    /// The header to send it in.
    pub(super) fn headers(&self) -> Result<HeaderMap, ConfigError> {
        let value = match self {
            Token::None => return Ok(HeaderMap::new()),
            Token::Fixed(value) => value.clone(),
            Token::File(file) => bearer("the `token_file`", &contents("token_file", file)?)?,
        };
        Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }
}

fn bearer(from: &str, token: &str) -> Result<HeaderValue, ConfigError> {
    let token = token.trim();
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    sensitive(&format!("Bearer {token}"))
        .filter(|_| fits)
        .ok_or_else(|| ConfigError::new(format!("{from} holds no token: one word is needed")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    fn token(pairs: &'static [(&str, &str)]) -> Result<Token, ConfigError> {
        let options = Options::new();
        let known = Known::check(&options, &[]).unwrap();
        Token::read(known, |name| pairs.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned()))
    }

    fn sent(token: Token) -> Option<String> {
        let headers = token.headers().unwrap();
        headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_first_variable_that_is_set_counts() {
        assert_eq!(sent(token(&[]).unwrap()), None);
        assert_eq!(sent(token(&[("GH_TOKEN", "two")]).unwrap()).as_deref(), Some("Bearer two"));
        let both = token(&[("GH_TOKEN", "two"), ("GITHUB_TOKEN", "one\n")]).unwrap();
        assert_eq!(sent(both).as_deref(), Some("Bearer one"));
        let empty = token(&[("GH_TOKEN", "two"), ("GITHUB_TOKEN", "")]).unwrap();
        assert_eq!(sent(empty).as_deref(), Some("Bearer two"));
    }

    #[test]
    fn a_token_that_is_none_is_refused_by_its_origin() {
        let error = token(&[("GITHUB_TOKEN", "hunter2 hunter3")]).unwrap_err();
        assert_eq!(error.message, "`GITHUB_TOKEN` of the environment holds no token: one word is needed");
        assert!(!format!("{error:?}").contains("hunter"));
    }
}
