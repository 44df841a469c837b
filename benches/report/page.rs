//! The page.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::figure::{Curve, Entry, Figure, Goal, Missing};
use super::plots;
use super::stats::{Spread, growth, met, ratios, tame};

/// Writes `report.md` and its plots from what a run left in the directory.
pub(crate) fn write(directory: &Path) -> PathBuf {
    let results = fs::read_to_string(directory.join("results.jsonl")).unwrap_or_default();
    let entries: Vec<Entry> =
        results.lines().map(|line| serde_json::from_str(line).expect("a line of results")).collect();
    let machine = fs::read_to_string(directory.join("machine.txt")).unwrap_or_default();
    let path = directory.join("report.md");
    fs::write(&path, page(directory, &machine, &entries)).unwrap();
    path
}

fn page(directory: &Path, machine: &str, entries: &[Entry]) -> String {
    let figures: Vec<&Figure> = entries
        .iter()
        .filter_map(|entry| if let Entry::Figure(figure) = entry { Some(figure) } else { None })
        .collect();
    let curves: Vec<&Curve> =
        entries.iter().filter_map(|entry| if let Entry::Curve(curve) = entry { Some(curve) } else { None }).collect();
    let missing: Vec<&Missing> = entries
        .iter()
        .filter_map(|entry| if let Entry::Missing(missing) = entry { Some(missing) } else { None })
        .collect();
    let mut page = String::from(
        "For whoever compares: one run of `cargo bench --bench report`, as it wrote it.\n\n\
         # fetchd beside its peers\n\n| | |\n|---|---|\n",
    );
    for (name, value) in machine.lines().filter_map(|line| line.split_once('\t')) {
        let _ = writeln!(page, "| {name} | {} |", cell(value));
    }
    page.push_str(
        "\nEvery ratio is fetchd's figure divided by the peer's of the same round, so the machine's mood is in both. \
         Each triple is the least, the middle and the most of the rounds; goals are judged by the middle.\n",
    );
    goals(&mut page, &figures, &curves);
    for bench in names(figures.iter().map(|figure| &*figure.bench)) {
        let of: Vec<&Figure> = figures.iter().copied().filter(|figure| figure.bench == bench).collect();
        let _ = writeln!(page, "\n## {bench}\n\nWhat it printed: [{bench}.txt]({bench}.txt).");
        compared(&mut page, &of);
        alone(&mut page, &of);
        if let Some(plot) = plots::of_ratios(directory, bench, &of) {
            let _ = writeln!(page, "\n![Ratios of {bench}, as in the table]({plot})");
        }
    }
    grown(&mut page, directory, &curves);
    if !missing.is_empty() {
        page.push_str("\n## Not measured\n\n");
        for missing in missing {
            let _ = writeln!(page, "- {}: {}: {}", missing.bench, missing.missing, missing.why);
        }
    }
    page
}

/// What was aimed at, in one list.
fn goals(page: &mut String, figures: &[&Figure], curves: &[&Curve]) {
    let of_figures =
        figures.iter().filter_map(|figure| Some((met(figure)?, format!("{}: {}", figure.bench, title(figure)))));
    let of_curves = curves
        .iter()
        .filter_map(|curve| Some((tame(curve)?, format!("{}: {} by {}", curve.bench, curve.what, curve.along))));
    let all: Vec<(bool, String)> = of_figures.chain(of_curves).collect();
    let missed: Vec<&String> = all.iter().filter(|(met, _)| !met).map(|(_, name)| name).collect();
    let _ = writeln!(page, "\n## Goals\n\n{} of {} are met.", all.len() - missed.len(), all.len());
    if !missed.is_empty() {
        page.push_str("Missed:\n\n");
        for name in missed {
            let _ = writeln!(page, "- {name}");
        }
    }
}

fn title(figure: &Figure) -> String {
    figure.peer.as_ref().map_or_else(|| figure.what.clone(), |peer| format!("{} / {peer}", figure.what))
}

