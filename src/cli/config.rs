//! `fetchd config init`, `check` and `show`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use clap::ArgMatches;
use serde::Serialize;

use super::{Failed, Out, load, unwritable};
use crate::config::setting::Setting;
use crate::config::{
    self, BUILD_TARGET, Config, ConfigError, Effective, Layout, Origin, Place, Signature, Source, Trust, Value,
    reference,
};
use crate::daemon::setup;
use crate::failure::{Exit, Reported};
use crate::trust::{KeySet, PublicKey};
use crate::units;

pub(super) fn init(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let text = reference::template();
    let Some(path) = matches.get_one::<PathBuf>("file") else {
        out.bytes(text.as_bytes());
        return Ok(Exit::Done);
    };
    let force = matches.get_flag("force");
    let opened = OpenOptions::new().write(true).create(true).create_new(!force).truncate(force).open(path);
    let mut file = opened.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => Failed::Exists { path: path.clone() },
        _ => Failed::Write { path: path.clone(), source },
    })?;
    file.write_all(text.as_bytes()).map_err(unwritable(path))?;
    Ok(Exit::Done)
}

/// Reads everything that a start would read, key files included, and asks nobody: neither the source
/// nor the state directory is touched.
pub(super) fn check(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let settings = load(matches)?;
    let config = Config::of(&settings)?;
    let mut keys = None;
    if let Some(source) = &config.source {
        config::fetcher(&settings, source, &fetchd_fetchers::Registry::builtin())?;
        match &source.trust {
            Trust::Keys { .. } => keys = Some(config::key_set(&settings)?),
            Trust::KeySet { .. } => keys = setup::wanted(&settings, &config, source)?.keys.map(|k| k.release().clone()),
            Trust::Owner | Trust::Unsigned => {}
        }
    } else if let Some(path) = config::provisioned(&settings)? {
        keys = Some(config::trusted_keys(&settings, &path, &config.place.product)?.release().clone());
    } else if !settings.list("key").is_empty() {
        keys = Some(config::key_set(&settings)?);
    }
    let keynums: Vec<String> = keys.iter().flat_map(KeySet::keys).map(PublicKey::keynum).collect();
    let source = config.source.as_ref().map(|source| fetchd_fetchers::redact(&source.url));
    let Config { place, program, .. } = &config;
    if out.json() {
        #[derive(Serialize)]
        struct Checked<'a> {
            valid: bool,
            product: &'a str,
            program: &'a PathBuf,
            state_dir: &'a PathBuf,
            source: Option<String>,
            keys: Vec<String>,
        }
        out.object(&Checked {
            valid: true,
            product: &place.product,
            program: &program.path,
            state_dir: &place.state_dir,
            source,
            keys: keynums,
        });
        return Ok(Exit::Done);
    }
    out.line("the configuration is valid");
    let mut words = vec![program.path.display().to_string()];
    words.extend(program.args.iter().cloned());
    let listen = settings.list("listen");
    let on = if listen.is_empty() { String::new() } else { format!(", listening on {}", listen.join(" and ")) };
    out.line(format!("  runs      {} as {}{on}", words.join(" "), place.product));
    let is_fleet = config.source.as_ref().is_some_and(|source| source.fleet.is_some());
    match (&source, &config.source) {
        (Some(url), Some(Source { trust, .. })) => {
            let keys = keys.as_ref();
            let every = units::show_duration(config.schedule.interval);
            if is_fleet {
                // The setting looks as if it counted, and somebody would wait for it to.
                out.line(format!(
                    "  asks      {url} for {} releases, as often as the rollout's signed state says",
                    config.policy.channel
                ));
                out.line(format!("            (`interval`, {every}, counts only until there is one)"));
            } else {
                out.line(format!("  asks      {url} every {every} for {} releases", config.policy.channel));
            }
            out.line(format!("  believes  {}", believes(trust, keys)));
        }
        _ => out.line("  asks      nobody: nothing is fetched, only supervised"),
    }
    let where_to = match config.install.layout {
        Layout::Replace => "in its place",
        Layout::Releases { .. } => "beside it, with a symlink to the current one",
        Layout::External => "nowhere: somebody else does",
    };
    out.line(format!("  installs  {where_to}; its state is in {}", place.state_dir.display()));
    Ok(Exit::Done)
}

