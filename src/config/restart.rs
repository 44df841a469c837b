//! Who brings a new binary to life.

use std::path::PathBuf;
use std::time::Duration;

use super::effective::{Effective, Origin};
use super::error::ConfigError;
use super::{length, table};
use crate::restart::{Options, Registry, SUPERVISE, Setup, SetupError, Stop};

/// Who brings a new binary to life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restart {
    /// fetchd itself.
    Supervise,
    /// Somebody else, by a driver of [`crate::restart::Registry`].
    By(Driver),
}

/// A driver and its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// Its name.
    pub name: String,
    /// What is set for it, without the `restart_` before each name.
    pub options: Options,
    /// How long a restart may take.
    pub deadline: Duration,
}

/// What begins the name of an option in the table.
const PREFIX: &str = "restart_";

/// Settings that only fetchd as the supervisor can give a meaning.
const SUPERVISED: [&str; 3] = ["listen", "ready", "watchdog"];

pub(super) fn restart(settings: &Effective) -> Result<Restart, ConfigError> {
    let name = settings.text("restart").unwrap_or(SUPERVISE);
    let options = options(settings);
    if name == SUPERVISE {
        return match options.keys().next() {
            None => Ok(Restart::Supervise),
            Some(option) => Err(ConfigError::Conflict {
                what: format!(
                    "`{PREFIX}{option}` is set, and fetchd itself runs the service (`restart = \"supervise\"`)"
                ),
                hint: "leave it out, or say with `restart` who runs the service".to_owned(),
            }),
        };
    }
    if let Some(key) = SUPERVISED.into_iter().find(|key| *settings.origin(key) != Origin::Default) {
        return Err(ConfigError::Conflict {
            what: format!("`{key}` is set, and with `restart = \"{name}\"` the service is not fetchd's to run"),
            hint: format!("leave out `{key}`: sockets and readiness are the business of whoever runs the service"),
        });
    }
    let driver = Driver { name: name.to_owned(), options, deadline: length(settings, "restart_deadline") };
    // What is wrong with the options is said now, not at the first release.
    let setup = Setup {
        program: PathBuf::new(),
        deadline: driver.deadline,
        watch: Duration::ZERO,
        health: None,
        stop: Stop::default(),
        options: driver.options.clone(),
    };
    Registry::builtin().open(name, setup).map_err(|error| refused(settings, error))?;
    Ok(Restart::By(driver))
}

/// Every option that somebody has set.
fn options(settings: &Effective) -> Options {
    let mut options = Options::new();
    for key in table::settings().map(|setting| setting.key).filter(|key| *settings.origin(key) != Origin::Default) {
        let Some(name) = key.strip_prefix(PREFIX).filter(|name| *name != "deadline") else { continue };
        let words = settings.list(key);
        let values = match (settings.path(key), settings.text(key)) {
            (Some(path), _) => vec![path.to_string_lossy().into_owned()],
            (None, Some(text)) => vec![text.to_owned()],
            (None, None) => words.to_vec(),
        };
        options.insert(name.to_owned(), values);
    }
    options
}

fn refused(settings: &Effective, error: SetupError) -> ConfigError {
    let listed = |names: &[&str]| names.iter().map(|name| format!("`{PREFIX}{name}`")).collect::<Vec<_>>().join(", ");
    match error {
        SetupError::UnknownOption { driver, option, known } => ConfigError::Conflict {
            what: format!("`{PREFIX}{option}` is set, and means nothing with `restart = \"{driver}\"`"),
            hint: match known {
                [] => format!("`{driver}` has no settings of its own"),
                known => format!("`{driver}` has {}", listed(known)),
            },
        },
        SetupError::Missing { driver, option, example } => ConfigError::Missing {
            what: format!("`restart = \"{driver}\"` needs `{PREFIX}{option}`, and it is not set"),
            hint: format!("for example `{PREFIX}{option} = \"{example}\"`"),
        },
        SetupError::Value { option, message } => settings.wrong(&format!("{PREFIX}{option}"), message),
        unknown @ SetupError::UnknownDriver { .. } => settings.wrong("restart", unknown.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::setting::Kind;
    use super::super::{find, settings};
    use super::*;
    use crate::restart::words;

    fn choices(key: &str) -> Vec<&'static str> {
        match find(key).map(|setting| setting.kind) {
            Some(Kind::Choice(choices)) => choices.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_table_names_what_the_drivers_know() {
        let mut named = choices("restart");
        named.retain(|name| *name != SUPERVISE);
        named.sort_unstable();
        assert_eq!(named, Registry::builtin().names());
        assert_eq!(choices("restart_verb"), words::verbs());
        assert_eq!(choices("restart_recipe"), words::recipes());
        assert_eq!(choices("restart_signal"), words::signals());
    }

    #[test]
    fn every_option_in_the_table_belongs_to_a_driver() {
        for option in settings().filter_map(|setting| setting.key.strip_prefix(PREFIX)).filter(|o| *o != "deadline") {
            let takes = |name: &str| {
                let setup = Setup {
                    program: PathBuf::new(),
                    deadline: Duration::ZERO,
                    watch: Duration::ZERO,
                    health: None,
                    stop: Stop::default(),
                    options: Options::from([(option.to_owned(), vec!["x".to_owned()])]),
                };
                !matches!(Registry::builtin().open(name, setup), Err(SetupError::UnknownOption { .. }))
            };
            assert!(Registry::builtin().names().into_iter().any(takes), "{option}");
        }
    }
}
