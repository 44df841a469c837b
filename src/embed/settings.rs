//! What a program sets: the settings of the configuration file, by their names.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fetchd_fetchers::Registry;
use semver::Version;

use super::process::Process;
use crate::agent::Wanted;
use crate::config::{self, Config, ConfigError, Effective, Given, Host, Layer, Origin};
use crate::daemon::setup;
use crate::failure::{Exit, Reported};
use crate::units;

/// What the program sets itself, and where else settings are read.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) product: String,
    pub(super) version: Option<String>,
    program: Option<PathBuf>,
    given: Vec<(String, Given)>,
    file: Option<PathBuf>,
    environment: bool,
}

impl fmt::Debug for Settings {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.given.iter().map(|(key, _)| key).collect();
        f.debug_struct("Settings").field("product", &self.product).field("sets", &keys).finish_non_exhaustive()
    }
}

impl Settings {
    pub(super) fn new(product: &str) -> Settings {
        Settings {
            product: product.to_owned(),
            version: None,
            program: None,
            given: Vec::new(),
            file: None,
            environment: false,
        }
    }

    /// One value.
    pub(super) fn set(&mut self, key: &str, value: String) {
        self.replace(key, Given::Text(value));
    }

    /// A list as a whole.
    pub(super) fn list(&mut self, key: &str, values: Vec<String>) {
        self.replace(key, Given::List(values));
    }

    /// One more value of a list.
    pub(super) fn add(&mut self, key: &str, value: String) {
        match self.given.iter_mut().find(|(known, _)| known == key) {
            Some((_, Given::List(values))) => values.push(value),
            _ => self.replace(key, Given::List(vec![value])),
        }
    }

    pub(super) fn duration(&mut self, key: &str, value: Duration) {
        self.set(key, units::show_duration(value));
    }

    pub(super) fn program(&mut self, path: PathBuf) {
        self.program = Some(path);
    }

    pub(super) fn file(&mut self, path: PathBuf) {
        self.file = Some(path);
    }

    pub(super) fn environment(&mut self) {
        self.environment = true;
    }

    fn replace(&mut self, key: &str, given: Given) {
        self.given.retain(|(known, _)| known != key);
        self.given.push((key.to_owned(), given));
    }

    /// Everything merged: what the program sets, below the file and the environment where it reads them.
    pub(super) fn effective(&self, process: &Process) -> Result<Effective, Reported> {
        self.effective_with(process, None)
    }

    /// The same with `text` in place of what the file contains, if there is a file.
    pub(super) fn effective_with(&self, process: &Process, text: Option<&str>) -> Result<Effective, Reported> {
        let program = match &self.program {
            Some(path) => path.as_path(),
            None => process.program()?,
        };
        Ok(self.merged(program, process.arguments(), (self.file.as_deref(), text), self.environment)?)
    }

    /// What the program sets and nothing else, whatever it was called by: for a service that has to do without the rest.
    pub(super) fn bare(&self) -> Result<Effective, Reported> {
        Ok(self.merged(Path::new("/"), &[], (None, None), false)?)
    }

    fn merged(
        &self,
        program: &Path,
        arguments: &[OsString],
        file: (Option<&Path>, Option<&str>),
        environment: bool,
    ) -> Result<Effective, ConfigError> {
        let mut prefers = Layer::default();
        for (key, given) in &self.given {
            let setting = config::find(key).ok_or_else(|| unknown(key))?;
            prefers.set(setting, given.clone(), Origin::Program);
        }
        let mut insists = Layer::default();
        let words = std::iter::once(program.as_os_str()).chain(arguments.iter().map(OsString::as_os_str));
        let words = words.map(|word| word.to_str().map(str::to_owned).ok_or_else(|| not_text(word)));
        for (key, given) in
            [("program", Given::List(words.collect::<Result<_, _>>()?)), ("product", Given::Text(self.product.clone()))]
        {
            let setting = config::find(key).expect("the table has both, as the configuration's own tests know");
            insists.set(setting, given, Origin::Program);
        }
        Effective::embedded(prefers, insists, file, environment, Host::here()?)
    }

