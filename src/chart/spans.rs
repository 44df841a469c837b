//! Spans: from the least to the most, with the middle marked, on one logarithmic axis of ratios.

use std::fmt::Write as _;

use super::{TOP, WIDTH, begin, count, escaped, number};

/// A row of the plot.
#[derive(Debug, Clone)]
pub struct Span {
    /// What was measured.
    pub name: String,
    /// The least, the middle and the most; all above zero.
    pub range: (f64, f64, f64),
    /// The bound that was set, drawn as an open triangle.
    pub goal: Option<f64>,
    /// The numbers, as text.
    pub text: String,
}

/// How much room names and texts have.
const NAMES: f64 = 380.0;
const TEXTS: f64 = 170.0;
const ROW: f64 = 24.0;

/// Rows of spans over an axis whose middle line is 1.
pub fn spans(title: &str, rows: &[Span]) -> String {
    let height = TOP + ROW * count(rows.len()) + 34.0;
    let numbers = || rows.iter().flat_map(|row| [row.range.0, row.range.2].into_iter().chain(row.goal));
    let usable = |value: &f64| value.is_finite() && *value > 0.0;
    let low = numbers().filter(usable).fold(0.9, f64::min).log10();
    let high = numbers().filter(usable).fold(1.1, f64::max).log10();
    let margin = (high - low) * 0.04;
    let wide = WIDTH - NAMES - TEXTS;
    let x = |value: f64| {
        let value = if usable(&value) { value.log10() } else { low };
        NAMES + (value - low + margin) / (high - low + 2.0 * margin) * wide
    };
    let foot = height - 28.0;
    let mut svg = begin(title, 16.0, height);
    for tick in ticks(low, high) {
        let (at, class) = (x(tick), if (tick - 1.0).abs() < 1e-9 { "pen" } else { "grid" });
        let _ = write!(
            svg,
            "<line x1='{at:.1}' x2='{at:.1}' y1='{TOP}' y2='{foot:.1}' class='{class}'/>\
             <text x='{at:.1}' y='{:.1}' text-anchor='middle' class='ink'>{} x</text>",
            foot + 16.0,
            number(tick),
        );
    }
    for (place, row) in rows.iter().enumerate() {
        let at = TOP + ROW * count(place) + 12.0;
        let (least, middle, most) = (x(row.range.0), x(row.range.1), x(row.range.2));
        let _ = write!(
            svg,
            "<text x='{:.1}' y='{:.1}' text-anchor='end' class='ink'>{}</text>\
             <line x1='{least:.1}' x2='{most:.1}' y1='{at:.1}' y2='{at:.1}' class='pen' stroke-width='2'/>\
             <circle cx='{middle:.1}' cy='{at:.1}' r='4' class='solid'/>\
             <text x='{:.1}' y='{:.1}' class='ink'>{}</text>",
            NAMES - 8.0,
            at + 4.0,
            escaped(&row.name),
            WIDTH - TEXTS + 8.0,
            at + 4.0,
            escaped(&row.text),
        );
        if let Some(goal) = row.goal {
            let goal = x(goal);
            let _ = write!(
                svg,
                "<path d='M{goal:.1} {:.1} l-5 9 h10 z' class='pen' fill='none'><title>goal</title></path>",
                at - 5.0,
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

/// Round numbers within the axis, 1 among them.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let steps: &[f64] = if high - low > 2.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let powers = (-6..=9).map(|power| 10.0_f64.powi(power));
    powers
        .flat_map(|power| steps.iter().map(move |step| step * power))
        .filter(|tick| (low - 1e-9..=high + 1e-9).contains(&tick.log10()))
        .collect()
}
