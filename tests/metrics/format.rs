//! A strict reader of Prometheus's text format, version 0.0.4, and of the rules for names that go with it.
//!
//! What is allowed and not written here (timestamps, comments, untyped families, histograms) is refused as well.

use std::collections::{BTreeMap, BTreeSet};

/// A text that was read.
#[derive(Debug)]
pub struct Scrape {
    samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
    kinds: BTreeMap<String, String>,
}

impl Scrape {
    /// Reads `text`. Panics at the first thing that is wrong with it.
    #[track_caller]
    pub fn read(text: &str) -> Scrape {
        let mut scrape = Scrape { samples: BTreeMap::new(), kinds: BTreeMap::new() };
        assert!(text.ends_with('\n') && !text.contains('\r'), "the last line has no end, or another one");
        let (mut family, mut with_samples, mut helped) = (String::new(), BTreeSet::new(), BTreeSet::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect(line);
                assert!(family.is_empty() || with_samples.contains(&family), "{family} has no sample");
                assert!(helped.insert(name.to_owned()), "{line}: a second time");
                unescape(help, false);
                family = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert_eq!(name, family, "{line}: HELP and TYPE go together");
                assert!(scrape.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}: a second time");
                rules(name, kind);
            } else {
                let (name, labels, value) = sample(line);
                assert_eq!(name, family, "{line}: outside of its family");
                let kind = scrape.kinds.get(&name).expect(line);
                assert!(kind != "counter" || value >= 0.0 && value.is_finite(), "{line}");
                assert!(!name.ends_with("_info") || value == 1.0, "{line}");
                with_samples.insert(name.clone());
                assert!(scrape.samples.insert((name, labels), value).is_none(), "{line}: a second time");
            }
        }
        assert!(with_samples.contains(&family), "{family} has no sample");
        let mut names: BTreeMap<&str, BTreeSet<Vec<&str>>> = BTreeMap::new();
        for (name, labels) in scrape.samples.keys() {
            names.entry(name).or_default().insert(labels.keys().map(String::as_str).collect());
        }
        assert!(names.values().all(|sets| sets.len() == 1), "the samples of a family have the same labels: {names:#?}");
        scrape
    }

    /// The value of a sample, given its labels but `product`.
    #[track_caller]
    pub fn of(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?} in {:#?}", self.samples))
    }

    /// The same, if there is one.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let all = [("product", "app")].iter().chain(labels);
        let labels = all.map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// The labels of the only sample of a family.
    #[track_caller]
    pub fn labels(&self, name: &str) -> &BTreeMap<String, String> {
        let mut found = self.samples.keys().filter(|(known, _)| known == name);
        let (Some((_, labels)), None) = (found.next(), found.next()) else { panic!("not one sample of {name}") };
        labels
    }

    /// Every counter that is less here than it was `before`, or gone.
    pub fn fallen_since(&self, before: &Scrape) -> Vec<String> {
        let counters = before.samples.iter().filter(|((name, _), _)| before.kinds[name] == "counter");
        let fallen = counters.filter(|(sample, value)| self.samples.get(*sample).is_none_or(|now| now < *value));
        fallen.map(|(sample, _)| format!("{sample:?}")).collect()
    }

    /// How many samples there are.
    pub fn count(&self) -> usize {
        self.samples.len()
    }
}

/// <https://prometheus.io/docs/practices/naming/>
fn rules(name: &str, kind: &str) {
    assert!(name.starts_with("fetchd_") && is_name(name, true), "{name}");
    assert!(["counter", "gauge"].contains(&kind), "{name} is a {kind}");
    assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
    for unit in ["_ms", "_milliseconds", "_minutes", "_kib", "_mib", "_percent", "_time"] {
        assert!(!name.trim_end_matches("_total").ends_with(unit), "{name}: base units only");
    }
}

