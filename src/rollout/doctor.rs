//! What a store can do, found out by trying it: many servers that speak S3 take a condition and do not look at it.
//!
//! Experiments are made below `probe/`, with keys nobody else has, and removed afterwards. What was found out is
//! written to `caps.json`, and hosts go by it.

mod probe;
mod race;

use std::fmt::Write as _;

use serde::Serialize;

use self::probe::Probe;
use crate::clock::Timestamp;
use crate::failure::Exit;
use crate::fleet::caps::{Caps, MAX_FILE, Tier};
use crate::fleet::store::s3::Carrier;
use crate::fleet::store::{Request, Trouble, What};
use crate::trust::Refused;

/// What was found out about a store.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// Where it is: `s3://bucket/prefix`.
    pub store: String,
    /// What becomes `caps.json`.
    pub caps: Caps,
    /// Everything that was tried, in order.
    pub checks: Vec<Check>,
    /// What could not be cleaned up, if anything: a prefix.
    pub left: Option<String>,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: two or three words.
    pub check: &'static str,
    /// How it went.
    pub found: Found,
    /// What the store did.
    pub result: String,
    /// What that means for a fleet.
    pub means: &'static str,
}

/// How something that was tried went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// As on Amazon's.
    Ok,
    /// Otherwise, and nothing of a fleet depends on it.
    Info,
    /// Otherwise, and fetchd goes another way.
    Note,
    /// Not at all: some of a fleet cannot be had there.
    Lacks,
}

impl Found {
    /// As one word.
    pub fn word(self) -> &'static str {
        match self {
            Found::Ok => "ok",
            Found::Info => "info",
            Found::Note => "note",
            Found::Lacks => "LACKS",
        }
    }
}

/// Tries what a fleet needs of the store.
///
/// Fails with `fleet.doctor` (30) if the store cannot be asked at all, or stops answering. Takes some hundred requests.
pub async fn examine(carrier: &Carrier, now: Timestamp) -> Result<Diagnosis, Refused> {
    is_there(carrier).await?;
    let nonce = nonce()?;
    let probe = Probe::new(carrier, &nonce);
    let tried = probe.all(now).await;
    // Also after a failure.
    let left = probe.clean_up().await;
    let checks = tried?;
    let found = |check: &str| checks.iter().find(|one| one.check == check).map(|one| one.found);
    let ok = |check: &str| matches!(found(check), Some(Found::Ok));
    let conditions = probe::CONDITIONS.iter().all(|check| ok(check));
    let worst = checks.iter().map(|check| check.found);
    let tier = if !conditions || worst.clone().any(|found| found == Found::Lacks) {
        Tier::FetchOnly
    } else if worst.clone().any(|found| found == Found::Note) {
        Tier::WithNotes
    } else {
        Tier::All
    };
    let caps = Caps {
        v: 1,
        tier,
        at: now,
        fetchd: env!("CARGO_PKG_VERSION").to_owned(),
        nonce,
        conditions,
        conditional_delete: ok(probe::DELETE),
        quoted_tags: ok(probe::QUOTES),
        not_modified: ok(probe::NOT_MODIFIED),
        lists: ok(probe::LIST),
        checksums: ok(probe::CHECKSUM),
    };
    let store = carrier.bucket().url_of(&carrier.prefix()).to_string();
    Ok(Diagnosis { store, caps, checks, left })
}

/// Fails unless the bucket is there: some servers make one for whoever writes to it, and one that is only mistyped would be
/// examined, found good, and stay.
async fn is_there(carrier: &Carrier) -> Result<(), Refused> {
    let first = Request::List { prefix: carrier.names().caps(), after: None, limit: 1 };
    match carrier.carry(first).await.what {
        What::Failed(trouble) if trouble.code == "source.not_found" => {
            let message = format!("there is no bucket at `{}`", carrier.bucket().url_of(&carrier.prefix()));
            let hint = "make it first, or correct its name; nothing was written";
            Err(Refused::new("fleet.doctor", Exit::Unreachable, message).hint(hint))
        }
        What::Failed(trouble) => Err(failed("the bucket cannot be listed", &trouble)),
        _ => Ok(()),
    }
}

/// Writes what was found out to `caps.json`.
///
/// Fails with `fleet.doctor` (30) if the store does not take it, and with `fleet.conflict` (21) if somebody else
/// wrote it at the same time.
pub async fn write_down(carrier: &Carrier, caps: &Caps) -> Result<(), Refused> {
    let (key, body) = (carrier.names().caps(), caps.to_file());
    let ask = async |request: Request| match carrier.carry(request).await.what {
        What::Failed(trouble) => Err(failed("`caps.json` cannot be written", &trouble)),
        what => Ok(what),
    };
    let there = ask(Request::Get { key: key.clone(), unless: None, limit: MAX_FILE }).await?;
    let written = match there {
        What::Object { tag, .. } => ask(Request::Replace { key, body, tag }).await?,
        _ => ask(Request::Create { key, body }).await?,
    };
    match written {
        What::Written(_) => Ok(()),
        _ => {
            let message = "somebody else wrote `caps.json` at the same time";
            Err(Refused::new("fleet.conflict", Exit::Rollback, message).hint("ask again, one after the other"))
        }
    }
}

impl Diagnosis {
    /// For people: a table, and what it comes to.
    pub fn to_text(&self) -> String {
        let wide = |of: &dyn Fn(&Check) -> usize| self.checks.iter().map(of).max().unwrap_or(0);
        let (name, result) = (wide(&|check| check.check.len()), wide(&|check| check.result.chars().count()));
        let mut text = format!("{}\n\n", self.store);
        for Check { check, found, result: said, means } in &self.checks {
            let _ = writeln!(text, "  {:<5}  {check:<name$}  {said:<result$}  {means}", found.word());
        }
        let _ = write!(text, "\nTier {}: {}", u8::from(self.caps.tier), self.caps.tier.meaning());
        if let Some(left) = &self.left {
            let _ = write!(text, "\nWhat was tried could not be removed: everything below `{left}` can go.");
        }
        text.push('\n');
        text
    }
}

impl Tier {
    /// What it comes to, in one sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Tier::All => "everything a fleet does can be done there.",
            Tier::WithNotes => "everything a fleet does can be done there; see the notes.",
            Tier::FetchOnly => "fetching and evidence only: one operator, one steward, no leases.",
        }
    }
}

fn failed(what: &str, trouble: &Trouble) -> Refused {
    let message = format!("{what}: {} [{}]", trouble.message, trouble.code);
    let refused = Refused::new("fleet.doctor", Exit::Unreachable, message);
    match trouble.code.as_str() {
        "source.denied" => refused.hint("whoever runs the doctor reads, writes, lists and removes below the prefix"),
        _ => refused,
    }
}

fn nonce() -> Result<String, Refused> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Refused::new("fleet.doctor", Exit::Install, format!("the system gives no random numbers: {error}"))
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
