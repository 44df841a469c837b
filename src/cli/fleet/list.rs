//! `fetchd fleet releases` and `rollouts`: what lies in the bucket.

use clap::ArgMatches;
use serde::Serialize;

use super::open::Opened;
use crate::cli::Out;
use crate::failure::{Exit, Reported};
use crate::rollout::list::{self, Release, Rollout};

pub(super) fn releases(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let mut opened = Opened::new(matches, false)?;
    let (releases, more) = list::releases(&mut opened.desk(), limit(matches))?;
    if out.json() {
        out.object(&Answer { listed: Listed::Releases(&releases), more });
        return Ok(Exit::Done);
    }
    let wide = releases.iter().map(|release| release.release.len()).max().unwrap_or(0);
    for release in &releases {
        out.line(format!("{:wide$}  {}", release.release, said(release)));
    }
    if opened.offline.is_none() && !releases.is_empty() {
        out.line("with `--key`, the public key of releases, it is shown what their manifests say");
    }
    counted(releases.len(), more, "release", out);
    Ok(Exit::Done)
}

fn said(Release { published, described, trouble, current, .. }: &Release) -> String {
    let mut parts = vec![format!("published {published}")];
    if let Some(described) = described {
        parts.push(format!("number {}", described.seq));
        parts.push(match described.expires {
            Some(expires) => format!("good until {expires}"),
            None => "good for ever".to_owned(),
        });
        let back: Vec<String> = described.bounds.rollback_to.iter().map(ToString::to_string).collect();
        if !back.is_empty() {
            parts.push(format!("back to {}", back.join(", ")));
        }
        if described.yanked {
            parts.push("WITHDRAWN".to_owned());
        }
    }
    if let Some(code) = trouble {
        parts.push(format!("its manifest does not hold [{code}]"));
    }
    if *current {
        parts.push("rolled out now".to_owned());
    }
    parts.join(", ")
}

pub(super) fn rollouts(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let mut opened = Opened::new(matches, false)?;
    let (rollouts, more) = list::rollouts(&mut opened.desk(), limit(matches))?;
    if out.json() {
        out.object(&Answer { listed: Listed::Rollouts(&rollouts), more });
        return Ok(Exit::Done);
    }
    let wide = |of: &dyn Fn(&Rollout) -> usize| rollouts.iter().map(of).max().unwrap_or(0);
    let name = wide(&|one| one.rollout.len());
    let release = wide(&|one| one.release.as_ref().map_or(1, String::len));
    for one in &rollouts {
        let begun = one.begun.map_or("-".to_owned(), |begun| begun.to_string());
        let what = one.release.as_deref().unwrap_or("-");
        let word = one.outcome.word();
        out.line(format!("{:name$}  {what:release$}  {begun:<20}  {word:<8}  {}", one.rollout, became(one)).trim_end());
    }
    counted(rollouts.len(), more, "rollout", out);
    Ok(Exit::Done)
}

/// `11 started, 7 ok, 4 bad; it halted`.
fn became(one: &Rollout) -> String {
    if one.release.is_none() {
        return "nobody who is known has signed it".to_owned();
    }
    let hosts = one.hosts.as_ref().map_or("nobody has counted".to_owned(), |hosts| {
        let silent = if hosts.overdue > 0 { format!(", {} silent", hosts.overdue) } else { String::new() };
        format!("{} started, {} ok, {} bad{silent}", hosts.started, hosts.ok, hosts.bad)
    });
    let end = match (one.halted, one.complete) {
        (true, _) => "; it has halted",
        (false, true) => "; every host may have it",
        _ => "",
    };
    format!("{hosts}{end}")
}

/// What is listed, under its own name, and how many there are besides.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    listed: Listed<'a>,
    more: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Listed<'a> {
    Releases(&'a [Release]),
    Rollouts(&'a [Rollout]),
}

fn limit(matches: &ArgMatches) -> usize {
    matches.get_one("limit").copied().unwrap_or(usize::MAX)
}

fn counted(shown: usize, more: usize, what: &str, out: &mut Out) {
    let many = shown + more;
    let plural = if many == 1 { "" } else { "s" };
    out.line(match more {
        0 => format!("{many} {what}{plural}"),
        more => format!("{many} {what}{plural}, {more} of them not shown"),
    });
}
