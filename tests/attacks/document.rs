//! `docs/security.md` shows the table, and what it names exists.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::SECTIONS;
use crate::table::{Carry, Case, Change, Play, Verdict};

const PAGE: &str = "docs/security.md";
const BEGIN: &str = "<!-- The table of tests/attacks: UPDATE_SNAPSHOTS=1 cargo test --test attacks writes it. -->\n";
const END: &str = "<!-- The end of the table. -->\n";

/// The page holds the table as it is; with `UPDATE_SNAPSHOTS=1` it is put there.
pub fn check_page() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page says where the table begins");
    let (_, after) = rest.split_once(END).expect("the page says where the table ends");
    let wanted = format!("{before}{BEGIN}\n{}{END}{after}", table());
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &wanted).unwrap();
    } else {
        assert!(
            page == wanted,
            "{PAGE} is out of date; `UPDATE_SNAPSHOTS=1 cargo test --test attacks` brings it up to date"
        );
    }
}

fn table() -> String {
    let mut text = String::new();
    for (section, cases) in SECTIONS {
        write!(text, "### {section}\n\n| # | attack | over | exit | code | event |\n|---|---|---|---|---|---|\n")
            .unwrap();
        for case in *cases {
            for play in case.plays {
                text.push_str(&row(case, play));
            }
        }
        text.push('\n');
    }
    text
}

fn row(case: &Case, play: &Play) -> String {
    let (id, attack) = (case.id, case.attack);
    let attack = if play.variant().is_empty() {
        attack.to_owned()
    } else {
        format!("{attack}: {}", play.variant().replace('-', " "))
    };
    let end = |verdict: &Verdict| {
        let code = |text: &str| if text.is_empty() { "–".to_owned() } else { format!("`{text}`") };
        let exit = if verdict.change == Change::Installed { "0, taken".to_owned() } else { verdict.exit.to_string() };
        format!("{exit} | {} | {} |\n", code(verdict.code), code(verdict.event))
    };
    match play {
        Play::Serve { over, verdict, .. } | Play::Act { over, verdict, .. } => {
            let over: Vec<&str> = over.iter().copied().map(Carry::name).collect();
            format!("| {id} | {attack} | {} | {}", over.join(", "), end(verdict))
        }
        Play::Proved { by, verdict } => {
            let by: Vec<String> = by.iter().map(|(_, name)| format!("`{name}`")).collect();
            format!("| {id} | {attack} | by {} | {}", by.join(", "), end(verdict))
        }
        Play::DoesNotApply { why } => format!("| {id} | {attack} | does not apply: {why} | | | |\n"),
    }
}

/// A proof elsewhere is a function of this name in that file, below a `#[test]` or in a macro of tests.
pub fn check_proofs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for case in SECTIONS.iter().flat_map(|(_, cases)| cases.iter()) {
        for play in case.plays {
            let Play::Proved { by, .. } = play else { continue };
            assert!(!by.is_empty(), "case {} is proved by nothing", case.id);
            for (file, name) in *by {
                let text = fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
                assert!(
                    text.contains(&format!("fn {name}(")),
                    "{file} has no test `{name}`, which proves case {}",
                    case.id
                );
            }
        }
    }
}
