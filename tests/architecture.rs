//! The rules that hold the sources together, checked in the sources themselves: imports point
//! downwards, `unsafe` stands where it is listed, no file grows without end, every checkpoint is
//! reached, and names say what a thing is.

#[path = "support/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fetchd::checkpoint::Checkpoint;
use source::{Token, files, text, tokens};

/// The modules of the crate, lowest first. A module may import those in the lines above its own,
/// and itself; those of one line know nothing of each other.
const LAYERS: [&[&str]; 21] = [
    &["failure", "chart", "clock", "checkpoint", "units", "digest", "exposition", "service"],
    &["durable"],
    &["spawn"],
    &["state", "trust", "upgrade"],
    &["fleet"],
    &["fetch"],
    &["verify"],
    &["install"],
    &["restart"],
    &["agent", "publish"],
    &["config"],
    &["rollout"],
    &["simulate"],
    &["control"],
    &["daemon"],
    &["embed"],
    &["load"],
    &["demo"],
    &["cli"],
    &["fuzz"],
    &["main"],
];

/// Neighbours that may know each other all the same: what is trusted is decided against what was
/// recorded, in the record's own type.
const NEIGHBOURS: [(&str, &str); 2] = [("trust", "state"), ("state", "trust")];

/// Modules that may import less than their line allows.
const NARROW: [(&str, &[&str]); 2] = [
    ("service", &[]),
    ("publish", &["failure", "clock", "units", "digest", "durable", "spawn", "state", "trust", "fetch"]),
];

/// Modules of the table that need not exist.
const PLANNED: [&str; 4] = ["control", "daemon", "rollout", "simulate"];

/// Where `unsafe` may stand; `docs/design/0004-unsafe.md` says why.
const UNSAFE: [&str; 4] = ["delta/src/map.rs", "src/spawn/image.rs", "src/service/inherit.rs", "src/daemon/rest.rs"];

/// The modules that write what must survive a loss of power: through `durable` and by no other means.
const DURABLE_ONLY: [&str; 6] = ["src/agent", "src/cli/state", "src/daemon", "src/install", "src/state", "src/trust"];

/// Calls that change a file, or open one to change it, and that are not durable by themselves.
const UNDURABLE: [(&str, &str); 14] = [
    ("fs", "write"),
    ("fs", "copy"),
    ("fs", "rename"),
    ("fs", "hard_link"),
    ("fs", "symlink"),
    ("fs", "remove_file"),
    ("fs", "remove_dir_all"),
    ("File", "create"),
    ("File", "create_new"),
    ("File", "options"),
    ("OpenOptions", "new"),
    (".", "set_len"),
    (".", "sync_all"),
    (".", "sync_data"),
];

/// Where one of them stands all the same, and why that is right.
const UNDURABLE_ALLOWED: [(&str, &str, &str); 11] = [
    ("src/state/files.rs", "OpenOptions::new", "reads"),
    ("src/state/examine.rs", "OpenOptions::new", "reads"),
    ("src/state/repair.rs", "OpenOptions::new", "reads"),
    ("src/state/store.rs", "OpenOptions::new", "the lock: what counts is who holds it, not what is in it"),
    ("src/state/store.rs", ".set_len", "the lock's process id, a courtesy"),
    ("src/state/history.rs", "OpenOptions::new", "appends and reads; a torn last line is skipped and healed"),
    ("src/state/history.rs", ".sync_data", "a line of the history"),
    ("src/install/paths.rs", "fs::remove_file", "clears custody and staging: what comes back is cleared again"),
    ("src/install/paths.rs", "fs::remove_dir_all", "the same"),
    ("src/agent/delta.rs", "fs::remove_file", "a delta in staging; the next download clears it"),
    ("src/agent/line.rs", "fs::remove_file", "a candidate that is not needed; the next start clears custody"),
];

const MOST_LINES: usize = 500;

/// Words that say nothing about what a thing is, or that we do not use.
const FORBIDDEN: [&str; 11] =
    ["manager", "managers", "helper", "helpers", "util", "utils", "utilities", "master", "masters", "slave", "slaves"];

