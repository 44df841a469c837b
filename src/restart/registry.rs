//! Name → driver, as a value built in `main`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::supervise::Health;
use super::{RestartDriver, Stop, command, none, signal, supervisord, systemd};
use crate::failure::{Exit, Failure};

/// What an operator wrote for a driver: `unit = ["web.service"]`. In the configuration the names begin with
/// `restart_`.
pub type Options = BTreeMap<String, Vec<String>>;

/// What a driver is made from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program path, where a release lies when the driver is asked to bring it to life.
    pub program: PathBuf,
    /// How long one restart may take.
    pub deadline: Duration,
    /// How long a new release is watched.
    pub watch: Duration,
    /// What is asked meanwhile.
    pub health: Option<Health>,
    /// That fetchd is told to stop.
    pub stop: Stop,
    /// What is the driver's own.
    pub options: Options,
}

/// Makes a driver, or says what is wrong with its options. It does no I/O and starts nothing.
pub type Make = fn(Setup) -> Result<Box<dyn RestartDriver>, SetupError>;

/// The drivers that exist.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    makers: BTreeMap<String, Make>,
}

/// The name has a driver already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the restart driver `{0}` is registered already")]
pub struct NameTaken(pub String);

/// The driver that is part of `fetchd run` itself: it needs the main thread and the sockets, and is not made here.
pub const SUPERVISE: &str = "supervise";

impl Registry {
    /// Those that come with fetchd, but for [`SUPERVISE`].
    pub fn builtin() -> Registry {
        let makers: [(&str, Make); 5] = [
            ("command", command::make),
            ("none", none::make),
            ("signal", signal::make),
            ("supervisord", supervisord::make),
            ("systemd", systemd::make),
        ];
        Registry { makers: makers.into_iter().map(|(name, make)| (name.to_owned(), make)).collect() }
    }

    /// Adds one.
    pub fn register(&mut self, name: &str, make: Make) -> Result<(), NameTaken> {
        if name == SUPERVISE || self.makers.contains_key(name) {
            return Err(NameTaken(name.to_owned()));
        }
        self.makers.insert(name.to_owned(), make);
        Ok(())
    }

    /// The names there are, in alphabetical order.
    pub fn names(&self) -> Vec<&str> {
        self.makers.keys().map(String::as_str).collect()
    }

    /// Makes the driver `name`. A name that is not there is an error that lists those that are.
    pub fn open(&self, name: &str, setup: Setup) -> Result<Box<dyn RestartDriver>, SetupError> {
        match self.makers.get(name) {
            Some(make) => make(setup),
            None => {
                let known = self.names().into_iter().map(str::to_owned).collect();
                Err(SetupError::UnknownDriver { name: name.to_owned(), known })
            }
        }
    }
}

/// A driver that cannot be made from what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// No driver has this name.
    #[error("there is no restart driver `{name}`")]
    UnknownDriver {
        /// The name.
        name: String,
        /// Those that exist.
        known: Vec<String>,
    },
    /// The driver has no such option.
    #[error("the restart driver `{driver}` has no option `{option}`")]
    UnknownOption {
        /// The driver.
        driver: &'static str,
        /// The option.
        option: String,
        /// Those that it has.
        known: &'static [&'static str],
    },
    /// The driver cannot do without an option.
    #[error("the restart driver `{driver}` needs the option `{option}`")]
    Missing {
        /// The driver.
        driver: &'static str,
        /// The option.
        option: &'static str,
        /// A value, for the hint.
        example: &'static str,
    },
    /// An option with a value that it does not take.
    #[error("the option `{option}`: {message}")]
    Value {
        /// The option.
        option: &'static str,
        /// What is wrong, and what would be right.
        message: String,
    },
}

impl Failure for SetupError {
    fn code(&self) -> &'static str {
        match self {
            SetupError::UnknownDriver { .. } => "driver.unknown",
            SetupError::UnknownOption { .. } => "driver.option",
            SetupError::Missing { .. } => "driver.missing",
            SetupError::Value { .. } => "driver.value",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        let listed = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match self {
            SetupError::UnknownDriver { known, .. } => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                Some(format!("there are {}", listed(&known)))
            }
            SetupError::UnknownOption { driver, known: [], .. } => Some(format!("`{driver}` has no options")),
            SetupError::UnknownOption { driver, known, .. } => Some(format!("`{driver}` has {}", listed(known))),
            SetupError::Missing { option, example, .. } => Some(format!("for example `{option} = \"{example}\"`")),
            SetupError::Value { .. } => None,
        }
    }
}