fn compared(page: &mut String, figures: &[&Figure]) {
    let rows: Vec<(&&Figure, Spread)> = figures
        .iter()
        .filter(|figure| figure.peer.is_some())
        .filter_map(|figure| Some((figure, ratios(figure)?)))
        .collect();
    if rows.is_empty() {
        return;
    }
    page.push_str(
        "\n| | unit | fetchd | peer | the peer's | ratio | goal | |\n|---|---|---:|---|---:|---:|---:|---|\n",
    );
    for (figure, ratio) in rows {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | **{}** | {} | {} |",
            cell(&figure.what),
            figure.unit,
            triple(Spread::of(&figure.ours)),
            cell(figure.peer.as_deref().unwrap_or_default()),
            triple(Spread::of(&figure.peers)),
            triple(Some(ratio)),
            goal(figure.goal),
            verdict(met(figure)),
        );
    }
}

fn alone(page: &mut String, figures: &[&Figure]) {
    let rows: Vec<&&Figure> = figures.iter().filter(|figure| figure.peer.is_none()).collect();
    if rows.is_empty() {
        return;
    }
    page.push_str("\n| without a peer | unit | fetchd | goal | |\n|---|---|---:|---:|---|\n");
    for figure in rows {
        let ours = triple(Spread::of(&figure.ours));
        let (goal, verdict) = (goal(figure.goal), verdict(met(figure)));
        let _ = writeln!(page, "| {} | {} | {ours} | {goal} | {verdict} |", cell(&figure.what), figure.unit);
    }
}

fn grown(page: &mut String, directory: &Path, curves: &[&Curve]) {
    if curves.is_empty() {
        return;
    }
    page.push_str(
        "\n## How costs grow\n\nThe exponent is the slope of the logarithms: 0 does not grow, 1 grows in proportion. *Upper half* is that of the \
         larger half of the sizes, where fixed costs hide less, and is what the goal is about.\n\n\
         | | by | from | to | unit | at first | at last | exponent | upper half | goal | |\n\
         |---|---|---:|---:|---|---:|---:|---:|---:|---:|---|\n",
    );
    for curve in curves {
        let (Some(growth), Some(first), Some(last)) = (growth(curve), curve.points.first(), curve.points.last()) else {
            continue;
        };
        let most = curve.times.map_or_else(String::new, |times| format!(", last ≤ {times} x first"));
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} | {:.2} | **{:.2}** | ≤ {:.2}{most} | {} |",
            cell(&curve.what),
            curve.along,
            first.0,
            last.0,
            curve.unit,
            triple(Spread::of(&first.1)),
            triple(Spread::of(&last.1)),
            growth.all,
            growth.upper,
            curve.exponent,
            verdict(tame(curve)),
        );
    }
    page.push_str("\nWhat it printed: [growth.txt](growth.txt).\n");
    for along in names(curves.iter().map(|curve| &*curve.along)) {
        let of: Vec<&Curve> = curves.iter().copied().filter(|curve| curve.along == along).collect();
        for unit in names(of.iter().map(|curve| &*curve.unit)) {
            let of: Vec<&Curve> = of.iter().copied().filter(|curve| curve.unit == unit).collect();
            for plot in plots::of_growth(directory, along, unit, &of) {
                let _ = writeln!(page, "\n![Cost by {along}, as in the table]({plot})");
            }
        }
    }
}

/// Each name once, in the order of their first appearance.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names = Vec::new();
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn goal(goal: Option<Goal>) -> String {
    match goal {
        None => String::new(),
        Some(Goal::AtMost(bound)) => format!("≤ {}", number(bound)),
        Some(Goal::AtLeast(bound)) => format!("≥ {}", number(bound)),
    }
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        None => "",
        Some(true) => "met",
        Some(false) => "**MISSED**",
    }
}

/// One number where all three are the same.
fn triple(spread: Option<Spread>) -> String {
    let Some(Spread { least, middle, most }) = spread else { return String::new() };
    let [least, middle, most] = [least, middle, most].map(number);
    if least == most { middle } else { format!("{least} / {middle} / {most}") }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        size if size >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

/// Text that does not end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
