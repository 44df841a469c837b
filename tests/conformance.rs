//! The conformance suite over every fetcher there is, and over one written outside of
//! `fetchd-fetchers`, and the page that says what came of it. A new fetcher is two lines here.

// A test may stop at anything unexpected, its helpers too.
#![allow(clippy::unwrap_used)]

#[path = "support/memory_fetcher.rs"]
mod memory_fetcher;

use std::fmt::Write as _;

use fetchd_fetchers::conformance::{Declined, FileOrigin, HttpOrigin};
use fetchd_stand_ins::github::GitHubOrigin;
use fetchd_stand_ins::s3::S3Origin;

fetchd_fetchers::conformance_tests!(file, FileOrigin::start);
fetchd_fetchers::conformance_tests!(http, HttpOrigin::start);
fetchd_fetchers::conformance_tests!(s3, S3Origin::start);
fetchd_fetchers::conformance_tests!(github, GitHubOrigin::start);
fetchd_fetchers::conformance_tests!(memory, crate::memory_fetcher::MemoryOrigin::start);

/// `docs/fetchers/conformance.md` is what the suite says. `UPDATE_SNAPSHOTS=1` rewrites it.
#[test]
fn the_page_says_what_the_suite_says() {
    let fetchers = [
        ("`file:`", fetchd_fetchers::conformance_verdicts!(FileOrigin::start)),
        ("`http:`", fetchd_fetchers::conformance_verdicts!(HttpOrigin::start)),
        ("`s3:`", fetchd_fetchers::conformance_verdicts!(S3Origin::start)),
        ("`github:`", fetchd_fetchers::conformance_verdicts!(GitHubOrigin::start)),
        ("of one's own", fetchd_fetchers::conformance_verdicts!(crate::memory_fetcher::MemoryOrigin::start)),
    ];
    let mut page = String::from(PREFACE);
    let columns: Vec<&str> = fetchers.iter().map(|(name, _)| *name).collect();
    writeln!(page, "| rule | {} |\n|---|{}", columns.join(" | "), "---|".repeat(columns.len())).unwrap();
    let mut notes = Vec::new();
    for at in 0..fetchers[0].1.len() {
        let rule = fetchers[0].1[at].0;
        write!(page, "| {} |", rule.replace('_', " ")).unwrap();
        for (name, verdicts) in &fetchers {
            assert_eq!(verdicts[at].0, rule);
            match verdicts[at].1 {
                // Root may read every file; what the page says does not depend on who runs the tests.
                _ if *name == "`file:`" && rule == "forbidden_is_denied" => {
                    notes.push(format!("{name}, \"{}\": holds for every user but root", rule.replace('_', " ")));
                    write!(page, " [{}] |", notes.len()).unwrap();
                }
                Ok(()) => page.push_str(" holds |"),
                Err(Declined(reason)) => {
                    notes.push(format!("{name}, \"{}\": {reason}", rule.replace('_', " ")));
                    write!(page, " [{}] |", notes.len()).unwrap();
                }
            }
        }
        page.push('\n');
    }
    if !notes.is_empty() {
        page.push_str("\nWhere a rule does not apply:\n\n");
        notes.iter().enumerate().for_each(|(at, note)| writeln!(page, "{}. {note}.", at + 1).unwrap());
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fetchers/conformance.md");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, page, "run it with UPDATE_SNAPSHOTS=1");
}

const PREFACE: &str = "\
For those who want to know what may be relied upon whatever the source is.

# What every fetcher promises

Written by `tests/conformance.rs`, from one run of the conformance suite (`fetchd_fetchers::conformance`) over
each fetcher. The servers behind `http:`, `s3:` and `github:` are in this repository and misbehave on demand; \"of one's
own\" is a fetcher that knows nothing but the trait ([how to write one](../writing-a-fetcher.md)).

";
