//! The pages keep their promises: links lead somewhere, the tests they name exist, every scheme
//! has a page, and the tables of exit codes and of drivers are those in the code.

#[path = "support/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use fetchd::failure::Exit;
use fetchd::restart::{self, Setup, SetupError, Stop};
use fetchd_fetchers::Registry;
use source::{files, root, text, tokens};

/// The pages whose every promise is proved by a test that they name.
const PROVED: [&str; 5] =
    ["docs/verification.md", "docs/handoff.md", "docs/upgrader.md", "docs/drivers.md", "docs/embedding.md"];

/// Schemes that share the page of another.
const SHARED: [(&str, &str); 1] = [("https", "http")];

#[test]
fn relative_links_resolve() {
    let mut wrong = Vec::new();
    for page in pages() {
        for (line, target) in links(&text(&page)) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let to = if file.is_empty() { page.clone() } else { beside(&page, file) };
            let at = format!("{}:{line}: `{target}`", page.display());
            if !root().join(&to).exists() {
                wrong.push(format!("{at} leads to no file"));
            } else if !anchor.is_empty() && to.extension().is_some_and(|e| e == "md") && !anchors(&to).contains(anchor)
            {
                wrong.push(format!("{at} leads to no heading"));
            }
        }
    }
    assert_none("links that lead nowhere", &wrong);
}

#[test]
fn tests_that_are_named_as_proof_exist() {
    let known = functions();
    let mut wrong = Vec::new();
    for page in PROVED.into_iter().map(Path::new).filter(|page| root().join(page).exists()) {
        let mut named = 0;
        for (line, code) in inline_code(&text(page)) {
            match proof(&code, &known) {
                Proof::None => {}
                Proof::Found => named += 1,
                Proof::Missing(what) => wrong.push(format!("{}:{line}: {what}", page.display())),
            }
        }
        if named == 0 {
            wrong.push(format!("{}: names no test", page.display()));
        }
    }
    assert_none("proofs that do not exist", &wrong);
}

/// Where something lies that a page names. What a page names elsewhere is a reader's own.
const OURS: [&str; 10] =
    ["src", "tests", "delta", "fetchers", "stand-ins", "examples", "benches", "packaging", "fuzz", "fixtures"];

#[test]
fn files_that_pages_name_exist() {
    let mut wrong = Vec::new();
    // A changelog may name what is gone.
    for page in pages().into_iter().filter(|page| page != Path::new("CHANGELOG.md")) {
        for (line, code) in inline_code(&text(&page)) {
            let path = code.split("::").next().unwrap_or_default().split_whitespace().next().unwrap_or_default();
            let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            let ours = path.split_once('/').is_some_and(|(dir, _)| OURS.contains(&dir));
            if plain && ours && !root().join(path).exists() {
                wrong.push(format!("{}:{line}: there is no `{path}`", page.display()));
            }
        }
    }
    assert_none("files that are named and do not exist", &wrong);
}

#[test]
fn every_scheme_has_a_page() {
    let registry = Registry::builtin();
    let schemes = registry.schemes();
    assert!(schemes.contains(&"file"), "{schemes:?}");
    let mut wrong = Vec::new();
    for scheme in schemes {
        let page = SHARED.iter().find(|(name, _)| *name == scheme).map_or(scheme, |(_, page)| page);
        let page = PathBuf::from(format!("docs/fetchers/{page}.md"));
        if !root().join(&page).exists() {
            wrong.push(format!("`{scheme}:` needs {}", page.display()));
        } else if !text(&page).contains(&format!("{scheme}:")) {
            wrong.push(format!("{} does not show a `{scheme}:` source", page.display()));
        }
    }
    assert_none("schemes without a page", &wrong);
}

