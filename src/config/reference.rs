//! The table as text: the reference of the docs, and the file that `config init` writes.

use std::fmt::Write as _;
use std::time::Duration;

use super::setting::{Group, Kind, Places, Preset, Setting};
use super::table;
use super::value::Value;
use crate::units;

/// The reference as Markdown, one heading for each group.
pub fn markdown() -> String {
    let mut text = String::new();
    for group in Group::ALL {
        let _ = writeln!(text, "### {}\n", group.title());
        for setting in table::settings().filter(|setting| setting.group == group) {
            let _ = writeln!(text, "#### `{}`\n", setting.key);
            for line in wrapped(&format!("{}. {}", setting.doc, setting.long), 100) {
                let _ = writeln!(text, "{line}");
            }
            text.push('\n');
            let _ = writeln!(text, "- flag: {}", flag(setting));
            if setting.places == Places::All {
                let _ = writeln!(text, "- environment: `{}`", setting.variable());
            }
            let _ = writeln!(text, "- value: {}", form(setting.kind));
            let _ = writeln!(text, "- default: {}\n", setting.default_text());
        }
    }
    text
}

/// A file that sets nothing: every setting with its text, commented out at its default, or at
/// an example where it has none.
pub fn template() -> String {
    let mut text = String::from(
        "# Configuration of fetchd. Every setting stands here at its default, commented out:\n\
         # remove the `#` before a key to set it. A flag wins over the environment, the\n\
         # environment over this file. `fetchd config check` tells whether it is valid,\n\
         # `fetchd config show` what holds and why.\n",
    );
    let in_file = |setting: &&Setting| setting.places != Places::Flag && setting.kind != Kind::Table;
    let top = table::settings().filter(|setting| !setting.key.contains('.')).filter(in_file);
    for group in Group::ALL {
        let mut rows = top.clone().filter(|setting| setting.group == group).peekable();
        if rows.peek().is_some() {
            let _ = writeln!(text, "\n#\n# {}\n#", group.title());
        }
        for setting in rows {
            row(&mut text, setting, setting.key);
        }
    }
    let mut section = "";
    for setting in table::settings().filter(in_file) {
        if let Some((table, key)) = setting.key.split_once('.') {
            if table != section {
                let _ = writeln!(text, "\n[{table}]");
                section = table;
            }
            row(&mut text, setting, key);
        }
    }
    text.push_str(
        "\n# A source with options is written as a table, instead of the one line above.\n\
         # [source]\n# url = \"https://dl.example.com/web/stable.fetchd\"\n# [source.options]\n# method = \"get\"\n",
    );
    text
}

/// `value` as it is written in the file.
pub fn toml(value: &Value) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    match value {
        Value::Text(text) => quoted(text),
        Value::List(list) => format!("[{}]", list.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")),
        Value::Duration(duration) => quoted(&units::show_duration(*duration)),
        Value::Size(bytes) => Some(units::show_size(*bytes))
            .filter(|text| text.parse::<u64>().is_err())
            .map_or_else(|| bytes.to_string(), |text| quoted(&text)),
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Percent(value) => format!("\"{value}%\""),
        Value::Path(path) => quoted(&path.to_string_lossy()),
        Value::Table(table) => {
            // Options may hold tokens; which ones, only the fetcher knows.
            let hidden: Vec<String> = table.keys().map(|name| format!("{} = \"***\"", quoted(name))).collect();
            format!("{{ {} }}", hidden.join(", "))
        }
    }
}

fn row(text: &mut String, setting: &Setting, key: &str) {
    let _ = writeln!(text, "\n# {}.", setting.doc);
    for line in wrapped(setting.long, 90) {
        let _ = writeln!(text, "# {line}");
    }
    let words = |words: &[&str]| toml(&Value::List(words.iter().map(|&word| word.to_owned()).collect()));
    let value = match setting.default {
        Preset::Words(list) => words(list),
        Preset::Value(example) => shown(setting.kind, example),
        Preset::Derived(said) => {
            for line in wrapped(&format!("Default: {said}. An example:"), 90) {
                let _ = writeln!(text, "# {line}");
            }
            shown(setting.kind, setting.example)
        }
    };
    let _ = writeln!(text, "#{key} = {value}");
}

/// The text of a default or an example as it is written in the file.
fn shown(kind: Kind, text: &str) -> String {
    match Value::read(kind, &super::Given::Text(text.to_owned())) {
        // Kept as the table has it: `60s` says more here than `1m`.
        Ok(Value::Duration(_) | Value::Size(_)) if text.parse::<u64>().is_err() => format!("\"{text}\""),
        Ok(value) => toml(&value),
        Err(_) => format!("\"{text}\""),
    }
}

fn flag(setting: &Setting) -> String {
    match setting.places {
        Places::Arguments => "none; the words after the flags".to_owned(),
        Places::Flag => format!("`--{}`, and nowhere else", setting.flag()),
        Places::All => match setting.kind {
            Kind::Bool => format!("`--{0}`, `--{0}=false`", setting.flag()),
            _ => format!("`--{} {}`", setting.flag(), setting.value_name),
        },
    }
}

fn form(kind: Kind) -> String {
    match kind {
        Kind::Duration { min, max } => {
            let show = |millis| units::show_duration(Duration::from_millis(millis));
            format!("{kind}, `{}` to `{}`", show(min), show(max))
        }
        kind => kind.to_string(),
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
