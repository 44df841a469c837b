//! Prometheus's text format, version 0.0.4: families of samples, each with what it says.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::{Display, Write as _};

/// The content type of a finished [`Text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How the values of a family behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They only grow, and begin again at 0.
    Counter,
    /// They are what they are now.
    Gauge,
}

/// Families of samples, one after the other.
#[derive(Debug)]
pub struct Text {
    text: String,
    /// The labels of every sample, as they are written.
    everywhere: String,
    name: &'static str,
}

impl Text {
    /// Nothing yet; every sample will carry the labels `everywhere`.
    pub fn new(everywhere: &[(&str, &str)]) -> Text {
        let mut labels = String::new();
        write_labels(&mut labels, everywhere);
        Text { text: String::new(), everywhere: labels, name: "" }
    }

    /// What follows are samples of `name`. Each family is begun once, and has a sample: the format knows no second group of
    /// the same name.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> &mut Text {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self.name = name;
        self
    }

    /// One sample of the family that was begun last. No two of them have the same labels.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Text {
        let mut all = self.everywhere.clone();
        write_labels(&mut all, labels);
        let _ = match all.as_str() {
            "" => writeln!(self.text, "{} {value}", self.name),
            all => writeln!(self.text, "{}{{{all}}} {value}", self.name),
        };
        self
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.text
    }
}

fn write_labels(text: &mut String, labels: &[(&str, &str)]) {
    for (label, value) in labels {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{label}=\"{value}\"");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_help_are_written_as_the_format_wants_them() {
        let mut text = Text::new(&[("product", "a\"b")]);
        text.family("fetchd_a_total", Kind::Counter, "One\nline, and a \\.").sample(&[], 1).sample(&[("c", "\\\n")], 2);
        text.family("fetchd_b", Kind::Gauge, "B.").sample(&[], 0.25);
        let expected = "# HELP fetchd_a_total One\\nline, and a \\\\.\n# TYPE fetchd_a_total counter\n\
                        fetchd_a_total{product=\"a\\\"b\"} 1\nfetchd_a_total{product=\"a\\\"b\",c=\"\\\\\\n\"} 2\n\
                        # HELP fetchd_b B.\n# TYPE fetchd_b gauge\nfetchd_b{product=\"a\\\"b\"} 0.25\n";
        assert_eq!(text.finish(), expected);
        let mut bare = Text::new(&[]);
        bare.family("x", Kind::Gauge, "X.").sample(&[], 1);
        assert!(bare.finish().ends_with("\nx 1\n"));
    }
}
