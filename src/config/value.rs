//! From what somebody wrote to a value of the right form.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::setting::Kind;
use crate::units;

/// What somebody wrote, before it is known to be a valid value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// One text.
    Text(String),
    /// Several texts, kept apart by whoever wrote them.
    List(Vec<String>),
    /// A table of texts.
    Table(BTreeMap<String, Vec<String>>),
}

/// A value of the form that its setting has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// [`Kind::Text`] and [`Kind::Choice`].
    Text(String),
    /// [`Kind::List`] and [`Kind::Argv`].
    List(Vec<String>),
    /// [`Kind::Duration`].
    Duration(Duration),
    /// [`Kind::Size`], in bytes.
    Size(u64),
    /// [`Kind::Bool`].
    Bool(bool),
    /// [`Kind::Integer`].
    Integer(u64),
    /// [`Kind::Percent`].
    Percent(u8),
    /// [`Kind::Path`], as written.
    Path(PathBuf),
    /// [`Kind::Table`].
    Table(BTreeMap<String, Vec<String>>),
}

impl Value {
    /// Reads `given` as a value of `kind`, or says in one sentence what is wrong with it.
    pub fn read(kind: Kind, given: &Given) -> Result<Value, String> {
        let texts: &[String] = match given {
            Given::Text(text) => std::slice::from_ref(text),
            Given::List(list) => list,
            Given::Table(_) => &[],
        };
        if texts.iter().any(|text| text.contains('\0')) {
            // No path, argument or header can hold one, and C would cut the text there.
            return Err("the value contains a NUL".to_owned());
        }
        match (kind, given) {
            (Kind::List, Given::List(list)) | (Kind::Argv, Given::List(list)) => filled(list.clone()),
            (Kind::List, Given::Text(text)) => filled(split(text)),
            (Kind::Argv, Given::Text(text)) => filled(words(text)?),
            (Kind::Table, Given::Table(table)) => Ok(Value::Table(table.clone())),
            (Kind::Table, Given::List(list)) => pairs(list.iter().map(String::as_str)),
            (Kind::Table, Given::Text(text)) if text.trim_start().starts_with('{') => json_table(text),
            (Kind::Table, Given::Text(text)) => pairs(split(text).iter().map(String::as_str)),
            (_, Given::Text(text)) => Value::scalar(kind, text),
            (_, Given::List(_) | Given::Table(_)) => Err(format!("this takes one value ({kind})")),
        }
    }

    fn scalar(kind: Kind, text: &str) -> Result<Value, String> {
        match kind {
            Kind::Duration { min, max } => {
                let duration = units::parse_duration(text).map_err(|error| error.to_string())?;
                let (least, most) = (Duration::from_millis(min), Duration::from_millis(max));
                if duration < least || duration > most {
                    let (least, most) = (units::show_duration(least), units::show_duration(most));
                    return Err(format!("`{text}` is out of range; write {least} to {most}"));
                }
                Ok(Value::Duration(duration))
            }
            Kind::Size => units::parse_size(text).map(Value::Size).map_err(|error| error.to_string()),
            Kind::Bool => match text {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(format!("`{text}` is neither `true` nor `false`")),
            },
            Kind::Integer { min, max } => match text.parse() {
                Ok(number) if number >= min && number <= max => Ok(Value::Integer(number)),
                _ => Err(format!("`{text}` is not a whole number from {min} to {max}")),
            },
            Kind::Percent => match text.strip_suffix('%').unwrap_or(text).trim_end().parse() {
                Ok(percent) if percent <= 100 => Ok(Value::Percent(percent)),
                _ => Err(format!("`{text}` is not a percentage from `0%` to `100%`")),
            },
            Kind::Choice(choices) if choices.contains(&text) => Ok(Value::Text(text.to_owned())),
            Kind::Choice(_) => Err(format!("`{text}` is not one of {}", kind.to_string().replace(" or ", ", "))),
            _ if text.is_empty() => Err("the value is empty".to_owned()),
            Kind::Path => Ok(Value::Path(PathBuf::from(text))),
            _ => Ok(Value::Text(text.to_owned())),
        }
    }
}

