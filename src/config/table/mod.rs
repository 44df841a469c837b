//! Every setting there is.

mod fleet;
mod hooks;
mod operate;
mod release;
mod serve;

use super::setting::{Group, Kind, Places, Preset, Scope, Setting};

/// The rows, in the order of the reference.
pub fn settings() -> impl Iterator<Item = &'static Setting> + Clone {
    let taken = release::ROWS.iter().chain(fleet::ROWS).chain(operate::ROWS);
    serve::SERVICE.iter().chain(taken).chain(serve::HANDOFF).chain(operate::REST).chain(hooks::ROWS)
}

/// The row of `key`.
pub fn find(key: &str) -> Option<&'static Setting> {
    settings().find(|setting| setting.key == key)
}

/// What a row has unless it says otherwise.
const BASE: Setting = Setting {
    key: "",
    kind: Kind::Text,
    default: Preset::Derived("none"),
    value_name: "TEXT",
    example: "",
    doc: "",
    long: "",
    group: Group::Service,
    scope: Scope::Pass,
    places: Places::All,
};

const ON_OFF: Kind = Kind::Choice(&["on", "off"]);
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// A duration between two bounds in milliseconds.
const fn duration(min: u64, max: u64) -> Kind {
    Kind::Duration { min, max }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::value::{Given, Value};

    #[test]
    fn names_are_unique_and_well_formed() {
        let mut seen = BTreeSet::new();
        for setting in settings() {
            assert!(seen.insert(setting.flag()), "{} twice", setting.key);
            assert!(seen.insert(setting.variable()), "{} twice", setting.key);
            assert!(setting.key.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.'), "{}", setting.key);
        }
    }

    #[test]
    fn every_row_has_a_line_of_text_and_a_value_that_is_valid() {
        for setting in settings() {
            let key = setting.key;
            assert!(!setting.doc.is_empty() && !setting.doc.ends_with('.'), "{key}");
            assert!(setting.long.is_empty() || setting.long.ends_with('.'), "{key}");
            match setting.default {
                Preset::Value(text) => assert!(Value::read(setting.kind, &Given::Text(text.into())).is_ok(), "{key}"),
                Preset::Words(_) => assert!(matches!(setting.kind, Kind::List | Kind::Argv), "{key}"),
                Preset::Derived(said) => {
                    assert!(!said.is_empty(), "{key}");
                    assert!(!setting.example.is_empty(), "{key} has neither default nor example");
                    let example = Given::Text(setting.example.into());
                    assert!(Value::read(setting.kind, &example).is_ok(), "{key}: {}", setting.example);
                }
            }
        }
    }
}
