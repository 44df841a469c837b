//! The page shows the table as it is played.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::failures::{COLUMNS, Cell, Fault};

const PAGE: &str = "docs/drivers.md";
const BEGIN: &str = "<!-- The table of tests/support/failures.rs: UPDATE_SNAPSHOTS=1 cargo test --test drivers -- page writes it. -->\n";
const END: &str = "<!-- The end of the table. -->\n";

#[test]
fn the_page_shows_every_failure_of_every_driver() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page says where the table begins");
    let (_, after) = rest.split_once(END).expect("the page says where the table ends");
    let wanted = format!("{before}{BEGIN}\n{}\n{END}{after}", table());
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &wanted).unwrap();
    } else {
        assert!(page == wanted, "{PAGE} is out of date: UPDATE_SNAPSHOTS=1 cargo test --test drivers -- page");
    }
}

/// The table, and below it why some of its cells are empty.
fn table() -> String {
    let mut text = "| a release that … |".to_owned();
    COLUMNS.iter().for_each(|column| write!(text, " {} |", column.name).unwrap());
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(COLUMNS.len()));
    let mut reasons: Vec<&str> = Vec::new();
    for (row, fault) in Fault::ALL.into_iter().enumerate() {
        write!(text, "\n| {} |", fault.words()).unwrap();
        for column in &COLUMNS {
            let shown = match column.cells[row] {
                Cell::Fails(codes) => quoted(codes),
                Cell::Ends(codes) => format!("{}, **ends**", quoted(codes)),
                Cell::Unseen => "not started".to_owned(),
                Cell::Never(why) => {
                    let known = reasons.iter().position(|reason| *reason == why).unwrap_or(reasons.len());
                    if known == reasons.len() {
                        reasons.push(why);
                    }
                    format!("never ({})", known + 1)
                }
            };
            write!(text, " {shown} |").unwrap();
        }
    }
    text.push_str("\n| played by |");
    COLUMNS.iter().for_each(|column| write!(text, " `{}` |", column.test).unwrap());
    text.push_str("\n\nWhy some never occur:\n\n");
    for (at, why) in reasons.iter().enumerate() {
        writeln!(text, "{}. {why}", at + 1).unwrap();
    }
    text
}

fn quoted(codes: &[&str]) -> String {
    codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(" or ")
}