#[test]
fn the_tables_of_drivers_name_those_that_exist_with_their_settings() {
    let page = text(Path::new("docs/drivers.md"));
    // The first cell of each row of the table with this heading, and the rest of the row.
    let rows = |heading: &str| -> Vec<(String, String)> {
        let (_, table) = page.split_once(heading).expect("the table is there");
        let cells = table.lines().skip(2).take_while(|line| line.starts_with("| `"));
        let pairs = cells.filter_map(|line| line.trim_start_matches("| `").split_once('`'));
        pairs.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
    };
    let setup = |options: &[(&str, &str)]| Setup {
        program: PathBuf::new(),
        deadline: Duration::ZERO,
        watch: Duration::ZERO,
        health: None,
        stop: Stop::default(),
        options: options.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect(),
    };
    let drivers = restart::Registry::builtin();
    let mut expected: Vec<(String, BTreeSet<String>)> = vec![(restart::SUPERVISE.to_owned(), BTreeSet::new())];
    for name in drivers.names() {
        let Err(SetupError::UnknownOption { known, .. }) = drivers.open(name, setup(&[("no such option", "")])) else {
            panic!("`{name}` takes any option");
        };
        expected.push((name.to_owned(), known.iter().map(|option| format!("restart_{option}")).collect()));
    }
    let mut shown: Vec<(String, BTreeSet<String>)> = rows("| driver | who runs the service |")
        .into_iter()
        .map(|(name, row)| {
            let code = row.split('`').skip(1).step_by(2).filter(|code| code.starts_with("restart_"));
            (name, code.map(str::to_owned).collect())
        })
        .collect();
    expected.sort();
    shown.sort();
    assert_eq!(shown, expected);

    // The error for a recipe that is none lists those that are.
    let wrong = setup(&[("pid_file", "/run/web.pid"), ("recipe", "none")]);
    let listed = drivers.open("signal", wrong).expect_err("no recipe of that name").to_string();
    let (_, listed) = listed.split_once("is not one of").expect("a list of recipes");
    let expected: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
    let shown: Vec<String> = rows("| `restart_recipe` | what it sends |").into_iter().map(|(name, _)| name).collect();
    assert_eq!(shown, expected);
}

#[test]
fn the_table_of_exit_codes_is_current() {
    const BEGIN: &str = "<!-- exit codes: begin, generated -->\n";
    const END: &str = "<!-- exit codes: end -->";
    let page = Path::new("docs/operations.md");
    let written = text(page);
    let (before, rest) = written.split_once(BEGIN).expect("operations.md has the marker that begins the table");
    let (_, after) = rest.split_once(END).expect("operations.md has the marker that ends the table");
    let rows = Exit::ALL.iter().map(|exit| format!("| {} | {} |\n", exit.number(), exit.meaning()));
    let table: String = ["| exit | meaning |\n".to_owned(), "|---|---|\n".to_owned()].into_iter().chain(rows).collect();
    let current = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(root().join(page), current).unwrap();
    } else {
        assert!(written == current, "docs/operations.md is out of date: UPDATE_SNAPSHOTS=1 cargo test --test docs");
    }
}

#[test]
fn every_dependency_has_its_line() {
    let page = text(Path::new("docs/design/0001-dependencies.md"));
    let mut wrong = Vec::new();
    for (manifest, heading) in [("Cargo.toml", "\n## fetchd\n"), ("fetchers/Cargo.toml", "\n## fetchd-fetchers\n")] {
        let (_, section) = page.split_once(heading).expect("a section for each package");
        let section = section.split("\n## ").next().unwrap_or_default();
        for name in dependencies(&text(Path::new(manifest))) {
            if !section.contains(&format!("`{name}`")) {
                wrong.push(format!("`{name}` of {manifest}"));
            }
        }
        for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
            let name = row.split('`').next().unwrap_or_default();
            if !dependencies(&text(Path::new(manifest))).iter().any(|known| known == name) {
                wrong.push(format!("`{name}` has a line and is not in {manifest}"));
            }
        }
    }
    assert_none("dependencies without a line of their own, or lines without one", &wrong);
}

#[test]
fn every_page_below_docs_says_first_who_it_is_for() {
    let mut wrong = Vec::new();
    for page in files("docs", "md").into_iter().filter(|page| !page.starts_with("docs/design")) {
        let written = text(&page);
        let first = written.lines().next().unwrap_or_default();
        if !first.starts_with("For ") {
            wrong.push(format!("{}: begins with `{first}`, not with `For …`", page.display()));
        }
    }
    assert_none("pages that do not say who they are for", &wrong);
}

#[test]
fn links_code_and_proofs_are_read_as_they_are_rendered() {
    let page =
        "# A `b` c\n[one](x.md) ![two](y.png \"title\")\n```\n[no](z.md) `no_such_test_at_all`\n```\n[d]: w.md\n";
    let found: Vec<_> = links(page).into_iter().map(|(line, target)| format!("{line} {target}")).collect();
    assert_eq!(found, ["2 x.md", "2 y.png", "6 w.md"]);
    assert_eq!(inline_code(page), [(1, "b".to_owned())]);
    assert_eq!(slug("What `fetchd` needs: a list, 2 of 3"), "what-fetchd-needs-a-list-2-of-3");
    let known = BTreeSet::from(["a_release_is_refused".to_owned(), "short".to_owned()]);
    assert_eq!(proof("a_release_is_refused", &known), Proof::Found);
    assert_eq!(proof("no_such_test_at_all", &known), Proof::Missing("no test `no_such_test_at_all`".to_owned()));
    assert_eq!(proof("tests/docs.rs::every_scheme_has_a_page", &known), Proof::Found);
    assert_eq!(proof("tests/docs.rs::short", &known), Proof::Missing("no `short` in `tests/docs.rs`".to_owned()));
    assert_eq!(proof("tests/none.rs", &known), Proof::Missing("no file `tests/none.rs`".to_owned()));
    assert_eq!(proof("min_version", &known), Proof::None);
    assert_eq!(proof("cargo test --workspace", &known), Proof::None);
}

