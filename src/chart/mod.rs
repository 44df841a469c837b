//! Plots as SVG: lines that differ in their dashes and stand beside their names, bars and spans with their numbers. Nothing
//! depends on colour, and they can be read on a light and on a dark page.

mod bars;
mod lines;
mod spans;

pub use bars::bars;
pub use lines::{Axes, Line, Scale, lines};
pub use spans::{Span, spans};

/// The width of every plot.
pub const WIDTH: f64 = 860.0;
/// What is left free above what is plotted, for the title.
const TOP: f64 = 34.0;

/// What all plots begin with: their size, the colours of both kinds of page, the title.
fn begin(title: &str, left: f64, height: f64) -> String {
    let title = escaped(title);
    let rules = |colours: [&str; 8]| -> String {
        colours.iter().enumerate().map(|(number, colour)| format!(".l{number}{{stroke:{colour}}}")).collect()
    };
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' role='img' aria-label='{title}' \
         font-family='sans-serif' font-size='12'><style>.paper{{fill:#fff}}.ink{{fill:#111}}.pen{{stroke:#111}}\
         .solid{{fill:#555;stroke:#111}}.grid{{stroke:#bbb;stroke-width:.6}}{}\
         @media (prefers-color-scheme:dark){{.paper{{fill:#111418}}.ink{{fill:#eee}}.pen{{stroke:#eee}}\
         .solid{{fill:#aaa;stroke:#eee}}.grid{{stroke:#4a4f55}}{}}}</style>\
         <rect width='{WIDTH}' height='{height}' class='paper'/>\
         <text x='{left}' y='18' font-size='14' font-weight='bold' class='ink'>{title}</text>",
        rules(LIGHT),
        rules(DARK),
    )
}

/// Colours that differ in their lightness as well, on white and on black.
const LIGHT: [&str; 8] = ["#000000", "#0b5394", "#a61c00", "#38761d", "#674ea7", "#b45f06", "#444444", "#0e7c86"];
const DARK: [&str; 8] = ["#ffffff", "#7db4ea", "#ff9c8c", "#8fd18a", "#bba6f2", "#ffba74", "#bbbbbb", "#70d4d9"];

/// Text between tags.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;").replace('"', "&quot;")
}

/// A number of an axis, short.
pub fn number(value: f64) -> String {
    for (power, letter) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if value >= power * if power < 1e6 { 10.0 } else { 1.0 } {
            return number(value / power) + letter;
        }
    }
    let whole = value >= 10.0 || (value - value.round()).abs() < 1e-9;
    if whole { format!("{value:.0}") } else { format!("{value:.3}").trim_end_matches('0').to_owned() }
}

/// How many there are before this one, as a length.
fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_markup() {
        let points = [(0.0, 0.0), (1.0, 0.5)];
        let named = |name| Line { name, points: &points };
        let axes = Axes { title: "<b>", across: "hours", down: "share", scale: Scale::PerCent };
        let svg = lines(&axes, &[named("one"), named("a & b"), named("three")]);
        assert!(svg.contains("&lt;b&gt;") && svg.contains("a &amp; b") && !svg.contains("<b>"));
        assert!(bars("hit", &[("x".to_owned(), 0.0, "0".to_owned())]).ends_with("</svg>"));
        let span = Span { name: "a < b".to_owned(), range: (0.5, 0.6, 2.0), goal: Some(1.0), text: "0.6 x".to_owned() };
        let svg = spans("ratios", &[span]);
        assert!(svg.ends_with("</svg>") && svg.contains("a &lt; b") && svg.contains("0.6 x"));
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.004, 0.25, 3.0, 12.4, 2000.0, 40_000.0, 1e6, 1.5e9].map(number);
        assert_eq!(texts, ["0.004", "0.25", "3", "12", "2000", "40k", "1M", "1.5G"]);
    }

    #[test]
    fn a_logarithmic_plot_has_a_place_for_nothing_and_for_one_point() {
        for points in [&[][..], &[(0.0, 0.0)], &[(3.0, 7.0)], &[(1.0, 0.001), (1e9, 5e3)]] {
            let axes = Axes { title: "t", across: "size", down: "ms", scale: Scale::Logarithmic };
            let svg = lines(&axes, &[Line { name: "n", points }]);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{points:?}: {svg}");
        }
    }
}
