//! The layers merged: for each setting its value, and where it came from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::error::{ConfigError, Position};
use super::setting::{Preset, Setting};
use super::value::{Given, Value};
use super::{environment, file, table};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// The file.
    File(Position),
    /// The program that has fetchd inside.
    Program,
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag => f.write_str("flag"),
            Origin::Environment => f.write_str("environment"),
            Origin::File(position) => write!(f, "{}:{}", position.path.display(), position.line),
            Origin::Program => f.write_str("program"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// What one place sets.
#[derive(Clone, Default)]
pub struct Layer(BTreeMap<&'static str, (Given, Origin)>);

impl Layer {
    /// Sets `setting`.
    pub fn set(&mut self, setting: &'static Setting, given: Given, origin: Origin) {
        self.0.insert(setting.key, (given, origin));
    }
}

impl fmt::Debug for Layer {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What of the machine and the process a configuration depends on.
#[derive(Clone)]
pub struct Host {
    /// The working directory, absolute.
    pub directory: PathBuf,
    /// Whether this is root.
    pub root: bool,
    /// The environment; of it only what concerns fetchd, the home and the state directory is needed.
    pub variables: Vec<(OsString, OsString)>,
}

impl Host {
    /// This process's.
    pub fn here() -> Result<Host, ConfigError> {
        let directory =
            std::env::current_dir().map_err(|source| ConfigError::File { path: PathBuf::from("."), source })?;
        let ours = |name: &OsString| {
            name.to_str().is_some_and(|name| name.starts_with("FETCHD_") || name == "HOME" || name == "XDG_STATE_HOME")
        };
        let variables = std::env::vars_os().filter(|(name, _)| ours(name)).collect();
        Ok(Host { directory, root: rustix::process::geteuid().is_root(), variables })
    }

    pub(super) fn variable(&self, name: &str) -> Option<&Path> {
        let found = self.variables.iter().find(|(key, _)| key == name)?;
        Some(Path::new(&found.1)).filter(|value| !value.as_os_str().is_empty())
    }
}

impl fmt::Debug for Host {
    /// Without the values of variables, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("directory", &self.directory).field("root", &self.root).finish_non_exhaustive()
    }
}

/// Every setting with its value and origin: a flag wins over the environment, that over the
/// file, that over the default. A list is replaced as a whole, never added to.
#[derive(Clone)]
pub struct Effective {
    values: BTreeMap<&'static str, (Value, Origin)>,
    file: Option<PathBuf>,
    text: Option<String>,
    host: Host,
}

impl fmt::Debug for Effective {
    /// Origins only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values.iter().map(|(key, (_, origin))| (key, origin))).finish()
    }
}

impl Effective {
    /// Reads the file (`file`, else the one `FETCHD_CONFIG` names, else none) and the environment,
    /// and puts `flags` on top. No file is looked for anywhere else.
    pub fn load(flags: Layer, file: Option<&Path>, host: Host) -> Result<Effective, ConfigError> {
        Effective::load_text(flags, file, None, host)
    }

    /// The same with `text` in place of what the file contains, if there is a file.
    pub fn load_text(
        flags: Layer,
        file: Option<&Path>,
        text: Option<&str>,
        host: Host,
    ) -> Result<Effective, ConfigError> {
        let named = file.or_else(|| host.variable(environment::FILE)).map(Path::to_owned);
        let environment = environment::read(&host.variables);
        Effective::merge(Vec::new(), (named.as_deref(), text), environment, flags, host)
    }

    /// For a program that has fetchd inside: what it `prefers`, below `file` and, if it wants that, the environment; and
    /// what it `insists` on, above them.
    ///
    /// Of the environment only settings are read; `FETCHD_CONFIG` names no file here. A text beside the file's path is
    /// taken in place of what it contains.
    pub fn embedded(
        prefers: Layer,
        insists: Layer,
        file: (Option<&Path>, Option<&str>),
        environment: bool,
        host: Host,
    ) -> Result<Effective, ConfigError> {
        let environment = if environment { environment::read(&host.variables) } else { Ok(Layer::default()) };
        Effective::merge(vec![prefers], file, environment, insists, host)
    }

    fn merge(
        mut layers: Vec<Layer>,
        (named, text): (Option<&Path>, Option<&str>),
        environment: Result<Layer, ConfigError>,
        flags: Layer,
        host: Host,
    ) -> Result<Effective, ConfigError> {
        let file = named.map(|path| absolute(&host.directory, path));
        let mut read = None;
        if let Some(path) = &file {
            let text = match text {
                Some(text) => text.to_owned(),
                None => {
                    std::fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.clone(), source })?
                }
            };
            // Errors name the file as the operator did.
            layers.push(file::read(named.unwrap_or(path), &text)?);
            read = Some(text);
        }
        layers.push(environment?);
        layers.push(flags);
        let mut merged = Layer::default();
        for layer in layers {
            merged.0.extend(layer.0);
        }
        let mut values = BTreeMap::new();
        for setting in table::settings() {
            if let Some((given, origin)) = merged.0.remove(setting.key).or_else(|| preset(setting)) {
                let value = Value::read(setting.kind, &given).map_err(|message| ConfigError::Value {
                    at: at(setting, &origin),
                    message,
                    hint: None,
                })?;
                values.insert(setting.key, (value, origin));
            }
        }
        Ok(Effective { values, file, text: read, host })
    }

    /// The file that was read, absolute.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What the file contains.
    pub fn text_of_file(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The machine it was loaded for.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The value of `key`, if it is set or has a default.
    pub fn value(&self, key: &str) -> Option<&Value> {
        debug_assert!(table::find(key).is_some(), "no setting `{key}`");
        self.values.get(key).map(|(value, _)| value)
    }

    /// Where the value of `key` came from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.values.get(key).map_or(&Origin::Default, |(_, origin)| origin)
    }

    /// The text or word of `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.value(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The list or command of `key`; empty if it is not set.
    pub fn list(&self, key: &str) -> &[String] {
        match self.value(key) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// The duration of `key`.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        match self.value(key) {
            Some(Value::Duration(duration)) => Some(*duration),
            _ => None,
        }
    }

    /// The size, number or percentage of `key`.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.value(key) {
            Some(Value::Size(number) | Value::Integer(number)) => Some(*number),
            Some(Value::Percent(percent)) => Some(u64::from(*percent)),
            _ => None,
        }
    }

    /// Whether `key` is true, or on.
    pub fn on(&self, key: &str) -> bool {
        match self.value(key) {
            Some(Value::Bool(on)) => *on,
            Some(Value::Text(word)) => word == "on",
            _ => false,
        }
    }

    /// The table of `key`; empty if it is not set.
    pub fn table(&self, key: &str) -> BTreeMap<String, Vec<String>> {
        match self.value(key) {
            Some(Value::Table(table)) => table.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// The path of `key`, absolute.
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        match self.value(key) {
            Some(Value::Path(path)) => Some(absolute(self.base(key), path)),
            _ => None,
        }
    }

    /// What relative paths in the value of `key` are relative to: the directory of the file it
    /// stands in, else the working directory.
    pub fn base(&self, key: &str) -> &Path {
        match (self.origin(key), &self.file) {
            (Origin::File(_), Some(file)) => file.parent().unwrap_or(&self.host.directory),
            _ => &self.host.directory,
        }
    }

    /// The error that the value of `key` is wrong, naming the place it was set in.
    pub(super) fn wrong(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let at = match table::find(key) {
            Some(setting) => at(setting, self.origin(key)),
            None => format!("`{key}`"),
        };
        ConfigError::Value { at, message: message.into(), hint: None }
    }
}

/// `path` from `base`, with `.` taken out; `..` stays, for a symlink may stand before it.
pub(super) fn absolute(base: &Path, path: &Path) -> PathBuf {
    base.join(path).components().filter(|part| *part != Component::CurDir).collect()
}

fn preset(setting: &Setting) -> Option<(Given, Origin)> {
    let given = match setting.default {
        Preset::Value(text) => Given::Text(text.to_owned()),
        Preset::Words(words) => Given::List(words.iter().map(|&word| word.to_owned()).collect()),
        Preset::Derived(_) => return None,
    };
    Some((given, Origin::Default))
}

fn at(setting: &Setting, origin: &Origin) -> String {
    match origin {
        Origin::Flag if setting.key == "program" => "PROGRAM".to_owned(),
        Origin::Flag => format!("`--{}`", setting.flag()),
        Origin::Environment => format!("`{}`", setting.variable()),
        Origin::File(position) => format!("`{}` in {position}", setting.key),
        Origin::Program => format!("`{}` as the program sets it", setting.key),
        Origin::Default => format!("`{}`", setting.key),
    }
}
