//! `fetchd fleet init`: the online key, and a look at the bucket.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde::Serialize;

use super::open::names;
use crate::cli::keys::public_keys;
use crate::cli::release::{path, signing_key, word};
use crate::cli::{Failed, Out, load, password};
use crate::clock::Timestamp;
use crate::failure::{Exit, Reported};
use crate::fleet::Feature;
use crate::fleet::store::{Request, Store as _, What};
use crate::publish::{PASSWORD_ENV, Protection, keygen_at};
use crate::rollout::Desk;
use crate::trust::{KeySet, PublicKey};

pub(super) fn init(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let settings = load(matches)?;
    let mut store = super::store(matches)?;
    let names = names(&store, &settings)?;
    let key = if matches.get_flag("make-key") { Some(made(matches)?) } else { known(matches)? };
    let set = match &key {
        Some(key) => KeySet::new(vec![key.clone()], 1)?,
        None => {
            let message = "there is no online key yet".to_owned();
            let hint = "make one with `--make-key`, or give `--fleet-key KEY`".to_owned();
            return Err(Failed::Usage { message, hint }.into());
        }
    };
    let head = match store.ask(Request::Head { key: names.head() }).what {
        What::Failed(trouble) => {
            let (code, message) = (trouble.code.clone(), format!("the bucket cannot be read: {trouble}"));
            return Err(Reported { code, exit: Exit::Unreachable, message, hint: None });
        }
        what => !matches!(what, What::Absent),
    };
    let mut desk = Desk::new(&mut store, names, set, Timestamp::now());
    let caps = desk.caps()?;
    let lacks: Vec<&str> = match &caps {
        None => Vec::new(),
        Some(caps) => {
            Feature::ALL.into_iter().filter(|needed| caps.allows(*needed).is_err()).map(Feature::name).collect()
        }
    };
    let public = key.as_ref().map(ToString::to_string).unwrap_or_default();
    let url = super::url(matches)?;
    let source = format!("fleet+{url}");
    let examined = caps.is_some();
    if out.json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            head: bool,
            examined: bool,
            lacks: &'a [&'a str],
            source: &'a str,
            rollout_key: &'a str,
        }
        out.object(&Answer { head, examined, lacks: &lacks, source: &source, rollout_key: &public });
        return Ok(Exit::Done);
    }
    out.line(if head {
        "there is a rollout in this bucket already"
    } else {
        "no rollout was started in this bucket yet"
    });
    match (examined, lacks.as_slice()) {
        (false, _) => {
            out.line("nobody has asked what the store can do; find out with:");
            out.line(format!("  fetchd fleet doctor --store {}", word(url.as_str())));
        }
        (true, []) => out.line("the store can do what a fleet needs"),
        (true, lacks) => out.line(format!("the store cannot do what these need: {}", lacks.join(", "))),
    }
    out.line("give every host, beside the key of releases:");
    out.line(format!("  --source {} --fleet-key {}", word(&source), word(&public)));
    Ok(Exit::Done)
}

fn file<'a>(matches: &'a ArgMatches, id: &str) -> Option<&'a Path> {
    matches.get_one::<PathBuf>(id).map(PathBuf::as_path)
}

/// Makes the online key.
fn made(matches: &ArgMatches) -> Result<PublicKey, Reported> {
    let secret = file(matches, "rollout-key").unwrap_or(Path::new("rollout.key"));
    let public = file(matches, "public-key").unwrap_or(Path::new("rollout.pub"));
    for path in [secret, public] {
        if path.symlink_metadata().is_ok() {
            let message = format!("`{}` exists already", path.display());
            let hint = "a key is never replaced; name other files, or leave `--make-key` out".to_owned();
            return Err(Failed::Usage { message, hint }.into());
        }
    }
    let protection = if matches.get_flag("no-password") {
        Protection::None
    } else {
        let without = format!("set `{PASSWORD_ENV}`, run this on a terminal, or use `--no-password`");
        Protection::Password(password::choose("Password of the new key", &without)?)
    };
    let made = keygen_at(secret, public, protection, false)?;
    let (number, secret) = (made.key.keynum(), path(&made.secret));
    crate::cli::out::say(&format!("made the online key {number}: secret {secret}, public {}", path(&made.public)));
    Ok(made.key)
}

fn known(matches: &ArgMatches) -> Result<Option<PublicKey>, Reported> {
    if let Some(key) = public_keys(matches, "fleet-key")?.into_iter().next() {
        return Ok(Some(key));
    }
    file(matches, "rollout-key").map(|path| signing_key(path).map(|key| key.public().clone())).transpose()
}
