//! `fetchd verify`: a bundle or an artifact, looked at as a host would.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde::Serialize;

use super::{ErrorBody, Failed, Out, load, out, release};
use crate::clock::Timestamp;
use crate::config::{self, Effective, Origin};
use crate::failure::{Exit, Reported, report};
use crate::publish::{self, Checked, Listed, ListedArtifact, Mode, Says, Step, VerifyOptions};
use crate::trust::bundle::Bundle;
use crate::trust::{KeyDocument, TrustedKeys};
use crate::units::show_duration;

pub(super) fn verify(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let settings = load(matches)?;
    let Some(file) = matches.get_one::<PathBuf>("file") else { return Ok(Exit::Usage) };
    let signature = matches.get_one::<PathBuf>("minisig").map(PathBuf::as_path);
    let provisioned = trusted_keys(&settings)?;
    let keys = match &provisioned {
        Some(provisioned) => provisioned.release().clone(),
        None => config::key_set(&settings)?,
    };
    release::readable(file)?;
    if let Some(signature) = signature {
        release::readable(signature)?;
    }
    let now = Timestamp::now();
    let mut checked = publish::verify(&VerifyOptions {
        file,
        signature,
        keys: &keys,
        mode: match settings.text("signature") {
            Some("bundle") => Some(Mode::Bundle),
            Some("bound") => Some(Mode::Bound),
            Some("plain") => Some(Mode::Plain),
            _ => None,
        },
        product: settings.text("product").or(provisioned.as_ref().map(|keys| keys.document().product.as_str())),
        channel: given(&settings, "channel"),
        target: given(&settings, "target"),
        epoch: provisioned.as_ref().map(TrustedKeys::epoch),
        now,
    })?;
    if keys.threshold() > 1 && checked.mode != Mode::Bundle {
        let message = "a `.minisig` file holds one signature, and more are asked for".to_owned();
        let hint = "drop `--threshold`, or publish a bundle".to_owned();
        return Err(Failed::Usage { message, hint }.into());
    }
    if let Some(refused) = &mut checked.refused {
        refused.hint.get_or_insert_with(|| advice(refused.exit).to_owned());
    }
    if out.json() {
        json(file, &checked, out);
    } else {
        text(file, &checked, now, out);
    }
    Ok(match &checked.refused {
        Some(refused) => {
            out::say(&report(refused));
            refused.exit
        }
        None => Exit::Done,
    })
}

/// The key set of `--keys`, of the product that is asked for or else of its own.
fn trusted_keys(settings: &Effective) -> Result<Option<TrustedKeys>, Reported> {
    let Some(path) = config::provisioned(settings)? else { return Ok(None) };
    release::readable(&path)?;
    let claimed = || {
        let bundle = Bundle::parse(&std::fs::read(&path).ok()?).ok()?;
        KeyDocument::parse(bundle.claimed_payload()).ok().map(|document| document.product)
    };
    let product = settings.text("product").map(str::to_owned).or_else(claimed).unwrap_or_default();
    Ok(Some(config::trusted_keys(settings, &path, &product)?))
}

/// The value of `key` if somebody set it; the file itself says it otherwise.
fn given<'a>(settings: &'a Effective, key: &str) -> Option<&'a str> {
    settings.text(key).filter(|_| *settings.origin(key) != Origin::Default)
}

/// What to do about a refusal that does not say it itself.
fn advice(exit: Exit) -> &'static str {
    match exit {
        Exit::Rollback => "it is signed, and for something else: `fetchd inspect` shows what it says it is",
        Exit::Stale => "the publisher signs it again: `fetchd publish` without a release renews the manifest",
        Exit::Content => "get it again from where it was published",
        _ => "do not use it; get it again, and compare the key with the publisher's by another way",
    }
}

fn text(file: &Path, checked: &Checked, now: Timestamp, out: &mut Out) {
    let kind = match checked.mode {
        Mode::Bundle => "bundle",
        _ if checked.steps.len() < 2 => "artifact",
        Mode::Bound => "artifact, bound signature",
        Mode::Plain => "artifact, plain signature",
    };
    out.line(format!("{} ({kind})", file.display()));
    for Step { check, held, found } in &checked.steps {
        out.line(format!("  {}  {check:<14}  {found}", if *held { "ok" } else { "NO" }));
    }
    if !checked.holds() {
        out.line("refused: a host would not install from it");
        return;
    }
    out.line(format!("good: signed by {}", checked.signed_by.join(" and ")));
    match &checked.says {
        Some(says) => bound(checked.mode, says, now, out),
        None => out.line("  binds neither product, version nor target: what it is, only the file's name says"),
    }
}

fn bound(mode: Mode, says: &Says, now: Timestamp, out: &mut Out) {
    let until = match says.expires {
        Some(expires) => format!("until {expires} ({} left)", days(expires.since(now))),
        None => "for ever".to_owned(),
    };
    if mode != Mode::Bundle {
        for Listed { version, artifacts, .. } in &says.releases {
            let targets: Vec<&str> = artifacts.iter().map(|artifact| artifact.target.as_str()).collect();
            out.line(format!("  binds {} {version} on {} for {}", says.product, says.channel, targets.join(", ")));
        }
        out.line(format!("  good  {until}"));
        return;
    }
    let number = says.seq.unwrap_or_default();
    let epoch = if says.epoch > 0 { format!(" of epoch {}", says.epoch) } else { String::new() };
    out.line(format!("  binds {} on {}, number {number}{epoch}, good {until}", says.product, says.channel));
    if let Some(least) = &says.min_version {
        out.line(format!("  never below {least}"));
    }
    out.line(if says.releases.is_empty() { "releases: none" } else { "releases, newest first:" });
    for Listed { version, yanked, revoked, artifacts } in &says.releases {
        let fate = match revoked {
            Some(reason) => format!("  revoked: {reason}"),
            None if *yanked => "  yanked".to_owned(),
            None => String::new(),
        };
        let list: Vec<String> = artifacts.iter().map(artifact).collect();
        out.line(format!("  {version}  {}{fate}", list.join(", ")));
    }
}

fn artifact(artifact: &ListedArtifact) -> String {
    format!("{} ({})", artifact.target, release::size(artifact.size))
}

/// In days, where it is some.
fn days(left: std::time::Duration) -> String {
    match left.as_secs() / 86_400 {
        0 => show_duration(left),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

fn json(file: &Path, checked: &Checked, out: &mut Out) {
    #[derive(Serialize)]
    struct Answer<'a> {
        file: &'a Path,
        holds: bool,
        mode: Mode,
        signed_by: &'a [String],
        says: Option<&'a Says>,
        steps: &'a [Step],
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<ErrorBody<'a>>,
    }
    out.object(&Answer {
        file,
        holds: checked.holds(),
        mode: checked.mode,
        signed_by: &checked.signed_by,
        says: checked.says.as_ref(),
        steps: &checked.steps,
        error: checked.refused.as_ref().map(ErrorBody::of),
    });
}
