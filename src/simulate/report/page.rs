//! The page, and the plots alone.

use std::fmt::Write as _;

use super::super::row::Row;
use super::table::{COLUMNS, cells};
use super::{grouped, whole};
use crate::chart::{Axes, Line, Scale, bars, escaped, lines};

/// The most lines of one plot: more cannot be told apart.
const MOST: usize = 8;

/// The plots, one below the other, as one picture.
pub fn svg(rows: &[Row]) -> String {
    let plots = plots(rows);
    let mut height = 0.0;
    let mut text = String::new();
    for (plot, tall) in &plots {
        let _ = write!(text, "<g transform='translate(0 {height})'>{}</g>", nested(plot, *tall));
        height += tall + 20.0;
    }
    format!("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 860 {height}' width='860'>{text}</svg>\n")
}

/// A picture within one has its size as well.
fn nested(plot: &str, tall: f64) -> String {
    plot.replacen("<svg ", &format!("<svg width='860' height='{tall}' "), 1)
}

fn plots(rows: &[Row]) -> Vec<(String, f64)> {
    let mut plots = Vec::new();
    for group in rows.chunks(MOST) {
        let named = |of: fn(&super::super::Curves) -> &[(f64, f64)]| {
            group.iter().map(move |row| Line { name: &row.case.name, points: of(row.curves()) }).collect::<Vec<_>>()
        };
        let started = named(|curves| &curves.started);
        let hours = "hours after the beginning";
        let axes =
            Axes { title: "Hosts that have started", across: hours, down: "share of the fleet", scale: Scale::PerCent };
        plots.push((lines(&axes, &started), 340.0));
        let counted: Vec<Line<'_>> = group
            .iter()
            .filter(|row| row.case.polls != super::super::Polls::Skip)
            .map(|row| Line { name: &row.case.name, points: &row.curves().requests })
            .collect();
        if !counted.is_empty() {
            let axes = Axes {
                title: "Requests to the bucket",
                across: hours,
                down: "requests per second",
                scale: Scale::Even,
            };
            plots.push((lines(&axes, &counted), 340.0));
        }
    }
    let hit: Vec<(String, f64, String)> = rows
        .iter()
        .map(|row| {
            let text = format!("{} ({:.3} %)", grouped(row.summary.hit), row.summary.hit_pct);
            (format!("{}, {} hosts", row.case.name, grouped(u64::from(row.case.hosts))), whole(row.summary.hit), text)
        })
        .collect();
    let tall = 50.0 + 24.0 * whole(hit.len() as u64);
    plots.push((bars("Hosts that started, by the logarithm", &hit), tall));
    plots
}

/// A page with the plots and the table; it needs nothing else.
pub fn html(rows: &[Row]) -> String {
    let mut table = String::from("<table><thead><tr>");
    for (head, _) in COLUMNS {
        let _ = write!(table, "<th scope='col'>{head}</th>");
    }
    table.push_str("</tr></thead><tbody>");
    for row in rows {
        table.push_str("<tr>");
        for (cell, (_, number)) in cells(row).iter().zip(COLUMNS) {
            let class = if number { " class='n'" } else { "" };
            let _ = write!(table, "<td{class}>{}</td>", escaped(cell));
        }
        table.push_str("</tr>");
    }
    table.push_str("</tbody></table>");
    let plots: String =
        plots(rows).iter().fold(String::new(), |text, (plot, _)| text + "<figure>" + plot + "</figure>");
    format!(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>fetchd: rollouts in simulation</title>\
         <style>:root{{color-scheme:light dark}}body{{font:15px/1.45 sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}}\
         table{{border-collapse:collapse;font-size:13px}}th,td{{border-bottom:1px solid #ccc;padding:.25em .6em;text-align:left}}\
         .n{{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}}figure{{margin:1.5em 0}}</style></head><body>\
         <h1>Rollouts in simulation</h1><p>The machines that hosts and stewards run, in virtual time over a bucket in memory. \
         <em>Hosts hit</em> are hosts that started the release; middle values over the seeds, <em>most</em> is the worst seed, \
         <em>too late by</em> is how long after the reports in the bucket were enough the rollout stopped. \
         Curves are those of the first seed.</p>{plots}{table}</body></html>\n"
    )
}