/// A command as one text: words separated by white space, or a JSON array for words that hold some.
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text)
            .map_err(|_| format!("`{text}` begins like an array, but is not a JSON array of strings"));
    }
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(|part| part.trim().to_owned()).collect()
}

fn filled(list: Vec<String>) -> Result<Value, String> {
    match list.first() {
        Some(first) if !first.is_empty() => Ok(Value::List(list)),
        _ => Err("the value is empty".to_owned()),
    }
}

fn pairs<'a>(list: impl Iterator<Item = &'a str>) -> Result<Value, String> {
    let mut table: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in list {
        // Never quoted in full: what stands after the `=` may be a secret.
        let (name, value) = pair.split_once('=').ok_or("an option is written `name=value`")?;
        if name.is_empty() {
            return Err("an option is written `name=value`".to_owned());
        }
        table.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    Ok(Value::Table(table))
}

fn json_table(text: &str) -> Result<Value, String> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    let table: BTreeMap<String, OneOrMany> =
        serde_json::from_str(text).map_err(|_| "not a JSON object of strings or arrays of strings".to_owned())?;
    let values = table.into_iter().map(|(name, value)| match value {
        OneOrMany::One(text) => (name, vec![text]),
        OneOrMany::Many(list) => (name, list),
    });
    Ok(Value::Table(values.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: Kind, text: &str) -> Result<Value, String> {
        Value::read(kind, &Given::Text(text.to_owned()))
    }

    #[test]
    fn each_kind_reads_its_own_and_refuses_the_rest() {
        assert_eq!(text(Kind::Bool, "true"), Ok(Value::Bool(true)));
        assert!(text(Kind::Bool, "yes").is_err());
        assert_eq!(text(Kind::Percent, "15%"), Ok(Value::Percent(15)));
        assert_eq!(text(Kind::Percent, "15"), Ok(Value::Percent(15)));
        assert!(text(Kind::Percent, "101%").is_err());
        assert_eq!(text(Kind::Integer { min: 1, max: 3 }, "3"), Ok(Value::Integer(3)));
        assert!(text(Kind::Integer { min: 1, max: 3 }, "4").is_err());
        let kind = Kind::Duration { min: 100, max: 1000 };
        assert_eq!(text(kind, "1s"), Ok(Value::Duration(Duration::from_secs(1))));
        assert_eq!(text(kind, "2s"), Err("`2s` is out of range; write 100ms to 1s".to_owned()));
        assert_eq!(text(Kind::Choice(&["a", "b"]), "c"), Err("`c` is not one of `a`, `b`".to_owned()));
        assert!(text(Kind::Text, "").is_err());
        assert!(text(Kind::Argv, "a\0b").is_err());
        assert!(Value::read(Kind::Text, &Given::List(vec!["a".into()])).is_err());
    }

    #[test]
    fn lists_commands_and_tables() {
        let list = |words: &[&str]| Ok(Value::List(words.iter().map(|&word| word.to_owned()).collect()));
        assert_eq!(text(Kind::List, ":80, [::]:81"), list(&[":80", "[::]:81"]));
        assert_eq!(text(Kind::Argv, "curl  -f x"), list(&["curl", "-f", "x"]));
        assert_eq!(text(Kind::Argv, r#"["a b", "c"]"#), list(&["a b", "c"]));
        assert!(text(Kind::Argv, "[a").is_err());
        assert!(text(Kind::Argv, " ").is_err());
        let table = text(Kind::Table, "method=get,header=a: b=c").unwrap();
        assert_eq!(text(Kind::Table, r#"{"method": "get", "header": ["a: b=c"]}"#), Ok(table));
        let error = text(Kind::Table, "hunter2").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
