//! What the commands that make and examine releases have in common.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Failed, password};
use crate::clock::Timestamp;
use crate::config::Effective;
use crate::digest::Sha256;
use crate::failure::{Exit, Reported};
use crate::publish::{PASSWORD_ENV, SigningKey};
use crate::trust::manifest::What;
use crate::trust::{Format, Refused};
use crate::{units, verify};

/// The secret key in `path`, its password asked for if it has one.
pub(super) fn signing_key(path: &Path) -> Result<SigningKey, Reported> {
    readable(path)?;
    let password = if SigningKey::needs_password(path)? {
        let without = format!("set `{PASSWORD_ENV}`, or run this on a terminal");
        Some(password::ask(&format!("Password of {}", path.display()), &without)?)
    } else {
        None
    };
    Ok(SigningKey::load(path, password)?)
}

/// Fails with `usage.unreadable` unless `path` is a file that can be read: what is named on the command
/// line and is not there is a mistake in the command, not a failure of the disk.
pub(super) fn readable(path: &Path) -> Result<(), Failed> {
    let unreadable = |source| Failed::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(unreadable(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
    }
    Ok(())
}

/// Fails with `publish.wrong_target` (23) if hosts would refuse `program` for what its header says.
///
/// Only an artifact that is the program itself is looked at, and only with `target_check` on.
pub(super) fn for_target(settings: &Effective, program: &Path, target: &str) -> Result<(), Reported> {
    if !settings.on("target_check") || Format::of_name(&program.to_string_lossy()) != Format::Raw {
        return Ok(());
    }
    let unreadable = |source| Failed::Unreadable { path: program.to_owned(), source };
    verify::runs_on(program, target).map_err(unreadable)?.map_err(|why| {
        // The target is named already.
        let why = why.split(", this machine is").next().unwrap_or_default();
        let message = format!("hosts would refuse `{}` for `{target}`: it {why}", program.display());
        let hint = "for a script, use `--target-check off` here and on every host";
        Refused::new("publish.wrong_target", Exit::Content, message).hint(hint).into()
    })
}

/// How long a signature is good: a length of time, or `never` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiry(pub(super) Option<Duration>);

/// Reads `90d` or `never`.
pub(super) fn expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry(None));
    }
    match units::parse_duration(text) {
        Ok(length) if length.as_secs() == 0 => Err("at least `1s`".to_owned()),
        Ok(length) => Ok(Expiry(Some(length))),
        Err(error) => Err(format!("{error}, or `never`")),
    }
}

/// Reads a floor, with its epoch: nothing about lowering it is to be guessed.
pub(super) fn exact_floor(text: &str) -> Result<(u64, u64), String> {
    if !text.contains('/') {
        return Err("write it with its epoch, as in `1/42`; `fetchd inspect` of the bundle shows both".to_owned());
    }
    crate::config::floor(text)
}

/// When something expires: on a day, after a length of time, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Day {
    On(Timestamp),
    After(Duration),
    Never,
}

impl Day {
    /// The moment, `None` = never.
    pub(super) fn from(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Day::On(moment) => Some(moment),
            Day::After(length) => Some(now.plus(length)),
            Day::Never => None,
        }
    }
}

/// Reads `2027-12-31` (its first second), `2027-12-31T12:00:00Z`, `365d` or `never`.
pub(super) fn day(text: &str) -> Result<Day, String> {
    if let Ok(moment) = text.parse().or_else(|_| format!("{text}T00:00:00Z").parse()) {
        return Ok(Day::On(moment));
    }
    match expiry(text) {
        Ok(Expiry(Some(length))) => Ok(Day::After(length)),
        Ok(Expiry(None)) => Ok(Day::Never),
        Err(_) => {
            Err("neither a day such as `2027-12-31`, nor a length of time such as `365d`, nor `never`".to_owned())
        }
    }
}