#[test]
fn imports_point_downwards() {
    let mut wrong = Vec::new();
    let mut exist: BTreeSet<String> = BTreeSet::new();
    for path in files("src", "rs") {
        let module = module_path(&path);
        let Some(own) = module.first() else { continue };
        exist.insert(own.clone());
        if rank(own).is_none() {
            wrong.push(format!("{}: `{own}` has no place in LAYERS", path.display()));
        }
        for (line, import) in imports(&tokens(&text(&path)), &module) {
            if let Some(why) = objection(own, &import) {
                wrong.push(format!("{}:{line}: {why}", path.display()));
            }
        }
    }
    for module in LAYERS.iter().flat_map(|layer| layer.iter()) {
        if !exist.contains(*module) && !PLANNED.contains(module) {
            wrong.push(format!("LAYERS names `{module}`, which does not exist"));
        }
    }
    assert_none("imports that point up or sideways", &wrong);
}

#[test]
fn unsafe_stands_only_where_it_is_listed() {
    let mut wrong = Vec::new();
    for path in rust_files() {
        if UNSAFE.iter().any(|allowed| path == Path::new(allowed)) {
            continue;
        }
        let found = tokens(&text(&path)).into_iter().filter(|token| ["unsafe", "unsafe_code"].contains(&&*token.text));
        wrong.extend(found.map(|token| format!("{}:{}: `{}`", path.display(), token.line, token.text)));
    }
    assert_none("`unsafe` outside its files", &wrong);
}

/// What the vectors of `fixtures/vectors` are held against is then what runs.
#[test]
fn signatures_are_verified_in_one_place() {
    let (mut calls, mut with_points) = (Vec::new(), BTreeSet::new());
    for path in files("src", "rs").into_iter().chain(files("fetchers/src", "rs")) {
        for token in tokens(&text(&path)) {
            match &*token.text {
                "verify_strict" | "verify_stream" | "verify_prehashed" | "verify_batch" => calls.push(path.clone()),
                // Nothing verifies without one.
                "VerifyingKey" => drop(with_points.insert(path.clone())),
                _ => {}
            }
        }
    }
    assert_eq!(calls, [Path::new("src/trust/keys.rs")]);
    assert_eq!(with_points, ["src/trust/fuzz.rs", "src/trust/keys.rs"].map(PathBuf::from).into());
}

#[test]
fn what_must_survive_is_written_by_the_durable_primitive_alone() {
    let mut found = BTreeSet::new();
    let mut wrong = Vec::new();
    let sources = DURABLE_ONLY.into_iter().flat_map(|dir| files(dir, "rs"));
    for path in sources.filter(|path| !path.iter().any(|part| part.to_string_lossy().contains("tests"))) {
        for (line, call) in undurable(&tokens(&text(&path))) {
            let name = path.to_string_lossy().into_owned();
            if UNDURABLE_ALLOWED.iter().any(|(file, allowed, _)| *file == name && *allowed == call) {
                found.insert((name, call));
            } else {
                wrong.push(format!("{name}:{line}: `{call}`; use `durable`, or say in UNDURABLE_ALLOWED why not"));
            }
        }
    }
    for (file, call, _) in UNDURABLE_ALLOWED {
        if !found.contains(&(file.to_owned(), call.to_owned())) {
            wrong.push(format!("UNDURABLE_ALLOWED: there is no `{call}` in {file}"));
        }
    }
    assert_none("writes that a loss of power may undo", &wrong);
}

#[test]
fn an_undurable_write_is_found() {
    for (source, call) in [
        ("fn f() { std::fs::write(path, bytes)?; }", "fs::write"),
        ("let file = File::create(path)?;", "File::create"),
        ("OpenOptions::new().write(true)", "OpenOptions::new"),
        ("std::os::unix::fs::symlink(a, b)", "fs::symlink"),
        ("file.sync_all()", ".sync_all"),
    ] {
        assert_eq!(undurable(&tokens(source)), [(1, call.to_owned())], "{source}");
    }
    assert_eq!(
        undurable(&tokens("// fs::write\nlet text = \"fs::write\"; fs::read(path); durable::write(p, 0o600, b)")),
        []
    );
}

