//! The plots, each a file of its own.

use std::fs;
use std::path::Path;

use fetchd::chart::{Axes, Line, Scale, Span, lines, spans};

use super::figure::{Curve, Figure, Goal};
use super::stats::{middles, ratios};

/// The most lines of one plot: more cannot be told apart.
const MOST: usize = 8;

/// Draws the ratios of one benchmark; the file's name, if there are any.
pub(crate) fn of_ratios(directory: &Path, bench: &str, figures: &[&Figure]) -> Option<String> {
    let rows: Vec<Span> = figures
        .iter()
        .filter_map(|figure| {
            let (peer, ratio) = (figure.peer.as_ref()?, ratios(figure)?);
            let goal = figure.goal.map(|(Goal::AtMost(bound) | Goal::AtLeast(bound))| bound);
            Some(Span {
                name: shortened(&format!("{} / {peer}", figure.what), 62),
                range: (ratio.least, ratio.middle, ratio.most),
                goal,
                text: format!("{:.2} ({:.2} to {:.2})", ratio.middle, ratio.least, ratio.most),
            })
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    let name = format!("{bench}.svg");
    let title = format!("{bench}: fetchd in terms of its peer; the triangle is the goal");
    fs::write(directory.join(&name), spans(&title, &rows)).unwrap();
    Some(name)
}

/// Draws the curves along one thing in one unit; the files' names.
pub(crate) fn of_growth(directory: &Path, along: &str, unit: &str, curves: &[&Curve]) -> Vec<String> {
    let file = |number: usize| {
        let plain: String = along.chars().map(|letter| if letter.is_alphanumeric() { letter } else { '-' }).collect();
        format!("growth-{plain}-{unit}-{number}.svg")
    };
    let mut names = Vec::new();
    for (number, group) in curves.chunks(MOST).enumerate() {
        let points: Vec<Vec<(f64, f64)>> = group.iter().map(|curve| middles(curve)).collect();
        // What follows the comma is in the table.
        let name = |curve: &&Curve| shortened(curve.what.split(',').next().unwrap_or_default(), 31);
        let labels: Vec<String> = group.iter().map(name).collect();
        let named: Vec<Line<'_>> = labels.iter().zip(&points).map(|(name, points)| Line { name, points }).collect();
        let title = format!("Cost by {along}");
        let axes = Axes { title: &title, across: along, down: unit, scale: Scale::Logarithmic };
        fs::write(directory.join(file(number)), lines(&axes, &named)).unwrap();
        names.push(file(number));
    }
    names
}

/// As much as there is room for.
fn shortened(name: &str, room: usize) -> String {
    if name.chars().count() <= room {
        return name.to_owned();
    }
    name.chars().take(room - 1).chain(['…']).collect()
}