/// Whom, in a line.
fn believes(trust: &Trust, keys: Option<&KeySet>) -> String {
    match trust {
        Trust::Keys { signature, .. } | Trust::KeySet { signature, .. } => {
            let what = match signature {
                Signature::Bundle => "a bundle",
                Signature::Bound => "artifacts, bound to product, version and target,",
                Signature::Plain => "artifacts, bound to nothing,",
            };
            let keynums: Vec<String> = keys.iter().flat_map(|keys| keys.keys()).map(PublicKey::keynum).collect();
            let by = match (keynums.as_slice(), keys) {
                ([only], _) => only.clone(),
                (several, keys) => format!("{} of {}", keys.map_or(1, KeySet::threshold), several.join(", ")),
            };
            let until = if matches!(trust, Trust::KeySet { .. }) { ", and by whom newer key sets name" } else { "" };
            format!("{what} signed by {by}{until}")
        }
        Trust::Owner => "the owner of the file on this machine".to_owned(),
        Trust::Unsigned => "anybody: nothing is signed, for development only".to_owned(),
    }
}

pub(super) fn show(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let settings = load(matches)?;
    let rows = config::settings().map(|setting| Row::of(setting, &settings)).collect::<Result<Vec<_>, _>>()?;
    if out.json() {
        #[derive(Serialize)]
        struct Shown<'a> {
            file: Option<&'a std::path::Path>,
            settings: Vec<Row>,
        }
        out.object(&Shown { file: settings.file(), settings: rows });
        return Ok(Exit::Done);
    }
    for Row { key, value, origin, at } in rows {
        let origin = at.as_deref().unwrap_or(origin);
        match value {
            Some(value) => out.line(format!("{:<44} # {origin}", format!("{key} = {value}"))),
            None => out.line(format!("{:<44} # not set", format!("# {key}"))),
        }
    }
    Ok(Exit::Done)
}

/// One setting as it is shown.
#[derive(Serialize)]
struct Row {
    key: &'static str,
    /// As it would stand in the file.
    value: Option<String>,
    origin: &'static str,
    /// The file and the line, if it came from there.
    at: Option<String>,
}

impl Row {
    fn of(setting: &'static Setting, settings: &Effective) -> Result<Row, ConfigError> {
        let origin = settings.origin(setting.key);
        let value = match settings.value(setting.key) {
            Some(Value::Text(text)) if setting.key == "source" => Some(Value::Text(redacted(text))),
            Some(value) => Some(value.clone()),
            None => derived(setting.key, settings),
        };
        Ok(Row {
            key: setting.key,
            value: value.as_ref().map(reference::toml),
            origin: match origin {
                Origin::Flag => "flag",
                Origin::Environment => "environment",
                Origin::File(_) => "file",
                Origin::Program => "program",
                Origin::Default => "default",
            },
            at: matches!(origin, Origin::File(_)).then(|| origin.to_string()),
        })
    }
}

/// What is worked out when nobody sets it.
fn derived(key: &str, settings: &Effective) -> Option<Value> {
    match key {
        "target" => Some(Value::Text(BUILD_TARGET.to_owned())),
        "product" => Place::of(settings).ok().map(|place| Value::Text(place.product)),
        "state_dir" => Place::of(settings).ok().map(|place| Value::Path(place.state_dir)),
        "signature" => match Config::of(settings).ok()?.source?.trust {
            Trust::Keys { signature: Signature::Bundle, .. } | Trust::KeySet { signature: Signature::Bundle, .. } => {
                Some(Value::Text("bundle".to_owned()))
            }
            Trust::Keys { .. } | Trust::KeySet { .. } => Some(Value::Text("bound".to_owned())),
            Trust::Owner | Trust::Unsigned => None,
        },
        _ => None,
    }
}

/// The source without what may be secret in it; one that is not a URL is not shown at all.
fn redacted(source: &str) -> String {
    match url::Url::parse(source) {
        // A relative file source stays relative.
        Ok(url) if url.scheme() == "file" => source.split('?').next().unwrap_or_default().to_owned(),
        Ok(url) => fetchd_fetchers::redact(&url),
        Err(_) => "***".to_owned(),
    }
}
