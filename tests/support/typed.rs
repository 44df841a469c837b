//! What pages tell a reader to type, held against the manual pages.

use std::collections::{BTreeMap, BTreeSet};

/// The words after each `fetchd` of a page's code, up to what is another program's. Blocks that are neither
/// of a shell nor of a console show no commands.
pub(crate) fn commands_in(page: &str) -> Vec<Vec<String>> {
    let mut block: Option<String> = None;
    let mut found = Vec::new();
    for line in page.replace("\\\n", " ").lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language.to_owned()) };
            continue;
        }
        let pieces: Vec<&str> = match block.as_deref() {
            Some("sh" | "console") => line.split(" && ").flat_map(|part| part.split([';', '|'])).collect(),
            Some(_) => Vec::new(),
            None => line.split('`').skip(1).step_by(2).collect(),
        };
        for piece in pieces {
            let words = piece.trim_start_matches("$ ").split_whitespace();
            // Variables may come before it.
            let mut words = words.skip_while(|word| word.contains('=') && !word.starts_with('-')).map(str::to_owned);
            if words.next().is_some_and(|program| program == "fetchd") {
                found.push(words.take_while(|word| word != "--" && word != "#").collect());
            }
        }
    }
    found
}

/// Every flag that a manual page names.
pub(crate) fn flags_in(manual: &str) -> BTreeSet<String> {
    let mut text = manual.replace("\\-", "-");
    for font in ["\\fB", "\\fI", "\\fR"] {
        text = text.replace(font, " ");
    }
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
}

/// Whether one of the manual pages, by name, is that of the command, and it and those above it name its flags.
pub(crate) fn understood(command: &[String], known: &BTreeMap<String, BTreeSet<String>>) -> Result<(), String> {
    let is_word = |text: &String| text.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !text.starts_with('-');
    let mut page = "fetchd".to_owned();
    let mut flags = known[&page].clone();
    for word in command.iter().take_while(|word| is_word(word)) {
        let below = format!("{page}-{word}");
        if let Some(more) = known.get(&below) {
            flags.extend(more.iter().cloned());
            page = below;
        } else if known.keys().any(|name| name.starts_with(&format!("{page}-"))) {
            return Err(format!("there is no `{below}`"));
        } else {
            break;
        }
    }
    for word in command.iter().filter(|word| word.starts_with("--")) {
        let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(word.len());
        if !flags.contains(&word[..end]) {
            return Err(format!("`{page}` knows no `{}`", &word[..end]));
        }
    }
    Ok(())
}