/// Reads when something begins: `now`, or as [`day`] does; `never` is no time at which anything begins.
pub(super) fn begin(text: &str) -> Result<Day, String> {
    match day(text) {
        _ if text == "now" => Ok(Day::After(Duration::ZERO)),
        Ok(Day::Never) => Err("what never begins need not be started".to_owned()),
        Err(_) => {
            Err("neither `now`, nor a time such as `2027-12-31T12:00:00Z`, nor a length of time such as `2h`"
                .to_owned())
        }
        other => other,
    }
}

/// `OLD=NEW`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replacement {
    pub(super) old: String,
    pub(super) new: String,
}

/// Reads `OLD=NEW`.
pub(super) fn replacement(text: &str) -> Result<Replacement, String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => {
            Ok(Replacement { old: old.to_owned(), new: new.to_owned() })
        }
        _ => Err("write the old key and the new one, as in `old.pub=new.pub`".to_owned()),
    }
}

/// Reads a version.
pub(super) fn version(text: &str) -> Result<semver::Version, String> {
    semver::Version::parse(text).map_err(|_| "not a version such as `1.4.2`".to_owned())
}

/// What is revoked: a version or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target(pub(super) What);

/// Reads a version, or the sha256 of an artifact or a binary.
pub(super) fn revocable(text: &str) -> Result<Target, String> {
    let digest = text.strip_prefix("sha256:").unwrap_or(text);
    if let Ok(digest) = digest.parse::<Sha256>() {
        return Ok(Target(What::Sha256(digest)));
    }
    let version = version(text).map_err(|_| "neither a version such as `1.4.2` nor a sha256 digest".to_owned())?;
    Ok(Target(What::Version(version)))
}

/// `TARGET=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) target: String,
    pub(super) path: PathBuf,
}

/// Reads `TARGET=FILE`.
pub(super) fn pair(text: &str) -> Result<Pair, String> {
    match text.split_once('=') {
        Some((target, path)) if !target.is_empty() && !path.is_empty() => {
            Ok(Pair { target: target.to_owned(), path: PathBuf::from(path) })
        }
        _ => Err(format!("write it with its target, as in `{}={text}`", crate::config::BUILD_TARGET)),
    }
}

/// `text` as one word of a shell command.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A path as one word of a shell command.
pub(super) fn path(path: &Path) -> String {
    word(&path.display().to_string())
}

/// `bytes` as people read it: `12.3 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell_command_stay_words() {
        assert_eq!(word("/srv/dl"), "/srv/dl");
        assert_eq!(word("it's here"), r"'it'\''s here'");
        assert_eq!(word(""), "''");
    }

    #[test]
    fn sizes_and_arguments() {
        assert_eq!((size(7), size(1536), size(5 << 30)), ("7 bytes".into(), "1.5 KiB".into(), "5.0 GiB".into()));
        assert_eq!(expiry("never"), Ok(Expiry(None)));
        assert_eq!(expiry("2d"), Ok(Expiry(Some(Duration::from_secs(2 * 86_400)))));
        let moment = "2027-12-31T00:00:00Z".parse().unwrap();
        assert_eq!((day("2027-12-31"), day("2027-12-31T00:00:00Z")), (Ok(Day::On(moment)), Ok(Day::On(moment))));
        assert_eq!(
            (day("1d").map(|day| day.from(moment)), day("never")),
            (Ok(Some(moment.plus(Duration::from_secs(86_400)))), Ok(Day::Never))
        );
        assert!(day("tomorrow").is_err() && day("2027-13-01").is_err() && replacement("a=").is_err());
        assert!(expiry("0s").is_err() && expiry("soon").is_err());
        assert!(pair("app").is_err() && pair("=app").is_err() && pair("a=").is_err());
        assert_eq!(pair("t=a=b").unwrap().path, PathBuf::from("a=b"));
        assert!(revocable("x").is_err());
        let digest = Sha256::of(b"x");
        assert_eq!(revocable(&format!("sha256:{digest}")), Ok(Target(What::Sha256(digest))));
    }
}
