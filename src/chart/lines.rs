//! Lines over two axes.

use std::fmt::Write as _;

use super::{TOP, WIDTH, begin, count, escaped, number};

/// The size of a plot, and where its axes are.
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 250.0;
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

/// A line of a plot.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// What it is, as written beside it.
    pub name: &'a str,
    /// Where it goes, from left to right.
    pub points: &'a [(f64, f64)],
}

/// What a plot of lines is about.
#[derive(Debug, Clone, Copy)]
pub struct Axes<'a> {
    /// Its title.
    pub title: &'a str,
    /// What goes from left to right, with its unit.
    pub across: &'a str,
    /// What goes upwards, with its unit.
    pub down: &'a str,
    /// How both are divided.
    pub scale: Scale,
}

/// How axes are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from zero.
    Even,
    /// The same, and upwards are shares of one.
    PerCent,
    /// By powers of ten on both axes: a straight line is a power, and a straight line at 45° in units of the axes is proportional.
    Logarithmic,
}

/// One axis: its ends, as they are on the paper, and its ticks.
struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
    ticks: Vec<f64>,
}

impl Axis {
    fn even(most: f64) -> Axis {
        Axis {
            from: 0.0,
            to: most,
            logarithmic: false,
            ticks: (0..=4).map(|tick| most * f64::from(tick) / 4.0).collect(),
        }
    }

    /// From one power of ten to another.
    fn powers(values: impl Iterator<Item = f64> + Clone) -> Axis {
        let values = values.filter(|value| *value > 0.0);
        let least = values.clone().fold(f64::MAX, f64::min).min(1e12).log10().floor();
        let most = values.fold(1e-12, f64::max).log10().ceil();
        let (from, to) = if least < most { (least, most) } else { (most - 1.0, most.max(least)) };
        // Exponents are few and small.
        #[allow(clippy::cast_possible_truncation, reason = "at most 24 of them")]
        let ticks = (from as i32..=to as i32).map(|power| 10.0_f64.powi(power)).collect();
        Axis { from, to, logarithmic: true, ticks }
    }

    /// Which part of its length a value is at.
    fn part(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.max(1e-12).log10() } else { value };
        ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }
}

/// Lines, with their names at the right.
pub fn lines(axes: &Axes<'_>, lines: &[Line<'_>]) -> String {
    let all = || lines.iter().flat_map(|line| line.points);
    let (across, up) = if axes.scale == Scale::Logarithmic {
        (Axis::powers(all().map(|point| point.0)), Axis::powers(all().map(|point| point.1)))
    } else {
        let top = nice(all().map(|point| point.1).fold(0.0, f64::max));
        let top = if axes.scale == Scale::PerCent { top.min(1.0) } else { top };
        (Axis::even(nice(all().map(|point| point.0).fold(0.0, f64::max))), Axis::even(top))
    };
    let (wide, high) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    let x = |at: f64| LEFT + across.part(at) * wide;
    let y = |at: f64| TOP + high - up.part(at) * high;
    let mut svg = begin(axes.title, LEFT, HEIGHT);
    for tick in &up.ticks {
        let text = if axes.scale == Scale::PerCent { format!("{} %", number(tick * 100.0)) } else { number(*tick) };
        let at = y(*tick);
        let _ = write!(
            svg,
            "<line x1='{LEFT}' x2='{}' y1='{at:.1}' y2='{at:.1}' class='grid'/>\
             <text x='{}' y='{:.1}' text-anchor='end' class='ink'>{text}</text>",
            LEFT + wide,
            LEFT - 8.0,
            at + 4.0,
        );
    }
    for tick in &across.ticks {
        let _ = write!(
            svg,
            "<text x='{:.1}' y='{:.1}' text-anchor='middle' class='ink'>{}</text>",
            x(*tick),
            TOP + high + 18.0,
            number(*tick)
        );
    }
    let _ = write!(
        svg,
        "<text x='{:.1}' y='{:.1}' text-anchor='middle' class='ink'>{}</text>\
         <text x='14' y='{:.1}' transform='rotate(-90 14 {:.1})' text-anchor='middle' class='ink'>{}</text>",
        LEFT + wide / 2.0,
        HEIGHT - 8.0,
        escaped(axes.across),
        TOP + high / 2.0,
        TOP + high / 2.0,
        escaped(axes.down),
    );
    for (place, line) in lines.iter().enumerate() {
        let (dash, thick) = DASHES[place % DASHES.len()];
        let points: Vec<String> =
            line.points.iter().map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
        let at = TOP + 12.0 + 20.0 * count(place);
        let from = LEFT + wide + 16.0;
        let style =
            format!("class='l{}' stroke-width='{thick}' stroke-dasharray='{dash}' fill='none'", place % DASHES.len());
        let _ = write!(
            svg,
            "<polyline points='{}' {style}/><line x1='{from:.1}' x2='{:.1}' y1='{at:.1}' y2='{at:.1}' {style}/>\
             <text x='{:.1}' y='{:.1}' class='ink'>{}</text>",
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

/// The end of an axis that has everything up to `value`: 1, 2, 4, 5 or 8 of some power of ten.
fn nice(value: f64) -> f64 {
    let power = 10.0_f64.powf(value.max(1e-9).log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].into_iter().map(|step| step * power).find(|end| *end >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_dashes_of_its_own_and_axes_end_at_round_numbers() {
        let mut dashes: Vec<String> = DASHES.iter().map(|dash| format!("{dash:?}")).collect();
        dashes.sort();
        dashes.dedup();
        assert_eq!(dashes.len(), DASHES.len());
        assert_eq!((nice(0.7), nice(31.0), nice(1100.0)), (0.8, 40.0, 2000.0));
    }
}
