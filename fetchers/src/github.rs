//! `github:`: the releases of a repository.

use url::Url;

use crate::fetcher::Fetcher;
use crate::options::{ConfigError, Options};

/// The variables that a token is taken from.
pub(crate) const VARIABLES: &[&str] = &["GH_TOKEN", "GITHUB_TOKEN"];

/// Opens a `github:` source. Options come from the URL's query and from `options` alike.
pub fn make(_: &Url, _: &Options) -> Result<Box<dyn Fetcher>, ConfigError> {
    Err(ConfigError::new("not written yet"))
}
