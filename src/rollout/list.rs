//! What lies in the bucket: its releases, and its rollouts with what became of them.

use std::collections::BTreeMap;

use semver::Version;
use serde::Serialize;

use super::{Desk, RolloutError};
use crate::clock::Timestamp;
use crate::failure::Failure as _;
use crate::fleet::head::{self, Head};
use crate::fleet::plan::Phase;
use crate::fleet::rollup::Count;
use crate::fleet::rule;
use crate::trust::manifest::Bounds;

/// The most keys that are looked at.
const MOST: usize = 200_000;

/// A release that lies in the bucket.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Release {
    /// Its directory.
    pub release: String,
    /// When its manifest was written.
    pub published: Timestamp,
    /// What its manifest says; `None` = the keys of releases are not known, or it does not hold.
    pub described: Option<Described>,
    /// Why its manifest does not hold: a stable code.
    pub trouble: Option<&'static str>,
    /// It is what the rollout in force brings.
    pub current: bool,
}

/// What a manifest says of its release.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Described {
    /// Its version.
    pub version: Version,
    /// The number of its manifest.
    pub seq: u64,
    /// When it stops being good.
    pub expires: Option<Timestamp>,
    /// Its publisher has withdrawn it.
    pub yanked: bool,
    /// How fast a fleet may be brought to it, and to which versions its hosts may be sent back.
    pub bounds: Bounds,
}

/// A rollout that was begun in this bucket.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rollout {
    /// What it is called.
    pub rollout: String,
    /// The release it brings; `None` = nobody who is known has signed its last state.
    pub release: Option<String>,
    /// When it began.
    pub begun: Option<Timestamp>,
    /// When its last state was signed.
    pub changed: Timestamp,
    /// The number of its last state.
    pub seq: u64,
    /// How it stands, or how it ended.
    pub outcome: Outcome,
    /// It stopped because it went wrong, and nobody has acknowledged that.
    pub halted: bool,
    /// Its last step has passed: every host may have it.
    pub complete: bool,
    /// Hosts, as they were counted last; `None` = nobody has counted, or that was removed.
    pub hosts: Option<Count>,
}

/// How a rollout stands, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is the one in force.
    Running,
    /// It is, and was paused.
    Paused,
    /// It is, and has halted.
    Halted,
    /// It is, and its signed state has expired.
    Expired,
    /// An operator has said that it is done.
    Done,
    /// An operator has ended it.
    Aborted,
    /// Another was begun while it went on.
    Replaced,
    /// Nobody who is known has signed its last state.
    Unknown,
}

impl Outcome {
    /// The word, as JSON has it too.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Running => "running",
            Outcome::Paused => "paused",
            Outcome::Halted => "halted",
            Outcome::Expired => "expired",
            Outcome::Done => "done",
            Outcome::Aborted => "aborted",
            Outcome::Replaced => "replaced",
            Outcome::Unknown => "unknown",
        }
    }
}

/// The releases of this product, the newest first; at most `most`, and how many more there are. Those of another channel
/// are left out, as far as their manifests can be read.
pub fn releases(desk: &mut Desk<'_>, most: usize) -> Result<(Vec<Release>, usize), RolloutError> {
    let prefix = desk.names.releases();
    let manifest = |key: &str| {
        let release = key[prefix.len()..].strip_suffix("/manifest.json")?;
        (!release.contains('/')).then(|| release.to_owned())
    };
    let keys = desk.keys(&prefix, MOST)?;
    let mut there: Vec<(String, Timestamp)> = keys.iter().filter_map(|(key, at)| Some((manifest(key)?, *at))).collect();
    there.sort_by(|a, b| (b.1, &b.0).cmp(&(a.1, &a.0)));
    let more = there.len().saturating_sub(most);
    let current = desk.head()?.map(|found| found.head.release);
    let mut found = Vec::new();
    for (release, published) in there.into_iter().take(most) {
        let current = current.as_ref() == Some(&release);
        let (described, trouble) = match desk.offline.is_some().then(|| desk.release(&release)).transpose() {
            Ok(Some(of)) => {
                let super::Described { version, bounds, seq, yanked, expires } = of;
                (Some(Described { version, seq, expires, yanked, bounds }), None)
            }
            Ok(None) => (None, None),
            Err(store @ (RolloutError::Store { .. } | RolloutError::Unconfirmed { .. })) => return Err(store),
            Err(other) if other.code() == "manifest.wrong_channel" => continue,
            Err(other) => (None, Some(other.code())),
        };
        found.push(Release { release, published, described, trouble, current });
    }
    Ok((found, more))
}

