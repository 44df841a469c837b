//! What must hold of a configuration file whatever the bytes are.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use toml::Value as Toml;

use super::reference::toml;
use super::{Config, ConfigError, Effective, Host, Layer, Origin, Value, settings};

/// A file: what is accepted says the same when it is written anew, setting by setting.
pub fn config(data: &[u8]) -> bool {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    file.write_all(data).expect("it can be written");
    let loaded = match load(file.path()) {
        Ok(loaded) => loaded,
        Err(error) => {
            let _ = (error.to_string(), crate::failure::Failure::hint(&error));
            return false;
        }
    };
    let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
    let mut again = String::new();
    for setting in settings() {
        if let Origin::File(position) = loaded.origin(setting.key) {
            assert!((1..=lines).contains(&position.line) && position.column > 0, "{}: {position}", setting.key);
            let value = written(loaded.value(setting.key).expect("it is in the file"));
            let key = if setting.key == "source" { "source.url" } else { setting.key };
            writeln!(again, "{key} = {value}").expect("memory can be written");
        }
    }
    // The same file, so that what is relative to it is the same.
    std::fs::write(file.path(), &again).expect("it can be written");
    let second = load(file.path()).unwrap_or_else(|error| panic!("{error}: {again}"));
    for setting in settings() {
        assert_eq!(second.value(setting.key), loaded.value(setting.key), "{}: {again}", setting.key);
    }
    let (first, second) = (Config::of(&loaded), Config::of(&second));
    // Errors name lines, which are others.
    assert_eq!(first.is_ok(), second.is_ok(), "{first:?} {second:?}");
    match (first, second) {
        (Ok(first), Ok(second)) => {
            assert!(first.program.path.is_absolute() && first.place.state_dir.is_absolute());
            assert!(first.schedule.jitter <= 100);
            assert_eq!(first, second, "{again}");
            true
        }
        _ => false,
    }
}

fn load(path: &Path) -> Result<Effective, ConfigError> {
    let variables = vec![("HOME".into(), "/home/somebody".into())];
    Effective::load(
        Layer::default(),
        Some(path),
        Host { directory: PathBuf::from("/somewhere"), root: false, variables },
    )
}

/// As `config show` writes it, but for the values of options, which it hides.
fn written(value: &Value) -> String {
    let Value::Table(options) = value else { return toml(value) };
    let texts = |list: &[String]| Toml::Array(list.iter().map(|text| Toml::String(text.clone())).collect());
    Toml::Table(options.iter().map(|(name, values)| (name.clone(), texts(values))).collect()).to_string()
}
