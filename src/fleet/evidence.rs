//! What a host says of itself, in the name of an object that can be created once and never changed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::cohort::HostId;
use crate::clock::Timestamp;

/// Where in the plan a host started: the ring and the step of it, both from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The ring.
    pub ring: u8,
    /// The step.
    pub step: u8,
}

/// One thing that happened to a release on a host: `1-s-r0k2`, `1-o`, `1-b-handoff.exited`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Report {
    /// Which try of the rollout this was, from 1. Only an operator's `retry` begins another.
    pub attempt: u16,
    /// What happened.
    pub state: State,
}

/// How far a host is. The order is that of the join: what comes later outweighs what came before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It will not take the release, for a reason of its own: `d`.
    Declined(Code),
    /// It is about to switch: `s`.
    Started(Place),
    /// The release has served through its watch: `o`.
    Ok,
    /// It was rolled back, or is unhealthy: `b`.
    Bad(Code),
    /// An operator stops the rollout from this host: `x`.
    Stop(Code),
}

/// The stable code of a failure, as part of a key: 1 to 64 of `a-z 0-9 . _`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Code(Box<str>);

impl Code {
    /// `code` with everything dropped that cannot stand in a key; `unknown` if nothing is left.
    pub fn new(code: &str) -> Code {
        let kept: String = code.to_ascii_lowercase().chars().filter(|c| is_plain(*c)).take(64).collect();
        if kept.is_empty() { Code("unknown".into()) } else { Code(kept.into()) }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Code {
    type Error = NotEvidence;

    fn try_from(text: String) -> Result<Code, NotEvidence> {
        text.parse()
    }
}

impl From<Code> for String {
    fn from(code: Code) -> String {
        code.0.into()
    }
}

impl FromStr for Code {
    type Err = NotEvidence;

    fn from_str(text: &str) -> Result<Code, NotEvidence> {
        let plain = (1..=64).contains(&text.len()) && text.chars().all(is_plain);
        if plain { Ok(Code(text.into())) } else { Err(NotEvidence) }
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_')
}

/// Evidence as a list of a bucket shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Whose.
    pub host: HostId,
    /// What.
    pub report: Report,
    /// When the store took it, by the store's clock.
    pub at: Timestamp,
}

impl State {
    /// Its letter in a key.
    pub fn letter(&self) -> char {
        match self {
            State::Started(_) => 's',
            State::Ok => 'o',
            State::Bad(_) => 'b',
            State::Declined(_) => 'd',
            State::Stop(_) => 'x',
        }
    }

    /// Of two reports of a host the one that counts has the greater rank.
    pub fn rank(&self) -> u8 {
        match self {
            State::Declined(_) => 0,
            State::Started(_) => 1,
            State::Ok => 2,
            State::Bad(_) => 3,
            State::Stop(_) => 4,
        }
    }

    /// Whether the host has nothing more to say in this attempt.
    pub fn is_final(&self) -> bool {
        !matches!(self, State::Started(_))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.attempt, self.state.letter())?;
        match &self.state {
            State::Started(Place { ring, step }) => write!(f, "-r{ring}k{step}"),
            State::Ok => Ok(()),
            State::Bad(code) | State::Declined(code) | State::Stop(code) => write!(f, "-{}", code.as_str()),
        }
    }
}

/// The name of an object is not one of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a piece of evidence")]
pub struct NotEvidence;

impl FromStr for Report {
    type Err = NotEvidence;

    fn from_str(text: &str) -> Result<Report, NotEvidence> {
        let mut parts = text.splitn(3, '-');
        let (attempt, letter, rest) = (parts.next(), parts.next(), parts.next());
        let attempt = number(attempt.ok_or(NotEvidence)?)?;
        let code = || rest.unwrap_or("unknown").parse();
        let state = match letter {
            Some("s") => State::Started(place(rest.ok_or(NotEvidence)?)?),
            Some("o") if rest.is_none() => State::Ok,
            Some("b") => State::Bad(code()?),
            Some("d") => State::Declined(code()?),
            Some("x") => State::Stop(code()?),
            _ => return Err(NotEvidence),
        };
        Ok(Report { attempt, state })
    }
}

fn place(text: &str) -> Result<Place, NotEvidence> {
    let (ring, step) = text.strip_prefix('r').and_then(|rest| rest.split_once('k')).ok_or(NotEvidence)?;
    Ok(Place { ring: number(ring)?, step: number(step)? })
}

/// A number as it is written here: no sign, no zero before it.
fn number<T: FromStr + ToString>(text: &str) -> Result<T, NotEvidence> {
    text.parse().ok().filter(|number: &T| number.to_string() == text).ok_or(NotEvidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_it_is_written() {
        for text in ["1-s-r0k2", "1-o", "12-b-handoff.exited", "1-d-pinned", "3-x-operator"] {
            let report: Report = text.parse().unwrap();
            assert_eq!(report.to_string(), text);
        }
        for wrong in
            ["", "1", "1-", "01-o", "+1-o", "1-o-", "1-s", "1-s-r0", "1-s-r0k256", "1-b-", "1-b-A", "1-q", "70000-o"]
        {
            assert_eq!(wrong.parse::<Report>(), Err(NotEvidence), "{wrong}");
        }
        assert_eq!("1-b".parse::<Report>().unwrap().to_string(), "1-b-unknown");
    }

    #[test]
    fn a_code_is_made_to_fit_into_a_key() {
        assert_eq!(Code::new("Handoff/../exited").as_str(), "handoff..exited");
        assert_eq!(Code::new("—").as_str(), "unknown");
        assert_eq!(Code::new(&"a".repeat(100)).as_str().len(), 64);
    }
}
