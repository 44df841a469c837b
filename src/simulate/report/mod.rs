//! What a person reads of a simulation: a table for a terminal, and a page with plots.

mod page;
mod table;

pub use page::{html, svg};
pub use table::table;

/// Seconds as people say them.
fn time(seconds: Option<u64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(seconds) if seconds < 5400 => format!("{:.0} min", whole(seconds) / 60.0),
        Some(seconds) => format!("{:.1} h", whole(seconds) / 3600.0),
    }
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn whole(number: u64) -> f64 {
    number as f64
}

/// A number with a space between its thousands.
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
