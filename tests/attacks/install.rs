//! What the machine, or somebody on it, puts in the way of an installation.

mod disk;
mod path;
mod race;
mod rights;

use crate::table::{Carry, Case, Change, Play, Verdict};

pub const CASES: &[Case] = &[
    Case {
        id: 76,
        attack: "the directory of the program cannot be written",
        fixture: "not-writable",
        plays: &[
            act("read-only-file-system", Carry::ALL, machine("install.readonly"), rights::read_only),
            act("no-permission", Carry::ALL, machine("install.permission"), rights::no_permission),
        ],
    },
    Case {
        id: 77,
        attack: "the disk is full",
        fixture: "disk-full",
        plays: &[
            act("before-the-download", Carry::FILE, machine("install.space"), disk::before),
            act("in-the-download", Carry::HTTP, disk_full("download.disk_full"), disk::in_the_download),
            act("while-unpacking", Carry::FILE, disk_full("download.disk_full"), disk::while_unpacking),
            act("at-fsync", Carry::FILE, Verdict::refused(40, "disk.full").change(Change::Floor), disk::at_fsync),
        ],
    },
    Case {
        id: 78,
        attack: "SIGKILL at each step from the download to the confirmation",
        fixture: "killed",
        plays: &[Play::Proved {
            by: &[
                ("tests/crash/main.rs", "every_checkpoint_has_a_row"),
                ("tests/crash/main.rs", "supervisor"),
                ("tests/crash/main.rs", "apply"),
                ("tests/install.rs", "whatever_a_kill_leaves_the_next_start_settles"),
                ("src/install/tests/power_cut.rs", "power_cut_during_an_activation_returns_to_the_confirmed_release"),
            ],
            verdict: Verdict::accepted(),
        }],
    },
    Case {
        id: 79,
        attack: "the program path is a symlink",
        fixture: "symlink",
        plays: &[
            act("kept-and-its-pointee-replaced", Carry::FILE, Verdict::accepted(), path::link),
            act("of-a-symlink", Carry::FILE, Verdict::accepted(), path::links),
            act("dangling", Carry::FILE, at_the_start("install.path"), path::dangling),
            act("looping", Carry::FILE, at_the_start("install.path"), path::looping),
        ],
    },
    Case {
        id: 80,
        attack: "the candidate is swapped for another file",
        fixture: "swapped",
        plays: &[
            act("before-its-smoke-run", Carry::FILE, refused("candidate.changed"), race::swapped_before_smoke),
            act("by-itself-in-its-smoke-run", Carry::FILE, refused("candidate.changed"), race::swaps_itself),
            act(
                "between-the-last-check-and-the-journal",
                Carry::FILE,
                executed("install.swapped"),
                race::swapped_verified,
            ),
            act("before-the-rename", Carry::FILE, executed("install.swapped"), race::swapped_before_rename),
            act("written-to-before-the-journal", Carry::FILE, executed("install.swapped"), race::written_to),
        ],
    },
    Case {
        id: 81,
        attack: "everybody may write in the directory of the program",
        fixture: "world-writable",
        plays: &[
            act("", Carry::FILE, at_the_start("install.world_writable"), rights::world_writable),
            act("with-the-sticky-bit", Carry::FILE, Verdict::accepted(), rights::sticky),
        ],
    },
    Case {
        id: 82,
        attack: "what the program has cannot be given to the new one",
        fixture: "metadata",
        plays: &[
            act("capabilities", Carry::FILE, executed("install.metadata"), rights::capabilities),
            act("capabilities-best-effort", Carry::FILE, Verdict::accepted(), rights::capabilities_best_effort),
            Play::Proved {
                // A second owner is there only for root; this test goes as far as it can without.
                by: &[("src/install/tests/confined.rs", "an_owner_is_carried_over_or_the_install_stops")],
                verdict: machine("install.metadata"),
            },
        ],
    },
    Case {
        id: 83,
        attack: "two updates by one process whose own file is gone",
        fixture: "deleted",
        plays: &[act("", Carry::FILE, Verdict::accepted(), race::own_file_is_gone)],
    },
    Case {
        id: 84,
        attack: "two fetchd at once",
        fixture: "two-at-once",
        plays: &[act(
            "",
            Carry::FILE,
            Verdict { exit: 75, code: "state.locked", event: "", change: Change::Executed },
            race::two_at_once,
        )],
    },
    Case {
        id: 85,
        attack: "somebody holds the candidate open for writing for 300 ms",
        fixture: "text-busy",
        plays: &[act("", Carry::FILE, Verdict::accepted(), race::text_busy)],
    },
];

const fn act(
    variant: &'static str,
    over: &'static [Carry],
    verdict: Verdict,
    act: fn(&mut crate::bench::Bench, &Verdict),
) -> Play {
    Play::Act { variant, over, verdict, act }
}

/// The machine is in the way, and that is found before the download.
const fn machine(code: &'static str) -> Verdict {
    Verdict { exit: 40, code, event: "install.failed", change: Change::Floor }
}

/// The machine is in the way once the candidate has been run.
const fn executed(code: &'static str) -> Verdict {
    Verdict { exit: 40, code, event: "install.failed", change: Change::Executed }
}

const fn refused(code: &'static str) -> Verdict {
    Verdict::refused(40, code).change(Change::Executed)
}

/// In artifact mode there is no floor to rise.
const fn disk_full(code: &'static str) -> Verdict {
    Verdict::fetch(40, code)
}

/// Before a pass begins: there is no history to write into yet.
const fn at_the_start(code: &'static str) -> Verdict {
    Verdict { exit: 40, code, event: "", change: Change::Nothing }
}
