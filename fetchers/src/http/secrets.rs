//! Headers that only the source's own origin may see.

use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName};
use url::Url;

use crate::net::{contents, sensitive, warn_if_open};
use crate::options::{ConfigError, Known, plain};

/// Headers the fetcher decides itself; configured ones would break conditions or resuming.
const OWN: [&str; 11] = [
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "range",
    "te",
    "transfer-encoding",
];

/// Configured headers. Files are read for each request, so that a token can be renewed in place.
#[derive(Clone, Default)]
pub(super) struct Secrets {
    fixed: HeaderMap,
    header_files: Vec<PathBuf>,
    bearer_file: Option<PathBuf>,
    basic_file: Option<PathBuf>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Secrets {
    /// Takes the secrets of `options` and the user information of `url`, and tries them once.
    pub(super) fn read(url: &Url, options: Known<'_>) -> Result<Secrets, ConfigError> {
        let mut secrets = Secrets {
            fixed: HeaderMap::new(),
            header_files: options.paths("header_file")?,
            bearer_file: options.path("bearer_file")?,
            basic_file: options.path("basic_file")?,
        };
        for line in options.all("header") {
            add_line(&mut secrets.fixed, line)
                .map_err(|why| ConfigError::new(format!("the option `header` {why}")).hint(LINE))?;
        }
        if !url.username().is_empty() || url.password().is_some() {
            let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
            let user = [&decoded(url.username())[..], b":", &decoded(url.password().unwrap_or(""))].concat();
            add_authorization(&mut secrets.fixed, "Basic ", &STANDARD.encode(user), "the URL")?;
        }
        secrets.headers()?;
        for (option, file) in secrets.files() {
            warn_if_open(option, file);
        }
        Ok(secrets)
    }

    /// Each file with the option that names it.
    fn files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let headers = self.header_files.iter().map(|file| ("header_file", file));
        let bearer = self.bearer_file.iter().map(|file| ("bearer_file", file));
        let basic = self.basic_file.iter().map(|file| ("basic_file", file));
        headers.chain(bearer).chain(basic)
    }

    /// Whether any is configured.
    pub(super) fn exist(&self) -> bool {
        !self.fixed.is_empty()
            || !self.header_files.is_empty()
            || self.bearer_file.is_some()
            || self.basic_file.is_some()
    }

    /// All of them, as headers whose Debug hides the value.
    pub(super) fn headers(&self) -> Result<HeaderMap, ConfigError> {
        let mut headers = self.fixed.clone();
        for file in &self.header_files {
            let lines = contents("header_file", file)?;
            for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                add_line(&mut headers, line)
                    .map_err(|why| ConfigError::new(format!("a line of the `header_file` {why}")).hint(LINE))?;
            }
        }
        if let Some(file) = &self.bearer_file {
            add_authorization(&mut headers, "Bearer ", contents("bearer_file", file)?.trim(), "`bearer_file`")?;
        }
        if let Some(file) = &self.basic_file {
            let user = contents("basic_file", file)?;
            if !user.contains(':') {
                return Err(ConfigError::new("the `basic_file` does not hold `user:password`"));
            }
            let user = STANDARD.encode(user.trim_end_matches(['\r', '\n']));
            add_authorization(&mut headers, "Basic ", &user, "`basic_file`")?;
        }
        Ok(headers)
    }
}

const LINE: &str = "write it as `Name: value`";

fn add_line(headers: &mut HeaderMap, line: &str) -> Result<(), String> {
    let (name, value) = line.split_once(':').ok_or("has no `:`")?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| "has a name that no header can have")?;
    if OWN.contains(&name.as_str()) {
        return Err(format!("sets `{}`, which fetchd sets itself", plain(name.as_str())));
    }
    if name == AUTHORIZATION && headers.contains_key(AUTHORIZATION) {
        return Err("sets `authorization` a second time".to_owned());
    }
    headers.append(name, sensitive(value.trim()).ok_or("has a value that no header can have")?);
    Ok(())
}

fn add_authorization(headers: &mut HeaderMap, scheme: &str, credentials: &str, from: &str) -> Result<(), ConfigError> {
    if headers.contains_key(AUTHORIZATION) {
        return Err(ConfigError::new(format!("{from} sets `authorization` a second time"))
            .hint("use one of `header`, `bearer_file`, `basic_file` and `user:password@` in the URL"));
    }
    let value = sensitive(&format!("{scheme}{credentials}"));
    let value = value.filter(|_| !credentials.is_empty());
    headers.insert(
        AUTHORIZATION,
        value.ok_or_else(|| ConfigError::new(format!("{from} holds no credentials that fit into one header line")))?,
    );
    Ok(())
}