/// The calls of [`UNDURABLE`] in a source, each with its line.
fn undurable(tokens: &[Token]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].text.as_str());
        for (of, call) in UNDURABLE {
            let qualified = before(1) == "::" && before(2) == of;
            if token.text == call && (qualified || of == "." && before(1) == ".") {
                found.push((token.line, if of == "." { format!(".{call}") } else { format!("{of}::{call}") }));
            }
        }
    }
    found
}

#[test]
fn no_source_is_longer_than_500_lines() {
    let mut wrong = Vec::new();
    for path in ["src", "delta/src", "fetchers/src"].into_iter().flat_map(|dir| files(dir, "rs")) {
        let lines = text(&path).lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert_none("sources that hold more than one job", &wrong);
}

#[test]
fn every_checkpoint_is_reached() {
    let mut reached = BTreeSet::new();
    for path in files("src", "rs") {
        for five in tokens(&text(&path)).windows(5) {
            if let [ty, colons, name, dot, call] = five
                && [ty, colons, dot, call].map(|token| token.text.as_str()) == ["Checkpoint", "::", ".", "reached"]
            {
                reached.insert(name.text.clone());
            }
        }
    }
    let missing = Checkpoint::ALL.iter().map(|point| point.name()).filter(|name| !reached.contains(name));
    assert_none("checkpoints that no code reaches", &missing.collect::<Vec<_>>());
}

#[test]
fn names_say_what_a_thing_is() {
    let mut wrong = Vec::new();
    for path in rust_files() {
        let file = path.with_extension("").to_string_lossy().replace('/', "_");
        wrong.extend(forbidden(&file).map(|word| format!("{}: `{word}` in its path", path.display())));
        for token in declared(&tokens(&text(&path))) {
            let at = format!("{}:{}", path.display(), token.line);
            wrong.extend(forbidden(&token.text).map(|word| format!("{at}: `{word}` in `{}`", token.text)));
        }
    }
    assert_none("names that say nothing", &wrong);
}

#[test]
fn an_import_that_points_up_is_found_however_it_is_written() {
    let upwards = [
        "use crate::agent::Line;",
        "use crate::{digest::Sha256 as agent, agent::{Line, Pass as _}};",
        "pub(crate) use super::super::agent;",
        "use super::super::{failure::Exit, agent::Line};",
        "use super::{error::Error, super::agent::Line};",
        "fn f() -> u8 { crate::agent::number() }",
        "fn f() { let r#type = r#\"\\\"#; let c = '\"'; let l: &'static str = \"\\\"\"; crate::agent::f(l) }",
        "mod inner { use super::super::super::agent::Line; }",
        "mod inner { mod deeper {} } use super::super::agent::Line;",
        "use fetchd::agent::Line;",
    ];
    for source in upwards {
        assert_eq!(judged(source), ["`fetch` imports `agent`, which lies above it"], "{source}");
    }
    let fine = [
        "use crate::digest::Sha256;",
        "// use crate::agent::Line;",
        "/* /* */ use crate::agent::Line; */",
        "/// See [`crate::agent`].\nfn f() { let text = \"crate::agent\"; }",
        "mod inner { use super::super::agent::Own; }",
        "use std::io; use tokio::net; use crate::fetch::job; pub(super) fn f() { self.agent::<u8>() }",
    ];
    for source in fine {
        assert_eq!(judged(source), Vec::<String>::new(), "{source}");
    }
    assert_eq!(judged("use crate::*;"), ["`fetch` imports `*` of the crate's root, which is no module"]);
    assert_eq!(objection("service", "failure").unwrap(), "`service` may not import `failure`: see NARROW");
    assert_eq!(objection("demo", "load"), None);
    assert_eq!(objection("trust", "state"), None);
    assert_eq!(objection("agent", "publish").unwrap(), "`agent` imports `publish`, which lies beside it");
}

/// What would be said about `source` as the file `src/fetch/download.rs`.
fn judged(source: &str) -> Vec<String> {
    let module = module_path(Path::new("src/fetch/download.rs"));
    imports(&tokens(source), &module).into_iter().filter_map(|(_, import)| objection("fetch", &import)).collect()
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Why the module `own` may not import the module `import`.
fn objection(own: &str, import: &str) -> Option<String> {
    if own == import {
        return None;
    }
    let (Some(here), there) = (rank(own), rank(import)) else { return None };
    let Some(there) = there else {
        return Some(format!("`{own}` imports `{import}` of the crate's root, which is no module"));
    };
    if there > here {
        return Some(format!("`{own}` imports `{import}`, which lies above it"));
    }
    if let Some((_, allowed)) = NARROW.iter().find(|(narrow, _)| *narrow == own) {
        return (!allowed.contains(&import)).then(|| format!("`{own}` may not import `{import}`: see NARROW"));
    }
    let beside = there == here && !NEIGHBOURS.contains(&(own, import));
    beside.then(|| format!("`{own}` imports `{import}`, which lies beside it"))
}

/// `src/fetch/extract/mod.rs` → `fetch`, `extract`; nothing for the root of the library. A file
/// `x_tests.rs` is the module `tests` of `x`, as its `#[path]` says.
fn module_path(path: &Path) -> Vec<String> {
    let inner = path.strip_prefix("src").expect("a source of the crate").with_extension("");
    let mut module: Vec<String> = inner.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if let Some(tested) = module.last().and_then(|last| last.strip_suffix("_tests")).map(str::to_owned) {
        module.pop();
        module.extend([tested, "tests".to_owned()]);
    }
    if module.last().is_some_and(|last| last == "mod" || last == "lib") {
        module.pop();
    }
    module
}

/// Every path from the root of the crate, as the line it stands in and its first part.
fn imports(tokens: &[Token], file: &[String]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    // Modules written out in the file, each with the depth of braces around it.
    let mut inner: Vec<(usize, String)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        let word = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text.as_str());
        match word(0) {
            "mod" if word(2) == "{" => inner.push((depth, word(1).to_owned())),
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inner.pop_if(|(around, _)| *around == depth);
            }
            "crate" | "fetchd" | "super" | "self" if word(1) == "::" && (at == 0 || tokens[at - 1].text != "::") => {
                let here = file.iter().chain(inner.iter().map(|(_, name)| name)).cloned().collect();
                at = tree(tokens, at, here, &mut found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Follows the path, or the tree of paths, that begins at `at` in the module `here`. Returns where
/// it ends.
fn tree(tokens: &[Token], mut at: usize, mut here: Vec<String>, found: &mut Vec<(usize, String)>) -> usize {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    loop {
        match word(at) {
            "crate" | "fetchd" => here.clear(),
            "self" => {}
            "super" => drop(here.pop()),
            "{" => {
                at += 1;
                loop {
                    match word(at) {
                        "}" | "" => return at + 1,
                        "," => at += 1,
                        "as" => at += 2,
                        _ => at = tree(tokens, at, here.clone(), found),
                    }
                }
            }
            name => {
                if here.is_empty() {
                    found.push((tokens.get(at).map_or(0, |token| token.line), name.to_owned()));
                }
                here.push(name.to_owned());
            }
        }
        if word(at + 1) != "::" {
            return at + 1;
        }
        at += 2;
    }
}

/// The names that a source gives to things.
fn declared(tokens: &[Token]) -> Vec<Token> {
    const BEFORE: [&str; 11] =
        ["fn", "struct", "enum", "trait", "mod", "type", "const", "static", "let", "mut", "macro_rules"];
    let is_name = |token: &Token| token.text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let pairs = tokens.windows(2).filter(|pair| BEFORE.contains(&&*pair[0].text) && is_name(&pair[1]));
    pairs.map(|pair| pair[1].clone()).collect()
}

/// The forbidden words in `UpdateManager`, `update_manager` or `UPDATE_MANAGER`.
fn forbidden(name: &str) -> impl Iterator<Item = &'static str> {
    let mut words = String::new();
    let mut before = '_';
    for c in name.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            words.push('_');
        }
        words.extend(c.to_lowercase());
        before = c;
    }
    FORBIDDEN.into_iter().filter(move |word| words.split('_').any(|part| part == *word))
}

fn rust_files() -> Vec<PathBuf> {
    ["src", "delta", "fetchers", "tests", "examples", "benches", "fuzz"]
        .into_iter()
        .flat_map(|dir| files(dir, "rs"))
        .collect()
}

fn assert_none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{} {what}:\n  {}\n", wrong.len(), wrong.join("\n  "));
}
