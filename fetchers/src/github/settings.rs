//! A GitHub source as configured.

use std::time::Duration;

use url::Url;

use super::api::Api;
use super::tag::Pattern;
use super::token::Token;
use crate::net::{Client, Settings, positive};
use crate::options::{ConfigError, Known, Options};
use crate::redact::redact;

/// The options a GitHub source takes.
const OPTIONS: [&str; 13] = [
    "api",
    "ca_file",
    "channel",
    "connect_timeout",
    "connections",
    "parallel_from",
    "part_size",
    "proxy",
    "read_timeout",
    "tag",
    "timeout",
    "token_file",
    "user_agent",
];

/// Where github.com has its API.
const PUBLIC: &str = "https://api.github.com";

/// Which release is polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The one that GitHub calls the latest: neither draft nor prerelease.
    Latest,
    /// The one of this very tag.
    Tag(String),
    /// The one with the newest version among the tags of a pattern.
    Newest { pattern: Pattern, prereleases: bool },
}

/// A source, checked.
pub(super) struct Source {
    pub(super) api: Api,
    pub(super) wanted: Wanted,
    /// For one poll, with its redirects and pages.
    pub(super) timeout: Duration,
    /// How connections are made, for one more client.
    pub(super) connection: Settings,
}

/// Reads a source from its URL, `options` and the environment.
pub(super) fn read(url: &Url, options: &Options) -> Result<Source, ConfigError> {
    let (owner, repository) = place(url)?;
    let mut options = options.clone();
    for (name, value) in url.query_pairs() {
        if name == "proxy" && value.contains('@') {
            return Err(ConfigError::new("the query holds a `proxy` with credentials, which other users could see")
                .hint("write it into `[source.options]`"));
        }
        options.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    if options.contains_key("token") {
        return Err(ConfigError::new("unknown option `token`: a token is not an option")
            .hint("put it into a file and name that with `token_file`, or set `GITHUB_TOKEN`"));
    }
    let options = Known::check(&options, &OPTIONS)?;
    let base = base(options)?;
    let wanted = wanted(options)?;
    let token = Token::read(options, |name| std::env::var(name).ok())?;
    let mut source = url.clone();
    source.set_query(None);
    if token.exists() && base.scheme() == "http" {
        tracing::warn!(source = redact(&source), "the token for this source travels unencrypted; use https");
    }
    let connection = Settings::read(options)?;
    let timeout = positive(options, "timeout", 30)?;
    let client = Client::build(connection.clone(), &base)?;
    Ok(Source { api: Api { source, base, owner, repository, token, client }, wanted, timeout, connection })
}

/// The owner and the repository that `url` names.
fn place(url: &Url) -> Result<(String, String), ConfigError> {
    let refused = |why: &str| {
        ConfigError::new(format!("`{}` {why}", redact(url))).hint("a source looks like `github://owner/repository`")
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ConfigError::new("the source holds credentials before the `@`")
            .hint("put the token into a file and name that with `token_file`, or set `GITHUB_TOKEN`"));
    }
    if url.fragment().is_some() {
        return Err(refused("has a `#`, which means nothing here"));
    }
    let Some(owner) = url.host_str().filter(|_| url.port().is_none()) else {
        return Err(refused("names no owner"));
    };
    let path = url.path().strip_prefix('/').unwrap_or_default();
    let repository = path.strip_suffix('/').unwrap_or(path);
    if repository.contains('/') {
        return Err(refused("has more than an owner and a repository"));
    }
    let plain = |text: &str, more: &str, longest: usize| {
        (1..=longest).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    if !plain(owner, "-_", 100) || owner.starts_with('-') {
        return Err(refused("names an owner that GitHub cannot have"));
    }
    if repository.ends_with(".git") {
        return Err(refused("ends in `.git`, which is not part of the name"));
    }
    if !plain(repository, "-_.", 100) || matches!(repository, "." | "..") {
        return Err(refused("names a repository that GitHub cannot have"));
    }
    Ok((owner.to_owned(), repository.to_owned()))
}

fn base(options: Known<'_>) -> Result<Url, ConfigError> {
    let text = options.one("api")?.unwrap_or(PUBLIC);
    let refused = |why: &str| {
        ConfigError::new(format!("the option `api` {why}"))
            .hint("write `https://ghes.example.com/api/v3`, or leave it out for github.com")
    };
    let url = Url::parse(text).map_err(|_| refused("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("is neither `http:` nor `https:`"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(refused("is more than a host and a path"));
    }
    if matches!(url.host_str(), Some("github.com" | "www.github.com")) {
        return Err(refused("is the site, not the API"));
    }
    Ok(url)
}

fn wanted(options: Known<'_>) -> Result<Wanted, ConfigError> {
    let prereleases = match options.one("channel")? {
        None | Some("stable") => false,
        Some("prerelease") => true,
        Some(_) => return Err(ConfigError::new("the option `channel` is neither `stable` nor `prerelease`")),
    };
    let Some(tag) = options.one("tag")? else {
        let pattern = Pattern::any();
        return Ok(if prereleases { Wanted::Newest { pattern, prereleases } } else { Wanted::Latest });
    };
    Ok(match Pattern::parse(tag)? {
        Some(pattern) => Wanted::Newest { pattern, prereleases },
        None => Wanted::Tag(tag.to_owned()),
    })
}