/// The rollouts of this product and channel, the newest first; at most `most`, and how many more there are in the bucket.
pub fn rollouts(desk: &mut Desk<'_>, most: usize) -> Result<(Vec<Rollout>, usize), RolloutError> {
    let prefix = desk.names.rollouts();
    // Of each its last state: copies are written once and stay.
    let mut last: BTreeMap<String, (u64, Timestamp)> = BTreeMap::new();
    for (key, at) in desk.keys(&prefix, MOST)? {
        let Some((rollout, file)) = key[prefix.len()..].split_once('/') else { continue };
        let number =
            file.strip_prefix("plan-").and_then(|rest| rest.strip_suffix(".json")).and_then(|n| n.parse().ok());
        let Some(seq) = number else { continue };
        let kept = last.entry(rollout.to_owned()).or_insert((seq, at));
        if seq > kept.0 {
            *kept = (seq, at);
        }
    }
    let current = desk.head()?.map(|found| found.head);
    let mut all: Vec<(String, (u64, Timestamp))> = last.into_iter().collect();
    all.sort_by_key(|a| std::cmp::Reverse((a.1.1, a.1.0)));
    let (mut found, mut read) = (Vec::new(), 0);
    for (rollout, (seq, changed)) in &all {
        if found.len() == most {
            break;
        }
        read += 1;
        let key = desk.names.plan(rollout, Some(*seq));
        let Some((file, _)) = desk.get(&key, head::MAX_FILE as u64)? else { continue };
        match Head::open(&file, &desk.online, &desk.names) {
            Ok(head) => found.push(of(desk, &head, *changed, current.as_ref())?),
            // Another product's, or another channel's, in the same bucket.
            Err(refused) if matches!(refused.code(), "head.wrong_product" | "head.wrong_channel") => {}
            Err(_) => found.push(unknown(rollout, *seq, *changed)),
        }
    }
    Ok((found, all.len() - read))
}

fn of(desk: &mut Desk<'_>, head: &Head, changed: Timestamp, current: Option<&Head>) -> Result<Rollout, RolloutError> {
    let rollup = desk.rollup(head)?;
    let in_force = current.is_some_and(|current| current.rollout == head.rollout);
    let last = rule::places(head).last();
    let passed = last.and_then(|last| rollup.as_ref()?.step(last)?.passed_at).is_some();
    let halted = desk.halted(head)?.is_some();
    let outcome = match head.state {
        Phase::Done => Outcome::Done,
        Phase::Aborted => Outcome::Aborted,
        _ if !in_force => Outcome::Replaced,
        Phase::Halted => Outcome::Halted,
        _ if halted => Outcome::Halted,
        Phase::Paused => Outcome::Paused,
        Phase::Running if desk.now() > head.valid_until => Outcome::Expired,
        Phase::Running => Outcome::Running,
    };
    Ok(Rollout {
        rollout: head.rollout.clone(),
        release: Some(head.release.clone()),
        begun: Some(head.t0),
        changed,
        seq: head.seq,
        outcome,
        halted,
        complete: passed || head.state == Phase::Done,
        hosts: rollup.map(|rollup| rollup.total()),
    })
}

fn unknown(rollout: &str, seq: u64, changed: Timestamp) -> Rollout {
    Rollout {
        rollout: rollout.to_owned(),
        release: None,
        begun: None,
        changed,
        seq,
        outcome: Outcome::Unknown,
        halted: false,
        complete: false,
        hosts: None,
    }
}
