//! What `fetchd fleet simulate` takes.

use clap::{Command, value_parser};

use super::{file, switch, text};

pub(super) fn add(command: Command) -> Command {
    command
        .arg(
            text("hosts", "N", "How many hosts there are")
                .value_parser(value_parser!(u32).range(1..))
                .default_value("1000"),
        )
        .arg(
            text(
                "cases",
                "CASES",
                "`first` (good and bad releases), `trouble` (good ones, when other things go wrong), `both`",
            )
            .value_parser(["first", "trouble", "both"])
            .default_value("first"),
        )
        .arg(switch("grid", "Every combination of plan, poll interval and kind of failure instead: this takes long"))
        .arg(
            text(
                "plan",
                "PLAN",
                "One release instead, with this plan: `default`, `fast`, `emergency`, `one-step` or a file",
            )
            .long_help(
                "One release instead, with this plan: `default`, `fast`, `emergency`, `one-step`, or a file as \
                 `fetchd fleet start --plan` takes it. Of a file its steps, its gate, its polls and its share of reports \
                 are simulated; rings, windows and leases are not, and a step that waits for somebody opens as others do.",
            )
            .conflicts_with("grid"),
        )
        .arg(
            text("bad", "PERCENT", "The share of hosts on which that release is bad")
                .value_parser(percent)
                .default_value("0")
                .requires("plan"),
        )
        .arg(
            text("fails", "HOW", "How it is bad there: `at-once`, `late` (2 h in the mean), `silent` or `zone`")
                .value_parser(["at-once", "late", "silent", "zone"])
                .default_value("at-once")
                .requires("plan"),
        )
        .arg(
            text("poll", "SECONDS", "How often hosts poll [default: 300 up to 4000 hosts, 900 above]")
                .value_parser(value_parser!(u64).range(10..)),
        )
        .arg(
            text("seeds", "N", "How often each case is run, with other chances each time")
                .value_parser(value_parser!(u64).range(1..))
                .default_value("3"),
        )
        .arg(text("seed", "N", "The first of them").value_parser(value_parser!(u64)).default_value("0"))
        .arg(file("html", "FILE", "Write a page with plots there"))
        .arg(file("svg", "FILE", "Write the plots there"))
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').trim().parse::<f64>().ok();
    number.filter(|number| (0.0..=100.0).contains(number)).ok_or_else(|| "a share is from 0 to 100".to_owned())
}
