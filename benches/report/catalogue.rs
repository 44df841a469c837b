//! Which benchmarks there are.

/// One of them: a program of its own, and a part of the report.
pub(crate) struct Bench {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) main: fn(),
    /// When it is given up.
    pub(crate) seconds: u64,
    /// Settings of a quick run.
    pub(crate) quick: &'static [(&'static str, &'static str)],
}

#[path = "../counts.rs"]
mod counts;
#[path = "../download.rs"]
mod download;
#[path = "../growth.rs"]
mod growth;
#[path = "../handoff.rs"]
mod handoff;
#[path = "../poll.rs"]
mod poll;
#[path = "../s3.rs"]
mod s3;
#[path = "../starter.rs"]
mod starter;
#[path = "../startup.rs"]
mod startup;
#[path = "../supervisor.rs"]
mod supervisor;
#[path = "../trust.rs"]
mod trust;
#[path = "../update.rs"]
mod update;

/// In the order in which they run.
pub(crate) const BENCHES: [Bench; 11] = [
    Bench {
        name: "startup",
        about: "commands, restarts and the CPU time of a poll, against /bin/true",
        main: startup::main,
        seconds: 300,
        quick: &[("BENCH_POLLING_S", "5")],
    },
    Bench {
        name: "trust",
        about: "reading a manifest, and a release's digest, against sha256sum",
        main: trust::main,
        seconds: 300,
        quick: &[("BENCH_MIB", "32")],
    },
    Bench {
        name: "download",
        about: "an artifact over loopback HTTP, against curl and sha256sum",
        main: download::main,
        seconds: 900,
        quick: &[("BENCH_MIB", "64")],
    },
    Bench {
        name: "s3",
        about: "an object of a bucket, against aws s3 cp and rclone",
        main: s3::main,
        seconds: 900,
        quick: &[("BENCH_MIB", "32"), ("BENCH_ROUNDS", "1")],
    },
    Bench {
        name: "poll",
        about: "a poll that finds nothing new, against curl",
        main: poll::main,
        seconds: 300,
        quick: &[("BENCH_POLLS", "20")],
    },
    Bench {
        name: "supervisor",
        about: "what an idle supervisor holds",
        main: supervisor::main,
        seconds: 300,
        quick: &[("BENCH_HANDOFFS", "5")],
    },
    Bench {
        name: "update",
        about: "a whole update, against the crate self_update",
        main: update::main,
        seconds: 900,
        quick: &[("BENCH_ROUNDS", "3")],
    },
    Bench {
        name: "starter",
        about: "the first answer after a handoff, against Server::Starter",
        main: starter::main,
        seconds: 300,
        quick: &[("BENCH_HANDOFFS", "4")],
    },
    Bench {
        name: "handoff",
        about: "requests during handoffs, against requests in peace",
        main: handoff::main,
        seconds: 1800,
        quick: &[("BENCH_HANDOFFS", "2"), ("BENCH_SLOW_MS", "500"), ("BENCH_STEADY_S", "1")],
    },
    Bench {
        name: "growth",
        about: "how costs grow with sizes and counts",
        main: growth::main,
        seconds: 1800,
        quick: &[("BENCH_QUICK", "1")],
    },
    Bench {
        name: "counts",
        about: "instructions under callgrind, against the baseline in benches/counts.txt",
        main: counts::main,
        seconds: 900,
        quick: &[],
    },
];