#[derive(Debug, PartialEq)]
enum Proof {
    /// It names no test.
    None,
    Found,
    Missing(String),
}

/// What a piece of code in a page says about tests. A test is named as `tests/x.rs`, as
/// `tests/x.rs::name`, or by its name alone, which then has at least four words: names of settings
/// and fields have fewer.
fn proof(code: &str, known: &BTreeSet<String>) -> Proof {
    let (file, name) = match code.split_once("::") {
        Some((file, name)) => (file, Some(name.rsplit("::").next().unwrap_or(name))),
        None => (code, None),
    };
    if file.ends_with(".rs") && !file.contains(char::is_whitespace) {
        if !root().join(file).is_file() {
            return Proof::Missing(format!("no file `{file}`"));
        }
        return match name {
            Some(name) if !functions_of(Path::new(file)).contains(name) => {
                Proof::Missing(format!("no `{name}` in `{file}`"))
            }
            _ => Proof::Found,
        };
    }
    let plain = code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !plain || code.split('_').filter(|word| !word.is_empty()).count() < 4 {
        return Proof::None;
    }
    if known.contains(code) { Proof::Found } else { Proof::Missing(format!("no test `{code}`")) }
}

/// Every function of the tree.
fn functions() -> BTreeSet<String> {
    let dirs = ["src", "fetchers", "stand-ins", "tests", "examples"];
    dirs.into_iter().flat_map(|dir| files(dir, "rs")).flat_map(|path| functions_of(&path)).collect()
}

fn functions_of(path: &Path) -> BTreeSet<String> {
    let tokens = tokens(&text(path));
    let named = tokens.windows(2).filter(|pair| pair[0].text == "fn");
    named.map(|pair| pair[1].text.clone()).collect()
}

/// The direct dependencies of a package, those of its tests included, as its manifest lists them.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut listed = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            listed = line == "[dependencies]" || line == "[dev-dependencies]";
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| listed && !line.starts_with('#')) {
            found.push(name.to_owned());
        }
    }
    assert!(!found.is_empty(), "the manifest has no dependencies");
    found
}

fn pages() -> Vec<PathBuf> {
    let top = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(PathBuf::from);
    top.into_iter().filter(|page| root().join(page).exists()).chain(files("docs", "md")).collect()
}

/// The lines of a page outside its code blocks, numbered from 1.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    page.lines().enumerate().map(|(number, line)| (number + 1, line)).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// Where the links of a page lead, with their lines.
fn links(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(page) {
        let bare = without_code(line);
        let inline = bare.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        found.extend(inline.map(|target| (number, target.to_owned())));
        if let Some((_, target)) = bare.split_once("]: ").filter(|_| bare.starts_with('[')) {
            found.push((number, target.trim().to_owned()));
        }
    }
    found
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

fn inline_code(page: &str) -> Vec<(usize, String)> {
    let of_line = |(number, line): (usize, &str)| {
        line.split('`').skip(1).step_by(2).map(|code| (number, code.to_owned())).collect::<Vec<_>>()
    };
    prose(page).flat_map(of_line).collect()
}

fn anchors(page: &Path) -> BTreeSet<String> {
    let written = text(page);
    let headings = prose(&written).filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| slug(line.trim_start_matches('#').trim())).collect()
}

/// A heading as the anchor that it gets.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// `link` as written in `page`, relative to the root.
fn beside(page: &Path, link: &str) -> PathBuf {
    let mut to = PathBuf::new();
    for part in page.parent().unwrap_or(Path::new("")).join(link).components() {
        match part {
            Component::ParentDir if to.file_name().is_some() => drop(to.pop()),
            part => to.push(part),
        }
    }
    to
}

fn assert_none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{} {what}:\n  {}\n", wrong.len(), wrong.join("\n  "));
}
