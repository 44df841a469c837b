//! The environment: one variable for each setting, and none that is not known.

use std::ffi::OsString;

use super::effective::{Layer, Origin};
use super::error::{ConfigError, nearest};
use super::setting::Places;
use super::table;
use super::value::Given;

/// The variable that names the configuration file.
pub const FILE: &str = "FETCHD_CONFIG";

/// Variables that belong to the process protocol or to one command, not to the configuration.
pub const PROTOCOL: [&str; 18] = [
    "FETCHD_PROTO",
    "FETCHD_ROLE",
    "FETCHD_GENERATION",
    "FETCHD_VERSION",
    "FETCHD_DIGEST",
    "FETCHD_PROGRAM",
    "FETCHD_CONTROL_FD",
    "FETCHD_READY_MS",
    "FETCHD_DRAIN_MS",
    "FETCHD_SMOKE",
    "FETCHD_STATE_FD",
    "FETCHD_RESUME_FAILED",
    "FETCHD_RESUME_WHY",
    "FETCHD_RESUME_COUNTS",
    "FETCHD_KEY_PASSWORD",
    "FETCHD_FLEET_STORE",
    "FETCHD_HOOK",
    "FETCHD_EVENT",
];

const PREFIX: &str = "FETCHD_";

/// Reads the settings among `variables`. A variable that is set but empty counts as not set.
pub(super) fn read(variables: &[(OsString, OsString)]) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    let mut sorted: Vec<_> = variables.iter().collect();
    sorted.sort();
    for (name, value) in sorted {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        if name == FILE || PROTOCOL.contains(&name) || name.starts_with("FETCHD_TEST_") {
            continue;
        }
        let at = format!("`{name}`");
        let Some(setting) = table::settings().find(|setting| setting.variable() == name) else {
            // Without the prefix, which is as long as some names and would make them all alike.
            let own = |name: &str| name.trim_start_matches(PREFIX).to_owned();
            let known: Vec<String> = table::settings().map(|setting| own(&setting.variable())).collect();
            let meant = nearest(&own(name), known.iter().map(String::as_str).chain([own(FILE).as_str()]));
            let meant = meant.map(|own| format!("{PREFIX}{own}"));
            return Err(ConfigError::UnknownVariable { name: name.to_owned(), meant });
        };
        if setting.places == Places::Flag {
            return Err(ConfigError::FlagOnly { at, flag: setting.flag() });
        }
        let text = value.to_str().ok_or_else(|| ConfigError::Value {
            at,
            message: "the value is not valid UTF-8".to_owned(),
            hint: None,
        })?;
        if !text.is_empty() {
            layer.set(setting, Given::Text(text.to_owned()), Origin::Environment);
        }
    }
    Ok(layer)
}