    /// What the program says of itself, if it is a version as releases have them.
    pub(super) fn semver(&self) -> Option<Version> {
        Version::parse(self.version.as_deref()?).ok()
    }

    /// The configuration, and what is wanted from its source where there is one.
    pub(super) fn wanted(&self, process: &Process, fetchers: &Registry) -> Result<(Config, Option<Wanted>), Reported> {
        let settings = self.effective(process)?;
        let config = Config::of(&settings)?;
        let wanted = config.source.as_ref().map(|source| {
            if source.url.scheme() == "file" {
                config::fetcher(&settings, source, fetchers)?;
            }
            setup::wanted(&settings, &config, source)
        });
        let wanted = wanted.transpose()?;
        Ok((config, wanted))
    }
}

fn unknown(key: &str) -> ConfigError {
    ConfigError::Missing {
        what: format!("the program sets `{key}`, and there is no such setting"),
        hint: "docs/configuration.md lists them; those of a table have a dot, as `worker.memory`".to_owned(),
    }
}

fn not_text(word: &std::ffi::OsStr) -> ConfigError {
    ConfigError::Conflict {
        what: format!("`{}`, of the program's path and arguments, is not valid UTF-8", word.display()),
        hint: "call the program by another name, and without such arguments".to_owned(),
    }
}

/// What the failure of a program that is to have a source, and has none, says.
pub(super) fn no_source() -> Reported {
    Reported {
        code: "config.missing".to_owned(),
        exit: Exit::Usage,
        message: "no source to ask is given".to_owned(),
        hint: Some("name one with `source`".to_owned()),
    }
}

/// The methods of a builder with a field `settings`.
macro_rules! settings_methods {
    () => {
        /// The version of this program, usually `env!("CARGO_PKG_VERSION")`.
        #[must_use]
        pub fn version(mut self, version: &str) -> Self {
            self.settings.version = Some(version.to_owned());
            self
        }

        /// The program's path, instead of what it was called by; a relative one is relative to the working directory.
        #[must_use]
        pub fn program(mut self, path: impl Into<std::path::PathBuf>) -> Self {
            self.settings.program(path.into());
            self
        }

        /// Where releases come from: a `file:`, `http:`, `https:`, `s3:` or `github:` URL, as far as its feature is built in.
        #[must_use]
        pub fn source(self, url: &str) -> Self {
            self.set("source", url)
        }

        /// A public key that releases are signed with, the text of it or the path of its file. May be called again.
        #[must_use]
        pub fn key(mut self, key: &str) -> Self {
            self.settings.add("key", key.to_owned());
            self
        }

        /// Where this program's releases are remembered; by default below `/var/lib/fetchd` for root, else in the user's
        /// state directory.
        #[must_use]
        pub fn state_dir(self, dir: impl AsRef<std::path::Path>) -> Self {
            let dir = dir.as_ref().to_string_lossy().into_owned();
            self.set("state_dir", &dir)
        }

        /// Any setting of `docs/configuration.md`, as it stands in the file: `set("watch", "5s")`.
        ///
        /// Whether there is one of this name, and whether the value suits it, is found out at the start.
        #[must_use]
        pub fn set(mut self, key: &str, value: &str) -> Self {
            self.settings.set(key, value.to_owned());
            self
        }

        /// A setting that is a list or a command: `set_list("health", ["/usr/bin/check", "--fast"])`.
        #[must_use]
        pub fn set_list<S: Into<String>>(mut self, key: &str, values: impl IntoIterator<Item = S>) -> Self {
            self.settings.list(key, values.into_iter().map(Into::into).collect());
            self
        }

        /// Takes whatever the source offers, **without checking who made it**. For development.
        #[must_use]
        pub fn insecure_unsigned(self) -> Self {
            self.set("insecure_unsigned", "true")
        }

        /// Also reads this file, which must be there. What it sets wins over what the program sets.
        #[must_use]
        pub fn config_file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
            self.settings.file(path.into());
            self
        }

        /// Also reads `FETCHD_…` variables. They win over the file and over what the program sets.
        #[must_use]
        pub fn environment(mut self) -> Self {
            self.settings.environment();
            self
        }
    };
}

pub(super) use settings_methods;
