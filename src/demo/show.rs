//! The demo as text.

use std::fmt::Write as _;

use super::report::{Report, Step};

/// Where nothing is to be said.
const NONE: &str = "-";

/// How text is written.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// With colours.
    pub colour: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn outcome(self, step: &Step, text: &str) -> String {
        let code = match step.outcome {
            "live" => "32",
            "unexpected" => "1;31",
            _ => "33",
        };
        self.paint(code, text)
    }

    fn failed(self, failed: u64, text: &str) -> String {
        self.paint(if failed == 0 { "32" } else { "1;31" }, text)
    }

    /// What is said before the first step.
    pub fn begun(self, dir: &str, supervisor: u32, address: &str, clients: usize) -> Vec<String> {
        let row = |name: &str, text: String| format!("  {}{text}", self.dim(&format!("{name:<12}")));
        vec![
            self.paint("1", "fetchd demo: one service, good releases and bad ones, and nobody notices"),
            row("directory", dir.to_owned()),
            row("supervisor", format!("pid {supervisor}, holds {address}, follows http:// on this machine")),
            row(
                "clients",
                format!(
                    "{clients} with a new connection per request, {clients} that keep theirs, and slow requests \
                     in flight"
                ),
            ),
            String::new(),
        ]
    }

    /// The line of a step that has begun.
    pub fn next(self, release: &str, flaw: &str) -> String {
        format!("  {release:<9} {:<21} {}", self.dim(&named(flaw)), self.dim("…"))
    }

    /// The line of a step that has ended. `requests` and `failed` are up to here.
    pub fn done(self, step: &Step, requests: u64, failed: u64) -> String {
        let Step { release, flaw, did, ms, .. } = step;
        let what = format!("{:<21}", named(flaw));
        let what = if flaw == "nothing" { what } else { self.dim(&what) };
        let did = self.outcome(step, &format!("{did:<46}"));
        let failed = self.failed(failed, &format!("{failed} failed"));
        format!(
            "  {release:<9} {what} {did} {:>8}   {:>7} requests, {failed}",
            format!("{} ms", grouped(*ms)),
            grouped(requests)
        )
    }

    /// The table and the totals.
    pub fn report(self, report: &Report) -> Vec<String> {
        let head = ["release", "what was wrong", "what fetchd did", "code", "requests", "failed", "longest"];
        let rows: Vec<[String; 7]> = report
            .steps
            .iter()
            .map(|step| {
                let first = step.did.lines().next().unwrap_or_default().to_owned();
                [
                    step.release.clone(),
                    step.flaw.clone(),
                    first,
                    step.code.clone().unwrap_or_else(|| NONE.to_owned()),
                    grouped(step.requests),
                    step.failed.to_string(),
                    format!("{:.1} ms", step.longest_ms),
                ]
            })
            .collect();
        let mut widths = head.map(|text| text.chars().count());
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |cells: &[String; 7]| {
            let mut text = String::from(" ");
            for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
                // Numbers stand to the right. A writer into a String cannot fail.
                let _ = if at < 4 { write!(text, " {cell:<width$} ") } else { write!(text, " {cell:>width$} ") };
            }
            text.trim_end().to_owned()
        };
        let rule = format!("  {}", "─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1)));
        let mut lines = vec![String::new(), self.paint("1", &line(&head.map(str::to_owned))), self.dim(&rule)];
        for (row, step) in rows.iter().zip(&report.steps) {
            let text = line(row);
            lines.push(if step.outcome == "unexpected" || step.failed > 0 { self.paint("31", &text) } else { text });
        }
        lines.push(self.dim(&rule));
        lines.extend(self.totals(report));
        lines
    }

    fn totals(self, report: &Report) -> Vec<String> {
        let row = |name: &str, text: String| format!("  {}{text}", self.dim(&format!("{name:<12}")));
        let mut sorted = report.handoff_ms.clone();
        sorted.sort_unstable();
        let p50 = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        let max = sorted.last().copied().unwrap_or(0);
        let seconds = report.elapsed_ms as f64 / 1000.0;
        let failed = self.failed(report.failed, &format!("{} failed", report.failed));
        let (before, after) = (report.supervisor_pid_before, report.supervisor_pid_after);
        let same = if before == after { "the same process" } else { "another process" };
        vec![
            row("requests", format!("{} in {seconds:.1} s, {failed}", grouped(report.requests))),
            row(
                "releases",
                format!("{} handoffs, {} rollbacks, {} refused", report.handoffs, report.rollbacks, report.refused),
            ),
            row("handoff", format!("{p50} ms p50, {max} ms max; the old process serves meanwhile")),
            row("supervisor", format!("pid {before} before, pid {after} after: {same}")),
        ]
    }
}

fn named(flaw: &str) -> String {
    if flaw == "nothing" { "good".to_owned() } else { flaw.to_owned() }
}

/// A number with a thin gap between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
