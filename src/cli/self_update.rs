//! `fetchd self-update`.

use clap::ArgMatches;
use fetchd_fetchers::Registry;
use serde::Serialize;

use super::apply::Bar;
use super::settings::load_with;
use super::{Out, load, logging};
use crate::agent::{Outcome, named};
use crate::config::{Config, ConfigError, Given, fetcher};
use crate::daemon::setup;
use crate::embed::{Process, self_update as update};
use crate::failure::{Exit, Reported};

/// Replaces this program's own file by its newest release, or says whether there is one.
pub(super) fn self_update(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    logging::start(&own(&load(matches)?)?);
    let process = Process::this();
    let path = process.program()?.to_str().ok_or_else(|| ConfigError::Missing {
        what: "the path of fetchd itself is not valid UTF-8".to_owned(),
        hint: "install it elsewhere".to_owned(),
    })?;
    let insists = [("program", Given::List(vec![path.to_owned()])), ("product", Given::Text(PRODUCT.to_owned()))];
    let settings = load_with(matches, insists)?;
    let config = Config::of(&settings)?;
    let source = config.require_source()?;
    fetcher(&settings, source, &Registry::builtin())?;
    let wanted = setup::wanted(&settings, &config, source)?;
    let version = semver::Version::parse(env!("CARGO_PKG_VERSION")).ok();
    let outcome = if matches.get_flag("check") {
        update::look(&config, wanted, version)?
    } else {
        update::pass(&config, wanted, version, &mut Bar::on_terminal(out.json()))?
    };
    show(&outcome, out);
    Ok(outcome.exit())
}

/// Fails if these are a service's settings: its state is not ours, and its source is not fetchd's.
fn own(settings: &crate::config::Effective) -> Result<crate::config::Effective, ConfigError> {
    let service = settings.text("product").filter(|product| *product != PRODUCT);
    if service.is_some() || !settings.list("program").is_empty() {
        return Err(ConfigError::Conflict {
            what: "these settings are of a service, and fetchd itself is to be updated".to_owned(),
            hint: "give `--source` and `--key` of fetchd's own releases, without the service's file".to_owned(),
        });
    }
    Ok(settings.clone())
}

#[derive(Serialize)]
struct Shown<'a> {
    outcome: &'a str,
    version: Option<String>,
    message: String,
    error: Option<Reported>,
}

fn show(outcome: &Outcome, out: &mut Out) {
    let message = match outcome {
        Outcome::Updated { from, to, .. } => {
            let (to, from) = (named(to.as_ref()), named(from.as_ref()));
            format!(
                "{to} is installed instead of {from}; a supervisor that runs stays what it is until it is started again"
            )
        }
        other => other.sentence(),
    };
    if out.json() {
        let (error, version) = (outcome.held_back().cloned(), outcome.version().map(ToString::to_string));
        return out.object(&Shown { outcome: outcome.word(), version, message, error });
    }
    out.line(message);
    if let Some(hint) = outcome.held_back().and_then(|why| why.hint.as_ref()) {
        out.line(format!("hint: {hint}"));
    }
}

/// The name that releases of fetchd itself are signed for.
const PRODUCT: &str = "fetchd";
