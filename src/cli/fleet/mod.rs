//! `fetchd fleet`: staged rollouts over a bucket.

mod doctor;

use clap::ArgMatches;
use fetchd_fetchers::Options;
use url::Url;

pub(super) use self::doctor::doctor;
use super::Failed;
use crate::failure::Reported;
use crate::fleet::store::BucketStore;
use crate::fleet::store::s3::Deletes;

/// The store that `--store` names. Nothing is asked of it yet.
fn store(matches: &ArgMatches) -> Result<BucketStore, Reported> {
    let text = matches.get_one::<String>("store").map(String::as_str).unwrap_or_default();
    let url = Url::parse(text).map_err(|error| Failed::Usage {
        message: format!("`{text}` is no URL: {error}"),
        hint: "write it as `s3://BUCKET/PREFIX?region=REGION`".to_owned(),
    })?;
    Ok(BucketStore::open(&url, &Options::new(), Deletes::Conditional)?)
}
