//! Each way in which a release can be bad, and what comes of it under each driver: the table that `docs/drivers.md` shows.
//! Whatever a cell says, what served before serves afterwards, and the next upgrade works.
#![allow(dead_code, reason = "each test program plays some of the columns")]
#![allow(clippy::print_stderr, reason = "it says where a test was when it failed")]
#![allow(unreachable_pub, reason = "a module of several test programs")]

use Cell::{Ends, Fails, Never, Unseen};

/// A row: what is wrong with a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    ExitsAtOnce,
    ExitsLater,
    Hangs,
    DiesInWatch,
    Unhealthy,
    WrongVersion,
    NotExecutable,
    WrongFormat,
}

impl Fault {
    /// In the order in which they are played.
    pub const ALL: [Fault; 8] = [
        Fault::ExitsAtOnce,
        Fault::ExitsLater,
        Fault::Hangs,
        Fault::DiesInWatch,
        Fault::Unhealthy,
        Fault::WrongVersion,
        Fault::NotExecutable,
        Fault::WrongFormat,
    ];

    /// What the page calls it.
    pub const fn words(self) -> &'static str {
        match self {
            Fault::ExitsAtOnce => "exits at once",
            Fault::ExitsLater => "exits later, before it is ready",
            Fault::Hangs => "hangs and is never ready",
            Fault::DiesInWatch => "dies in its watch",
            Fault::Unhealthy => "its health check fails in the watch",
            Fault::WrongVersion => "says that it is another version",
            Fault::NotExecutable => "has no permission to be executed",
            Fault::WrongFormat => "is no program (`smoke = \"off\"`)",
        }
    }
}

/// What comes of a bad release.
#[derive(Debug, Clone, Copy)]
pub enum Cell {
    /// It fails with one of these codes, and the driver sees to it that the previous one serves.
    Fails(&'static [&'static str]),
    /// The same, but the process has become the release and is gone: whoever runs the service has to start it.
    Ends(&'static [&'static str]),
    /// Nobody starts it, so that nothing fails: the process that runs goes on.
    Unseen,
    /// It does not occur, for this reason.
    Never(&'static str),
}

/// A column: somebody who runs a service.
pub struct Column {
    /// What the page calls it.
    pub name: &'static str,
    /// Whether the very process that served goes on serving.
    pub keeps: bool,
    /// The test that plays it.
    pub test: &'static str,
    /// In the order of [`Fault::ALL`].
    pub cells: [Cell; 8],
}

/// A service of one column, with version 1.0.0.
pub trait Stage {
    /// Sees to it that a release with this fault gets as far as the driver.
    fn let_pass(&mut self, _: Fault) {}

    /// Brings a release to it; the code of what went wrong, empty for nothing.
    fn bring(&mut self, version: &str, fault: Option<Fault>) -> String;

    /// Waits until this version serves, as what lies at the program path; the process.
    fn serves(&mut self, version: &str) -> u32;

    /// Starts it again, as whoever runs it does.
    fn start_again(&mut self) {
        panic!("nobody has to");
    }
}

/// Every row of a column: the bad release, what came of it, what serves, and a good release after it.
pub fn play(column: &Column, stage: &mut dyn Stage) {
    let mut serving = "1.0.0".to_owned();
    let mut minor = 0;
    let mut next = || {
        minor += 1;
        format!("1.{minor}.0")
    };
    for (fault, cell) in Fault::ALL.into_iter().zip(column.cells) {
        let at = format!("{}, {fault:?}", column.name);
        let expected: &[&str] = match cell {
            Fails(codes) | Ends(codes) => codes,
            Unseen => &[""],
            Never(_) => continue,
        };
        eprintln!("{at}");
        stage.let_pass(fault);
        let pid = stage.serves(&serving);
        let code = stage.bring(&next(), Some(fault));
        assert!(expected.contains(&code.as_str()), "{at}: `{code}`, not {expected:?}");
        if let Ends(_) = cell {
            stage.start_again();
        }
        let now = stage.serves(&serving);
        assert!(!column.keeps || now == pid, "{at}: process {now} serves, not {pid}");
        serving = next();
        assert_eq!(stage.bring(&serving, None), "", "the upgrade after: {at}");
        stage.serves(&serving);
    }
}

const MODE: &str = "fetchd gives what it installs the permission";
const SMOKE: &[&str] = &["smoke.version"];
const RESTART: &[&str] = &["handoff.restart_failed"];
const LATE: &[&str] = &["handoff.deadline"];
const SICK: &[&str] = &["watch.unhealthy"];
/// A health check may be the first to notice.
const DIED: &[&str] = &["watch.died", "watch.unhealthy"];
/// Where nobody can say who starts the program, the next look finds what became of it.
const GONE: &[&str] = &["watch.died", "watch.unhealthy", "handoff.restart_failed"];
/// What supervisord calls too early to run is a matter of `startsecs`.
const EARLY: &[&str] = &["handoff.restart_failed", "watch.died", "watch.unhealthy"];
/// nginx may be back from its try before anybody has seen the process.
const TRIED: &[&str] = &["handoff.restart_failed", "handoff.deadline"];

