//! `fetchd inspect`: what a file says, with nothing believed.

use std::path::PathBuf;

use clap::ArgMatches;
use serde::Serialize;
use serde_json::Value;

use super::release::{path, size};
use super::{Out, load, release};
use crate::failure::{Exit, Reported};
use crate::publish;

pub(super) fn inspect(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    load(matches)?;
    let Some(file) = matches.get_one::<PathBuf>("file") else { return Ok(Exit::Usage) };
    release::readable(file)?;
    let shown = publish::inspect(file)?;
    if out.json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            file: &'a PathBuf,
            #[serde(flatten)]
            shown: &'a Value,
        }
        out.object(&Answer { file, shown: &shown });
        return Ok(Exit::Done);
    }
    let kind = said(&shown["kind"]);
    let unverified = if shown["verified"].is_boolean() { ", nothing of it verified" } else { "" };
    out.line(format!("{} ({kind}{unverified})", file.display()));
    match kind.as_str() {
        "public key" => {
            out.line(format!("  number  {}", said(&shown["keynum"])));
            out.line(format!("  --key   {}", said(&shown["key"])));
        }
        "secret key" => {
            let how = if shown["encrypted"] == true { "with a password" } else { "by nothing but its mode" };
            out.line(format!("  protected {how}; it is not shown"));
        }
        "signature" => signature(&shown, out),
        _ => {
            for one in shown["signatures"].as_array().into_iter().flatten() {
                signature(one, out);
            }
            out.line(format!("  sha256     {}", said(&shown["sha256"])));
            manifest(&shown["manifest"], out);
        }
    }
    if !unverified.is_empty() {
        let of = if kind == "signature" { path(&file.with_extension("")) } else { path(file) };
        out.line("check it with:");
        out.line(format!("  fetchd verify --key FILE.pub {of}"));
    }
    Ok(Exit::Done)
}

fn signature(shown: &Value, out: &mut Out) {
    if let Some(trouble) = shown.as_str() {
        return out.line(format!("  signature that cannot be read: {trouble}"));
    }
    out.line(format!("  signed     by the key {}, it says", said(&shown["keynum"])));
    match shown["fields"].as_object() {
        Some(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                out.line(format!("  {name:<9}  {}", said(value)));
            }
        }
        _ => out.line(format!("  comment    {}", said(&shown["comment"]).replace('\t', "  "))),
    }
}

fn manifest(manifest: &Value, out: &mut Out) {
    for name in ["product", "channel", "epoch", "seq", "issued", "expires", "min_version"] {
        if !manifest[name].is_null() {
            out.line(format!("  {name:<11}{}", said(&manifest[name])));
        }
    }
    for one in manifest["revoked"].as_array().into_iter().flatten() {
        let what = if one["version"].is_string() { &one["version"] } else { &one["sha256"] };
        out.line(format!("  revoked    {}: {}", said(what), said(&one["reason"])));
    }
    for one in manifest["releases"].as_array().into_iter().flatten() {
        let mut words = Vec::new();
        for mark in ["yanked", "critical"] {
            if one[mark] == true {
                words.push(mark.to_owned());
            }
        }
        if !one["min_from"].is_null() {
            words.push(format!("from {}", said(&one["min_from"])));
        }
        if let Some(percent) = one["rollout"]["percent"].as_u64() {
            words.push(format!("to {percent} % of the hosts"));
        }
        let words = if words.is_empty() { String::new() } else { format!("  ({})", words.join(", ")) };
        out.line(format!("  release    {}{words}", said(&one["version"])));
        for artifact in one["artifacts"].as_array().into_iter().flatten() {
            let urls: Vec<String> = artifact["urls"].as_array().into_iter().flatten().map(said).collect();
            let bytes = size(artifact["size"].as_u64().unwrap_or_default());
            out.line(format!("    {}  {bytes}  {}", said(&artifact["target"]), urls.join(" ")));
        }
    }
}

/// A claim as it may be shown on a terminal: no control characters, whatever the file holds.
fn said(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
