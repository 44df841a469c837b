//! The file: TOML, every key known, every error with its line and column.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::effective::{Layer, Origin};
use super::error::{ConfigError, Position, nearest};
use super::setting::{Kind, Places, Setting};
use super::table;
use super::value::Given;

/// Reads `text`, the contents of `path`.
pub(super) fn read(path: &Path, text: &str) -> Result<Layer, ConfigError> {
    let reader = Reader { path, text };
    let table = DeTable::parse(text).map_err(|error| reader.syntax(&error))?;
    let mut layer = Layer::default();
    reader.walk("", table.get_ref(), &mut layer)?;
    Ok(layer)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn walk(&self, prefix: &str, table: &DeTable<'_>, layer: &mut Layer) -> Result<(), ConfigError> {
        // The parser's order is alphabetical; the first error reported is to be the first in the file.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (name, value) in entries {
            let key =
                if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
            let at = self.position(&name.span());
            let is_table = matches!(value.get_ref(), DeValue::Table(_));
            match (table::find(lookup(&key, is_table)), value.get_ref()) {
                (Some(setting), _) if setting.places == Places::Flag => {
                    return Err(ConfigError::FlagOnly { at: format!("`{key}` in {at}"), flag: setting.flag() });
                }
                (Some(setting), inner) => {
                    let given = given(setting, inner).map_err(|message| ConfigError::Value {
                        at: format!("`{key}` in {}", self.position(&value.span())),
                        message,
                        hint: None,
                    })?;
                    layer.set(setting, given, Origin::File(self.position(&value.span())));
                }
                (None, DeValue::Table(inner)) if is_section(&key) => self.walk(&key, inner, layer)?,
                (None, _) if is_section(&key) => {
                    return Err(ConfigError::Value {
                        at: format!("`{key}` in {at}"),
                        message: "this is a table, not a value".to_owned(),
                        hint: Some(format!("write `[{key}]` on a line of its own, and its keys below")),
                    });
                }
                (None, _) => {
                    let sections = ["worker", "crash", "source.url"];
                    let known = table::settings().map(|setting| setting.key).chain(sections);
                    let meant = nearest(&key, known);
                    return Err(ConfigError::UnknownKey { key, at, meant });
                }
            }
        }
        Ok(())
    }

    fn position(&self, span: &Range<usize>) -> Position {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Position {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        // The parser repeats a key that stands twice, and a source that is both text and table is one.
        let both = self.text.lines().any(|line| line.trim() == "[source.options]")
            && self.text.lines().any(|line| line.trim_start().starts_with("source ") || line.starts_with("source="));
        let hint = "to give options, write the source as a table too: `[source]` with `url = \"…\"`";
        ConfigError::Syntax {
            at: self.position(&error.span().unwrap_or(0..0)),
            message: error.message().lines().collect::<Vec<_>>().join(", "),
            hint: both.then(|| hint.to_owned()),
        }
    }
}

/// `source` is a text or a table; as a table its text is `source.url`.
fn lookup(key: &str, is_table: bool) -> &str {
    match key {
        "source.url" => "source",
        "source" if is_table => "",
        key => key,
    }
}

fn is_section(key: &str) -> bool {
    table::settings().any(|setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

/// The value as written, if its TOML type suits the setting.
fn given(setting: &Setting, value: &DeValue<'_>) -> Result<Given, String> {
    let kind = setting.kind;
    match (kind, value) {
        (Kind::Bool, DeValue::Boolean(value)) => Ok(Given::Text(value.to_string())),
        (Kind::Bool | Kind::Integer { .. } | Kind::Table, DeValue::String(_)) => Err(wanted(kind, value)),
        (Kind::List, DeValue::String(text)) => Ok(Given::List(vec![text.to_string()])),
        (_, DeValue::String(text)) => Ok(Given::Text(text.to_string())),
        (Kind::Integer { .. } | Kind::Size | Kind::Percent, DeValue::Integer(number)) => {
            Ok(Given::Text(number.to_string()))
        }
        (Kind::List | Kind::Argv, DeValue::Array(_)) => {
            texts(value).map(Given::List).ok_or_else(|| wanted(kind, value))
        }
        (Kind::Table, DeValue::Table(table)) => {
            let mut options = BTreeMap::new();
            for (name, value) in table {
                let values = texts(value.get_ref())
                    .ok_or_else(|| format!("the value of `{}` must be a text or an array of texts", name.get_ref()))?;
                options.insert(name.get_ref().to_string(), values);
            }
            Ok(Given::Table(options))
        }
        _ => Err(wanted(kind, value)),
    }
}

fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    let text = |value: &DeValue<'_>| value.as_str().map(str::to_owned);
    match value {
        DeValue::Array(array) => array.iter().map(|value| text(value.get_ref())).collect(),
        value => text(value).map(|text| vec![text]),
    }
}

fn wanted(kind: Kind, value: &DeValue<'_>) -> String {
    let example = match kind {
        Kind::Duration { .. } => ", in quotes with a unit, such as `\"5m\"`",
        Kind::Size => ", such as `\"200MiB\"` or `1048576`",
        Kind::Text | Kind::Choice(_) | Kind::Path => ", in quotes",
        Kind::List | Kind::Argv => ", such as `[\"a\", \"b\"]`",
        Kind::Bool | Kind::Integer { .. } => ", without quotes",
        Kind::Percent => ", such as `\"10%\"` or `10`",
        Kind::Table => " of texts",
    };
    format!("wants a {kind}{example}; found {}", value.type_str()).replace("wants a `true`", "wants `true`")
}
