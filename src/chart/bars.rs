//! Bars.

use std::fmt::Write as _;

use super::{TOP, WIDTH, begin, count, escaped};

/// Bars whose lengths are the logarithms of their values: a name, a value, and the value's text.
pub fn bars(title: &str, bars: &[(String, f64, String)]) -> String {
    let room = 330.0;
    let height = TOP + 24.0 * count(bars.len()) + 16.0;
    let most = bars.iter().map(|(_, value, _)| value.max(1.0).log10()).fold(1.0, f64::max);
    let mut svg = begin(title, 70.0, height);
    for (number, (name, value, text)) in bars.iter().enumerate() {
        let at = TOP + 24.0 * count(number);
        let long = (value.max(1.0).log10() / most * (WIDTH - room - 150.0)).max(1.0);
        let _ = write!(
            svg,
            "<text x='{:.1}' y='{:.1}' text-anchor='end' class='ink'>{}</text>\
             <rect x='{room}' y='{at:.1}' width='{long:.1}' height='16' class='solid'/>\
             <text x='{:.1}' y='{:.1}' class='ink'>{}</text>",
            room - 8.0,
            at + 13.0,
            escaped(name),
            room + long + 6.0,
            at + 13.0,
            escaped(text),
        );
    }
    svg.push_str("</svg>");
    svg
}
