//! The table.

use super::super::row::Row;
use super::{grouped, time};

/// The columns, and whether a column is of numbers.
pub(super) const COLUMNS: [(&str, bool); 13] = [
    ("case", false),
    ("hosts", true),
    ("seeds", true),
    ("end", false),
    ("hosts hit", true),
    ("share", true),
    ("most", true),
    ("after halt", true),
    ("halted at", true),
    ("too late by", true),
    ("all after", true),
    ("cost", true),
    ("peak/s", true),
];

/// The cells of a row.
pub(super) fn cells(row: &Row) -> [String; COLUMNS.len()] {
    let (case, sum) = (&row.case, &row.summary);
    let ends = [("done", sum.done), ("halted", sum.halted), ("held", sum.held)];
    let ends: Vec<String> = ends
        .iter()
        .filter(|(_, many)| *many > 0)
        .map(|(end, many)| if *many == sum.seeds { (*end).to_owned() } else { format!("{end} {many}") })
        .collect();
    let counted = case.polls != super::super::Polls::Skip;
    [
        case.name.clone(),
        grouped(u64::from(case.hosts)),
        sum.seeds.to_string(),
        ends.join(", "),
        grouped(sum.hit),
        format!("{:.3} %", sum.hit_pct),
        grouped(sum.hit_most),
        grouped(sum.after_most),
        time(sum.halted_s),
        sum.latency_most_s.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds} s")),
        time(sum.all_s),
        if counted { format!("${:.2}", sum.cost) } else { "–".to_owned() },
        if counted { grouped(sum.peak) } else { "–".to_owned() },
    ]
}

/// A table for a terminal.
pub fn table(rows: &[Row]) -> String {
    let heads = COLUMNS.map(|(head, _)| head.to_owned());
    let lines: Vec<[String; COLUMNS.len()]> = std::iter::once(heads).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cell = |column: usize| {
            let pad = " ".repeat(widths[column] - line[column].chars().count());
            if COLUMNS[column].1 { format!("{pad}{}", line[column]) } else { format!("{}{pad}", line[column]) }
        };
        let cells: Vec<String> = (0..COLUMNS.len()).map(cell).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
