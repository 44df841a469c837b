//! Plots as SVG: lines that differ in their dashes and stand beside their names, bars with their numbers. Nothing depends on colour.

use std::fmt::Write as _;

/// The size of a plot, and where its axes are.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 250.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;

/// Dashes, and how thick a line is.
const DASHES: [(&str, f64); 8] = [
    ("", 2.2),
    ("9 4", 2.2),
    ("2 3", 2.2),
    ("12 4 2 4", 2.0),
    ("", 1.0),
    ("5 5", 1.2),
    ("1 5", 1.6),
    ("14 3 2 3 2 3", 1.4),
];

/// Colours that differ in their lightness as well.
const COLOURS: [&str; 8] = ["#000000", "#0b5394", "#a61c00", "#38761d", "#674ea7", "#b45f06", "#444444", "#0e7c86"];

/// A line of a plot.
#[derive(Debug, Clone)]
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) points: &'a [(f64, f64)],
}

/// Numbers of an axis: what is shown at its end, and how a number is written.
pub(super) fn lines(title: &str, down: &str, lines: &[Line<'_>], per_cent: bool) -> String {
    let far =
        |of: fn(&(f64, f64)) -> f64| lines.iter().flat_map(|line| line.points.iter().map(of)).fold(0.0_f64, f64::max);
    let right = nice(far(|point| point.0));
    let top = nice(far(|point| point.1)).min(if per_cent { 1.0 } else { f64::MAX });
    let (wide, high) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    let x = |at: f64| LEFT + at / right * wide;
    let y = |at: f64| TOP + high - at / top * high;
    let mut svg = begin(title, HEIGHT);
    for tick in 0..=4 {
        let part = f64::from(tick) / 4.0;
        let text = if per_cent { format!("{} %", number(top * part * 100.0)) } else { number(top * part) };
        let (at, down) = (y(top * part), TOP + high);
        let _ = write!(
            svg,
            "<line x1='{LEFT}' x2='{}' y1='{at:.1}' y2='{at:.1}' class='grid'/>\
             <text x='{}' y='{:.1}' text-anchor='end'>{text}</text>",
            LEFT + wide,
            LEFT - 8.0,
            at + 4.0,
        );
        let _ = write!(
            svg,
            "<text x='{:.1}' y='{:.1}' text-anchor='middle'>{}</text>",
            x(right * part),
            down + 18.0,
            number(right * part)
        );
    }
    let _ = write!(
        svg,
        "<text x='{:.1}' y='{:.1}' text-anchor='middle'>hours after the beginning</text>\
         <text x='14' y='{:.1}' transform='rotate(-90 14 {:.1})' text-anchor='middle'>{}</text>",
        LEFT + wide / 2.0,
        HEIGHT - 8.0,
        TOP + high / 2.0,
        TOP + high / 2.0,
        escaped(down),
    );
    for (number, line) in lines.iter().enumerate() {
        let ((dash, thick), colour) = (DASHES[number % DASHES.len()], COLOURS[number % COLOURS.len()]);
        let points: Vec<String> =
            line.points.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(value.min(top)))).collect();
        let at = TOP + 12.0 + 20.0 * f64::from(u32::try_from(number).unwrap_or(0));
        let from = LEFT + wide + 16.0;
        let style = format!("stroke='{colour}' stroke-width='{thick}' stroke-dasharray='{dash}' fill='none'");
        let _ = write!(
            svg,
            "<polyline points='{}' {style}/><line x1='{from:.1}' x2='{:.1}' y1='{at:.1}' y2='{at:.1}' {style}/>\
             <text x='{:.1}' y='{:.1}'>{}</text>",
            points.join(" "),
            from + 34.0,
            from + 40.0,
            at + 4.0,
            escaped(line.name),
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Bars whose lengths are the logarithms of their values.
pub(super) fn bars(title: &str, bars: &[(String, f64, String)]) -> String {
    let room = 330.0;
    let height = TOP + 24.0 * f64::from(u32::try_from(bars.len()).unwrap_or(0)) + 16.0;
    let most = bars.iter().map(|(_, value, _)| value.max(1.0).log10()).fold(1.0, f64::max);
    let mut svg = begin(title, height);
    for (number, (name, value, text)) in bars.iter().enumerate() {
        let at = TOP + 24.0 * f64::from(u32::try_from(number).unwrap_or(0));
        let long = (value.max(1.0).log10() / most * (WIDTH - room - 150.0)).max(1.0);
        let _ = write!(
            svg,
            "<text x='{:.1}' y='{:.1}' text-anchor='end'>{}</text>\
             <rect x='{room}' y='{at:.1}' width='{long:.1}' height='16' fill='#555' stroke='#000'/>\
             <text x='{:.1}' y='{:.1}'>{}</text>",
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

fn begin(title: &str, height: f64) -> String {
    let title = escaped(title);
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' role='img' aria-label='{title}' \
         font-family='sans-serif' font-size='12'><style>.grid{{stroke:#bbb;stroke-width:.6}}</style>\
         <rect width='{WIDTH}' height='{height}' fill='#fff'/>\
         <text x='{LEFT}' y='18' font-size='14' font-weight='bold'>{title}</text>"
    )
}

/// The end of an axis that has everything up to `value`: 1, 2, 4, 5 or 8 of some power of ten.
fn nice(value: f64) -> f64 {
    let power = 10.0_f64.powf(value.max(1e-9).log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].into_iter().map(|step| step * power).find(|end| *end >= value).unwrap_or(value)
}

fn number(value: f64) -> String {
    let whole = value >= 10.0 || (value - value.round()).abs() < 1e-9;
    if whole { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// Text between tags.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_markup_and_every_line_has_dashes_of_its_own() {
        let points = [(0.0, 0.0), (1.0, 0.5)];
        let named = |name| Line { name, points: &points };
        let svg = lines("<b>", "share", &[named("one"), named("a & b"), named("three")], true);
        assert!(svg.contains("&lt;b&gt;") && svg.contains("a &amp; b") && !svg.contains("<b>"));
        let mut dashes: Vec<String> = DASHES.iter().map(|dash| format!("{dash:?}")).collect();
        dashes.sort();
        dashes.dedup();
        assert_eq!(dashes.len(), DASHES.len());
        assert_eq!((nice(0.7), nice(31.0), nice(1100.0)), (0.8, 40.0, 2000.0));
        assert!(bars("hit", &[("x".to_owned(), 0.0, "0".to_owned())]).ends_with("</svg>"));
    }
}
