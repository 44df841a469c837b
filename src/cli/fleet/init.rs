//! `fetchd fleet init`: the online key, and a look at the bucket.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde::Serialize;

use super::open::names;
use crate::cli::keys::public_keys;
use crate::cli::release::{path, signing_key, word};
use crate::cli::{Failed, Out, load, password};
use crate::failure::{Exit, Reported};
use crate::fleet::Feature;
use crate::fleet::caps::{self, Caps};
use crate::fleet::store::{Request, Store as _, Trouble, What};
use crate::publish::{PASSWORD_ENV, Protection, keygen_at};
use crate::trust::PublicKey;

pub(super) fn init(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let settings = load(matches)?;
    let mut store = super::store(matches)?;
    let names = names(&store, &settings)?;
    // The bucket first: a key that was made for one that cannot be reached would only be in the way of the next try.
    let head = match store.ask(Request::Head { key: names.head() }).what {
        What::Failed(trouble) => return Err(unreadable(&trouble)),
        what => !matches!(what, What::Absent),
    };
    let caps = match store.ask(Request::Get { key: names.caps(), unless: None, limit: caps::MAX_FILE }).what {
        What::Failed(trouble) => return Err(unreadable(&trouble)),
        What::Object { body, .. } => Some(Caps::read(&body)?),
        _ => None,
    };
    let key = if matches.get_flag("make-key") { Some(made(matches)?) } else { known(matches)? };
    if key.is_none() {
        let message = "there is no online key yet".to_owned();
        let hint = "make one with `--make-key`, or give `--fleet-key KEY`".to_owned();
        return Err(Failed::Usage { message, hint }.into());
    }
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

fn unreadable(trouble: &Trouble) -> Reported {
    let hint = match trouble.code.as_str() {
        "source.not_found" => "make the bucket first, and look at its name and region",
        _ => "look at the URL, at the credentials and at what they may do",
    };
    let message = format!("the bucket cannot be read: {trouble}");
    Reported { code: trouble.code.clone(), exit: Exit::Unreachable, message, hint: Some(hint.to_owned()) }
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