/// The table.
pub const COLUMNS: [Column; 10] =
    [DIRECT, SUPERVISE, SYSTEMD, NGINX, SUCCESSOR, RELOAD, SUPERVISORD, COMMAND, OWN, NONE];

pub const DIRECT: Column = Column {
    name: "direct (`Upgrader`)",
    keeps: true,
    test: "every_failure_in_the_direct_mode",
    cells: [
        Fails(&["upgrade.exited"]),
        Fails(&["upgrade.exited"]),
        Fails(&["upgrade.not_ready"]),
        Fails(&["upgrade.died"]),
        Never(
            "an `Upgrader` asks for no health: a successor that is not well says so itself, by ending or by `reject`",
        ),
        Never("whoever calls for an upgrade names no version"),
        Fails(&["upgrade.exec"]),
        Fails(&["upgrade.exec"]),
    ],
};

pub const SUPERVISE: Column = Column {
    name: "`supervise`",
    keeps: true,
    test: "every_failure_under_supervise",
    cells: [
        Fails(&["handoff.exited"]),
        Fails(&["handoff.exited"]),
        Fails(&["handoff.not_ready"]),
        Fails(&["watch.died"]),
        Fails(SICK),
        Fails(SMOKE),
        Never(MODE),
        Fails(&["handoff.exec"]),
    ],
};

/// Played by what plays systemctl, and by a real systemd.
pub const SYSTEMD: Column = Column {
    name: "`systemd`",
    keeps: false,
    test: "every_failure_under_systemd",
    cells: [
        Fails(RESTART),
        Fails(RESTART),
        Fails(LATE),
        Fails(DIED),
        Fails(SICK),
        Fails(SMOKE),
        Never(MODE),
        Fails(RESTART),
    ],
};

pub const NGINX: Column = Column {
    name: "`signal`: nginx",
    keeps: true,
    test: "every_failure_under_nginx",
    cells: [
        Fails(TRIED),
        Fails(RESTART),
        Fails(LATE),
        Fails(DIED),
        Fails(SICK),
        Never("nginx prints its version on stderr, where the smoke run does not look: it is off"),
        Never(MODE),
        Fails(TRIED),
    ],
};

pub const SUCCESSOR: Column = Column {
    name: "`signal`: successor",
    keeps: false,
    test: "every_failure_of_a_successor",
    cells: [Fails(LATE), Fails(LATE), Fails(LATE), Ends(DIED), Fails(SICK), Fails(SMOKE), Never(MODE), Fails(LATE)],
};

pub const RELOAD: Column = Column {
    name: "`signal`: reload",
    keeps: false,
    test: "every_failure_of_a_reload",
    cells: [
        Ends(GONE),
        Ends(GONE),
        Ends(SICK),
        Ends(DIED),
        Fails(SICK),
        Fails(SMOKE),
        Never(MODE),
        Never(
            "only the smoke run keeps it away: what a server does that cannot execute its own file is the server's matter",
        ),
    ],
};

pub const SUPERVISORD: Column = Column {
    name: "`supervisord`",
    keeps: false,
    test: "every_failure_under_supervisord",
    cells: [Fails(EARLY), Fails(EARLY), Fails(SICK), Fails(DIED), Fails(SICK), Fails(SMOKE), Never(MODE), Fails(EARLY)],
};

pub const COMMAND: Column = Column {
    name: "`command`",
    keeps: false,
    test: "every_failure_under_a_command",
    cells: [
        Fails(RESTART),
        Fails(RESTART),
        Fails(LATE),
        Fails(SICK),
        Fails(SICK),
        Fails(SMOKE),
        Never(MODE),
        Fails(RESTART),
    ],
};

pub const OWN: Column = Column {
    name: "one of your own",
    keeps: false,
    test: "every_failure_under_a_driver_of_ones_own",
    cells: [
        Fails(RESTART),
        Fails(RESTART),
        Fails(LATE),
        Fails(DIED),
        Fails(SICK),
        Fails(SMOKE),
        Never(MODE),
        Fails(RESTART),
    ],
};

pub const NONE: Column = Column {
    name: "`none`",
    keeps: true,
    test: "every_failure_where_nothing_is_restarted",
    cells: [Unseen, Unseen, Unseen, Unseen, Unseen, Fails(SMOKE), Never(MODE), Unseen],
};
