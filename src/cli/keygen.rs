//! `fetchd keygen`: a key pair to sign releases with.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde::Serialize;

use super::release::{path, word};
use super::{Failed, Out, load, password};
use crate::config::BUILD_TARGET;
use crate::failure::{Exit, Reported};
use crate::publish::{PASSWORD_ENV, Protection, keygen_at};

pub(super) fn keygen(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    load(matches)?;
    let file = |id: &str| matches.get_one::<PathBuf>(id).map(PathBuf::as_path).unwrap_or(Path::new(""));
    let (secret, public) = (file("secret-key"), file("public-key"));
    let (force, bare) = (matches.get_flag("force"), matches.get_flag("no-password"));
    // Asked before the password is, so that nobody types one in vain.
    for path in [secret, public] {
        if !force && path.symlink_metadata().is_ok() {
            return Err(Failed::Exists { path: path.to_owned() }.into());
        }
    }
    let protection = if bare {
        Protection::None
    } else {
        let without = format!("set `{PASSWORD_ENV}`, run this on a terminal, or use `--no-password`");
        Protection::Password(password::choose("Password of the new key", &without)?)
    };
    let made = keygen_at(secret, public, protection, force)?;
    if out.json() {
        #[derive(Serialize)]
        struct Made<'a> {
            keynum: String,
            key: String,
            secret_key: &'a Path,
            public_key: &'a Path,
            encrypted: bool,
        }
        out.object(&Made {
            keynum: made.key.keynum(),
            key: made.key.to_string(),
            secret_key: &made.secret,
            public_key: &made.public,
            encrypted: !bare,
        });
        return Ok(Exit::Done);
    }
    let kept = if bare { "not encrypted: its mode 0600 is all that protects it" } else { "encrypted" };
    out.line(format!("made the key {}", made.key.keynum()));
    out.line(format!("  secret  {}  ({kept})", made.secret.display()));
    out.line(format!("  public  {}", made.public.display()));
    out.line("Keep a copy of the secret key where no server can reach it: without it there is no next release.");
    out.line("");
    out.line("publish with:");
    let secret = path(&made.secret);
    out.line(format!(
        "  fetchd publish --to DIR --secret-key {secret} --product NAME --release 1.0.0 {BUILD_TARGET}=FILE"
    ));
    out.line("give every host:");
    out.line(format!("  --key {}", word(&made.key.to_string())));
    Ok(Exit::Done)
}