fn is_name(name: &str, colons: bool) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || colons && c == ':';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// `name{label="value",…} number`
fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name, true), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").expect(line);
            assert!(is_name(label, false) && !label.starts_with("__"), "{line}");
            let mut escaped = false;
            let end = after.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let (value, after) = after.split_at(end.expect(line));
            assert!(labels.insert(label.to_owned(), unescape(value, true)).is_none(), "{line}: {label} twice");
            rest = &after[1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => assert!(rest.starts_with('}'), "{line}"),
            }
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').expect(line);
    assert!(!value.contains(char::is_whitespace), "{line}");
    let number = value.parse().unwrap_or_else(|_| panic!("{line}: no number"));
    (name.to_owned(), labels, number)
}

/// A backslash stands before a backslash, an `n`, and in a label's value a quote; a bare quote or line's end nowhere.
fn unescape(text: &str, label: bool) -> String {
    let (mut plain, mut characters) = (String::new(), text.chars());
    while let Some(c) = characters.next() {
        plain.push(match c {
            '\\' => match characters.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                Some('"') if label => '"',
                other => panic!("{text}: {other:?} behind a backslash"),
            },
            '"' if label => panic!("{text}: a bare quote"),
            c => c,
        });
    }
    plain
}

#[test]
fn the_reader_takes_what_is_right() {
    let text = "# HELP fetchd_a_total A \\\\ and \\n.\n# TYPE fetchd_a_total counter\nfetchd_a_total{product=\"app\",b=\"\\\"x\\\\\"} 1\n\
                # HELP fetchd_b B.\n# TYPE fetchd_b gauge\nfetchd_b{product=\"app\"} 2.5\n";
    let scrape = Scrape::read(text);
    assert_eq!(scrape.of("fetchd_a_total", &[("b", "\"x\\")]), 1.0);
    assert_eq!((scrape.of("fetchd_b", &[]), scrape.count()), (2.5, 2));
}

#[test]
fn the_reader_refuses_what_is_wrong() {
    let family = "# HELP fetchd_a_total A.\n# TYPE fetchd_a_total counter\n";
    for text in [
        "fetchd_a_total 1\n",
        "# HELP fetchd_a_total A.\n# TYPE fetchd_a_total counter\n",
        "# TYPE fetchd_a_total counter\nfetchd_a_total 1\n",
        "# HELP fetchd_a A.\n# TYPE fetchd_a counter\nfetchd_a 1\n",
        "# HELP fetchd_a_ms A.\n# TYPE fetchd_a_ms gauge\nfetchd_a_ms 1\n",
        "# HELP other A.\n# TYPE other gauge\nother 1\n",
        &format!("{family}fetchd_a_total 1"),
        &format!("{family}fetchd_a_total 1\r\n"),
        &format!("{family}fetchd_a_total -1\n"),
        &format!("{family}fetchd_a_total one\n"),
        &format!("{family}fetchd_a_total 1 2\n"),
        &format!("{family}fetchd_a_total  1\n"),
        &format!("{family}fetchd_a_total 1\nfetchd_a_total 2\n"),
        &format!("{family}fetchd_a_total 1\n{family}fetchd_a_total{{b=\"c\"}} 2\n"),
        &format!("{family}fetchd_a_total{{b=\"c\"}} 1\nfetchd_a_total{{d=\"c\"}} 1\n"),
        &format!("{family}fetchd_a_total{{b=\"c\",b=\"d\"}} 1\n"),
        &format!("{family}fetchd_a_total{{b=\"c\" d=\"e\"}} 1\n"),
        &format!("{family}fetchd_a_total{{b-c=\"d\"}} 1\n"),
        &format!("{family}fetchd_a_total{{b=\"\\t\"}} 1\n"),
        &format!("{family}fetchd_b_total 1\n"),
        &format!("{family}\nfetchd_a_total 1\n"),
    ] {
        let read = std::panic::catch_unwind(|| Scrape::read(text).count());
        assert!(read.is_err(), "{text}");
    }
}
