//! `fetchd fleet`: staged rollouts over a bucket.

mod change;
mod confirm;
mod doctor;
mod gc;
mod init;
mod list;
mod look;
mod open;
mod plan;
mod publish;
mod serve;
mod simulate;
mod status;
mod steward;

use clap::ArgMatches;
use fetchd_fetchers::Options;
use url::Url;

use super::{Act, Failed};
use crate::failure::Reported;
use crate::fleet::store::BucketStore;
use crate::fleet::store::s3::Deletes;

/// The commands and the functions that carry them out.
pub(super) const DISPATCH: &[(&str, Act)] = &[
    ("fleet doctor", doctor::doctor),
    ("fleet init", init::init),
    ("fleet publish", publish::publish),
    ("fleet start", plan::start),
    ("fleet rollback", plan::rollback),
    ("fleet pause", change::pause),
    ("fleet resume", change::resume),
    ("fleet promote", change::promote),
    ("fleet skip-step", change::skip_step),
    ("fleet abort", change::abort),
    ("fleet finish", change::finish),
    ("fleet pin", change::pin),
    ("fleet unpin", change::unpin),
    ("fleet retry", change::retry),
    ("fleet renew", change::renew),
    ("fleet status", status::status),
    ("fleet serve", serve::serve),
    ("fleet releases", list::releases),
    ("fleet rollouts", list::rollouts),
    ("fleet hosts", look::hosts),
    ("fleet explain", look::explain),
    ("fleet steward", steward::steward),
    ("fleet gc", gc::gc),
    ("fleet simulate", simulate::simulate),
];

/// The variable that stands for `--store`.
const STORE: &str = "FETCHD_FLEET_STORE";

/// The URL that `--store` names, or the variable.
fn url(matches: &ArgMatches) -> Result<Url, Reported> {
    let given = matches.get_one::<String>("store").cloned().or_else(|| std::env::var(STORE).ok());
    let hint = || "write it as `s3://BUCKET/PREFIX?region=REGION`".to_owned();
    let Some(text) = given.filter(|text| !text.is_empty()) else {
        let message = format!("it is not known where the fleet is: give `--store URL`, or set `{STORE}`");
        return Err(Failed::Usage { message, hint: hint() }.into());
    };
    // Hosts are given it with `fleet+` before it, and that is what lies at hand.
    let plain = text.strip_prefix("fleet+").unwrap_or(&text);
    Url::parse(plain)
        .map_err(|error| Failed::Usage { message: format!("`{text}` is no URL: {error}"), hint: hint() }.into())
}

/// The store that is named. Nothing is asked of it yet.
fn store(matches: &ArgMatches) -> Result<BucketStore, Reported> {
    Ok(BucketStore::open(&url(matches)?, &Options::new(), Deletes::Conditional)?)
}