/// The options of one driver, none of them unknown.
#[derive(Debug)]
pub struct Known<'a> {
    driver: &'static str,
    options: &'a Options,
}

impl<'a> Known<'a> {
    /// Refuses what is not in `names`.
    pub fn check(
        driver: &'static str,
        options: &'a Options,
        names: &'static [&'static str],
    ) -> Result<Known<'a>, SetupError> {
        match options.keys().find(|option| !names.contains(&option.as_str())) {
            Some(option) => Err(SetupError::UnknownOption { driver, option: option.clone(), known: names }),
            None => Ok(Known { driver, options }),
        }
    }

    /// The one value of `option`; the last, if there are several.
    pub fn one(&self, option: &str) -> Option<&'a str> {
        self.options.get(option)?.last().map(String::as_str)
    }

    /// All values of `option`.
    pub fn all(&self, option: &str) -> &'a [String] {
        self.options.get(option).map_or(&[], Vec::as_slice)
    }

    /// The value of an option that has to be there.
    pub fn required(&self, option: &'static str, example: &'static str) -> Result<&'a str, SetupError> {
        let missing = SetupError::Missing { driver: self.driver, option, example };
        self.one(option).filter(|value| !value.is_empty()).ok_or(missing)
    }
}

#[cfg(test)]
impl Setup {
    /// For tests of what a driver makes of its options.
    pub(super) fn with(options: &[(&str, &str)]) -> Setup {
        let mut setup = Setup {
            program: PathBuf::from("/srv/app"),
            deadline: Duration::from_secs(10),
            watch: Duration::ZERO,
            health: None,
            stop: Stop::default(),
            options: Options::new(),
        };
        for (name, value) in options {
            setup.options.entry((*name).to_owned()).or_default().push((*value).to_owned());
        }
        setup
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_driver_lists_those_that_exist() {
        let error = Registry::builtin().open("sytemd", Setup::with(&[])).unwrap_err();
        assert_eq!(error.to_string(), "there is no restart driver `sytemd`");
        let known = "there are `command`, `none`, `signal`, `supervisord`, `systemd`";
        assert_eq!(error.hint().as_deref(), Some(known));
    }

    #[test]
    fn a_name_is_registered_once_and_supervise_never() {
        let mut registry = Registry::builtin();
        registry.register("mine", |_| Ok(Box::new(none::None))).unwrap();
        assert_eq!(registry.register("mine", |_| Ok(Box::new(none::None))), Err(NameTaken("mine".to_owned())));
        assert_eq!(registry.register("signal", |_| Ok(Box::new(none::None))), Err(NameTaken("signal".to_owned())));
        assert!(registry.register(SUPERVISE, |_| Ok(Box::new(none::None))).is_err());
        assert_eq!(registry.open("mine", Setup::with(&[])).unwrap().name(), "none");
    }

    #[test]
    fn each_driver_says_which_options_it_has_and_needs() {
        let open = |name: &str, options: &[(&str, &str)]| Registry::builtin().open(name, Setup::with(options));
        for (name, option, needed) in [
            ("systemd", "pid_file", Some("unit")),
            ("signal", "unit", Some("pid_file")),
            ("supervisord", "unit", Some("socket")),
            ("command", "unit", Some("command")),
            ("none", "unit", None),
        ] {
            let error = open(name, &[(option, "x")]).unwrap_err();
            assert_eq!(error.to_string(), format!("the restart driver `{name}` has no option `{option}`"));
            match needed {
                Some(needed) => {
                    let error = open(name, &[]).unwrap_err();
                    assert_eq!(error.to_string(), format!("the restart driver `{name}` needs the option `{needed}`"));
                }
                None => assert_eq!(open(name, &[]).unwrap().name(), name),
            }
        }
    }
}
