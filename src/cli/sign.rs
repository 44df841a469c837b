//! `fetchd sign`: a signature beside each artifact.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use semver::Version;
use serde::Serialize;

use super::release::{self, Expiry, path, signing_key, word};
use super::{Failed, Out, load};
use crate::clock::Timestamp;
use crate::config::{self, BUILD_TARGET, Effective};
use crate::failure::{Exit, Reported, chain};
use crate::fetch::measure;
use crate::publish::{BoundTo, Comment, PublishError, SignOptions, SigningKey, sign_file};
use crate::trust::Format;

pub(super) fn sign(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let settings = load(matches)?;
    let force = matches.get_flag("force");
    let files: Vec<&PathBuf> = matches.get_many("files").unwrap_or_default().collect();
    let mut work = Vec::new();
    for &file in &files {
        release::readable(file)?;
        let mut signature = file.clone().into_os_string();
        signature.push(".minisig");
        let signature = PathBuf::from(signature);
        if !force && signature.symlink_metadata().is_ok() {
            return Err(Failed::Exists { path: signature }.into());
        }
        work.push((file, comment(matches, &settings, file)?));
    }
    let Some(secret) = matches.get_one::<PathBuf>("secret-key") else { return Ok(Exit::Usage) };
    let key = signing_key(secret)?;
    let mut signed = Vec::new();
    for (file, comment) in work {
        let bound = match &comment {
            Comment::Bound(to) => Some((**to).clone()),
            Comment::Default | Comment::Free(_) => None,
        };
        let signature = sign_file(&SignOptions { key: &key, file, comment, output: None, overwrite: force })?;
        signed.push(Signed { file, signature, bound });
    }
    if out.json() {
        json(&key, &signed, out)
    } else {
        text(&key, &signed, out)
    }
    Ok(Exit::Done)
}

/// One file that was signed.
struct Signed<'a> {
    file: &'a Path,
    signature: PathBuf,
    bound: Option<BoundTo>,
}

fn comment(matches: &ArgMatches, settings: &Effective, file: &Path) -> Result<Comment, Reported> {
    let Some(version) = matches.get_one::<Version>("release") else {
        let text = matches.get_one::<String>("comment").cloned().unwrap_or_default();
        if text.chars().any(|c| c.is_control() && c != '\t') {
            let hint = "write it on one line".to_owned();
            return Err(Failed::Usage { message: "the comment holds a control character".to_owned(), hint }.into());
        }
        return Ok(if text.is_empty() { Comment::Default } else { Comment::Free(text) });
    };
    let target = settings.text("target").unwrap_or(BUILD_TARGET);
    release::for_target(settings, file, target)?;
    let format = Format::of_name(&file.to_string_lossy());
    let entry = matches.get_one::<String>("entry").filter(|_| format.is_archive()).cloned();
    if matches.contains_id("entry") && entry.is_none() {
        return Err(PublishError::Usage(format!("`{}` is no archive and has no entry", file.display())).into());
    }
    // Bound as well, so that the binary can be checked again long after the artifact is gone.
    let (digest, _) = measure(file, format, entry.as_deref())
        .map_err(|failure| PublishError::Unpack { path: file.to_owned(), why: chain(&failure) })?;
    let now = Timestamp::now();
    let expires = matches.get_one::<Expiry>("expires").and_then(|expiry| expiry.0);
    Ok(Comment::Bound(Box::new(BoundTo {
        product: config::product(settings)?,
        version: version.clone(),
        channel: settings.text("channel").unwrap_or_default().to_owned(),
        target: target.to_owned(),
        issued: Some(now),
        expires: expires.map(|after| now.plus(after)),
        seq: matches.get_one::<u64>("seq").copied(),
        entry,
        binsha256: Some(digest),
    })))
}

fn text(key: &SigningKey, signed: &[Signed<'_>], out: &mut Out) {
    for one in signed {
        out.line(format!("signed {} with the key {}", one.file.display(), key.public().keynum()));
        match &one.bound {
            Some(BoundTo { product, version, channel, target, expires, .. }) => {
                out.line(format!("  binds   {product} {version} on {channel} for {target}"));
                out.line(match expires {
                    Some(expires) => format!("  good    until {expires}"),
                    None => "  good    for ever, and so can an old source go on offering it".to_owned(),
                });
            }
            None => out.line("  binds   nothing: hosts need `signature = \"plain\"`"),
        }
        out.line(format!("  wrote   {}", one.signature.display()));
    }
    if let Some(first) = signed.first() {
        out.line("check it with:");
        let product = first.bound.as_ref().map(|to| format!(" --product {}", word(&to.product))).unwrap_or_default();
        out.line(format!("  fetchd verify --key {}{product} {}", key.public(), path(first.file)));
    }
}

fn json(key: &SigningKey, signed: &[Signed<'_>], out: &mut Out) {
    #[derive(Serialize)]
    struct Answer<'a> {
        keynum: String,
        key: String,
        signed: Vec<One<'a>>,
    }
    #[derive(Serialize)]
    struct One<'a> {
        file: &'a Path,
        signature: &'a Path,
        bound: Option<Binds<'a>>,
    }
    #[derive(Serialize)]
    struct Binds<'a> {
        product: &'a str,
        version: String,
        channel: &'a str,
        target: &'a str,
        issued: Option<Timestamp>,
        expires: Option<Timestamp>,
        seq: Option<u64>,
        entry: Option<&'a str>,
        binary_sha256: Option<crate::digest::Sha256>,
    }
    let signed = signed.iter().map(|one| One {
        file: one.file,
        signature: &one.signature,
        bound: one.bound.as_ref().map(|to| Binds {
            product: &to.product,
            version: to.version.to_string(),
            channel: &to.channel,
            target: &to.target,
            issued: to.issued,
            expires: to.expires,
            seq: to.seq,
            entry: to.entry.as_deref(),
            binary_sha256: to.binsha256,
        }),
    });
    let signed = signed.collect();
    out.object(&Answer { keynum: key.public().keynum(), key: key.public().to_string(), signed });
}
