//! What the tests of the sources need to know about Rust: its words, without comments and texts.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `dir` whose name ends in `.extension`, as paths relative to the root, sorted.
/// A directory that does not exist has none.
pub(crate) fn files(dir: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![root().join(dir)];
    while let Some(next) = todo.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for path in entries.map(|entry| entry.expect("a directory entry can be read").path()) {
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path.strip_prefix(root()).expect("it was found below the root").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The text of a file named relative to the root.
pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One word or mark of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// A word, `::`, or one other character. Comments are nothing; a text or number is one `"`.
    pub(crate) text: String,
    /// The line it stands in, from 1.
    pub(crate) line: usize,
}

/// Splits Rust into tokens.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let text: Vec<char> = source.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let (end, token) = next(&text, at);
        if let Some(token) = token {
            found.push(Token { text: token, line });
        }
        line += text[at..end].iter().filter(|c| **c == '\n').count();
        at = end;
    }
    found
}

/// The end of what begins at `at`, and what it is.
fn next(text: &[char], at: usize) -> (usize, Option<String>) {
    let peek = |ahead: usize| text.get(at + ahead).copied().unwrap_or('\0');
    let literal = || Some("\"".to_owned());
    match text[at] {
        c if c.is_whitespace() => (at + 1, None),
        '/' if peek(1) == '/' => (until(text, at, |c| c == '\n'), None),
        '/' if peek(1) == '*' => (block_comment(text, at), None),
        '"' => (quoted(text, at, '"'), literal()),
        // `'a'` and `'\n'` are characters, `'a` is a lifetime.
        '\'' if peek(1) == '\\' || peek(2) == '\'' => (quoted(text, at, '\''), literal()),
        ':' if peek(1) == ':' => (at + 2, Some("::".to_owned())),
        c if c.is_ascii_digit() => (until(text, at, |c| !is_word(c)), literal()),
        c if is_word(c) => {
            let end = until(text, at, |c| !is_word(c));
            let word: String = text[at..end].iter().collect();
            let after = text.get(end).copied().unwrap_or('\0');
            match (word.as_str(), after) {
                ("r" | "br" | "cr", '"' | '#') => raw(text, end).map_or((end, Some(word)), |end| (end, literal())),
                ("b" | "c", '"' | '\'') => (quoted(text, end, after), literal()),
                _ => (end, Some(word)),
            }
        }
        c => (at + 1, Some(c.to_string())),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn until(text: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    (from..text.len()).find(|at| stop(text[*at])).unwrap_or(text.len())
}

fn block_comment(text: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while at + 1 < text.len() {
        match (text[at], text[at + 1]) {
            ('/', '*') => (at, depth) = (at + 2, depth + 1),
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    text.len()
}

fn quoted(text: &[char], from: usize, quote: char) -> usize {
    let mut at = from + 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// The end of a raw text whose `#`s or quote begin at `from`; `None` for `r#word`.
fn raw(text: &[char], from: usize) -> Option<usize> {
    let open = until(text, from, |c| c != '#');
    let marks = open - from;
    if text.get(open) != Some(&'"') {
        return None;
    }
    let ends = |at: &usize| text[*at] == '"' && text[at + 1..].iter().take_while(|c| **c == '#').count() >= marks;
    (open + 1..text.len()).find(ends).map(|at| at + 1 + marks)
}
