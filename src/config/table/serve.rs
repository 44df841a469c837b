//! What runs, where it listens, and how a new process takes over.

use super::{BASE, DAY, Group, HOUR, Kind, Places, Preset, SECOND, Scope, Setting, duration};

/// What runs, and under which name.
pub(super) const SERVICE: &[Setting] = &[
    Setting {
        key: "program",
        kind: Kind::Argv,
        default: Preset::Derived("none; required by `run`, `check` and `apply`"),
        value_name: "PROGRAM",
        example: "./server --flag",
        doc: "The program to keep running and updated, and its arguments",
        long: "On the command line the words after the flags. The path is used as written, made absolute, and never \
               looked up in `PATH`. `FETCHD_PROGRAM` does not set it: that variable belongs to the handoff.",
        places: Places::Arguments,
        ..BASE
    },
    Setting {
        key: "product",
        default: Preset::Derived("the program's file name"),
        value_name: "NAME",
        example: "web",
        doc: "The name that releases are signed for, and that the state directory bears",
        long: "1 to 64 letters, digits, `.`, `_` and `-`, beginning with a letter or a digit.",
        scope: Scope::Service,
        ..BASE
    },
    Setting {
        key: "state_dir",
        kind: Kind::Path,
        default: Preset::Derived(
            "`/var/lib/fetchd/<product>` for root, else `$XDG_STATE_HOME/fetchd/<product>` or \
             `~/.local/state/fetchd/<product>`",
        ),
        value_name: "DIR",
        example: "/var/lib/fetchd/web",
        doc: "Where fetchd remembers what it has seen and installed",
        long: "One directory for each service; only its owner may enter it.",
        scope: Scope::Service,
        ..BASE
    },
    Setting {
        key: "directory",
        kind: Kind::Path,
        default: Preset::Derived("the directory in which fetchd was started"),
        value_name: "DIR",
        example: "/srv/web/current",
        doc: "The service's working directory",
        long: "Entered anew by each process, symlinks and all: where it leads through a `current` that moves, each \
               process works in the release that is current when it starts. It is the service's `PWD`, too.",
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "listen",
        kind: Kind::List,
        default: Preset::Derived("none: only the sockets that systemd passes, if any"),
        value_name: "ADDR",
        example: ":8080",
        doc: "A socket to hold for the service; may be repeated",
        long: "`:8080` (every address, IPv6 and IPv4), `127.0.0.1:8080`, `[::1]:8080`, `unix:/path`, or \
               `udp:127.0.0.1:53` for datagrams, each with an optional name before it: `web=:8080`. Host names are \
               not looked up. The service gets them in this order, from descriptor 3.",
        scope: Scope::Run,
        ..BASE
    },
];

/// How a new process takes over.
pub(super) const HANDOFF: &[Setting] = &[
    Setting {
        key: "restart",
        kind: Kind::Choice(&["supervise", "systemd", "signal", "supervisord", "command", "none"]),
        default: Preset::Value("supervise"),
        value_name: "DRIVER",
        doc: "Who brings the new binary to life",
        long: "`supervise`: fetchd starts and watches the service. With the others somebody else runs it, and is made to \
               restart it: `systemd` by `systemctl`, `signal` by a signal to the process in a PID file, `supervisord` \
               over its socket, `command` by a command. `none`: nobody; it is installed and left.",
        group: Group::Handoff,
        scope: Scope::Install,
        ..BASE
    },
    Setting {
        key: "restart_deadline",
        kind: duration(100, DAY),
        default: Preset::Value("60s"),
        value_name: "DURATION",
        doc: "How long a restart by somebody else may take",
        long: "From the request until the new process is known to run. Then the previous binary is put back and restarted.",
        group: Group::Handoff,
        scope: Scope::Install,
        ..BASE
    },
    Setting {
        key: "restart_unit",
        default: Preset::Derived("none; required with `restart = \"systemd\"`"),
        value_name: "UNIT",
        example: "web.service",
        doc: "The unit to restart, for `systemd`",
        group: Group::Handoff,
        scope: Scope::Install,
        ..BASE
    },
    Setting {
        key: "restart_verb",
        kind: Kind::Choice(&["restart", "reload", "try-restart", "reload-or-restart"]),
        default: Preset::Derived("`restart`"),
        value_name: "VERB",
        example: "reload",
        doc: "What `systemctl` is asked to do with it, for `systemd`",
        group: Group::Handoff,
        scope: Scope::Install,
        ..BASE
    },
    Setting {
        key: "restart_pid_file",
        kind: Kind::Path,
        default: Preset::Derived("none; required with `restart = \"signal\"`"),
        value_name: "FILE",
        example: "/run/nginx.pid",
        doc: "The file in which the server writes its process id, for `signal`",
        group: Group::Handoff,
        scope: Scope::Install,
        ..BASE
    },
    Setting {
        key: "restart_recipe",
        kind: Kind::Choice(&["reload", "successor", "haproxy", "nginx", "unicorn", "gunicorn"]),
        default: Preset::Derived("`reload`"),
        value_name: "RECIPE",
        example: "nginx",
        doc: "What the server does with signals, for `signal`",
        long: "`reload`: the same process goes on with the new binary. `successor`: another process takes over and writes \
               the PID file. The others are how the server of that name upgrades itself.",
        group: Group::Handoff,
        scope: Scope::Install,
        ..BASE
    },
    Setting {
        key: "restart_signal",
        kind: Kind::Choice(&["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH"]),
        default: Preset::Derived("the recipe's: `HUP` for `reload`, `USR2` for `successor` and `haproxy`"),
        value_name: "SIGNAL",
        example: "USR2",
        doc: "The signal to send, for `signal`",
        group: Group::Handoff,
        scope: Scope::Install,
        ..BASE
    },
    Setting {
        key: "restart_socket",
        kind: Kind::Path,
        default: Preset::Derived("none; required with `restart = \"supervisord\"`"),
        value_name: "PATH",
        example: "/run/supervisor.sock",
        doc: "supervisord's unix socket, for `supervisord`",
        group: Group::Handoff,
        scope: Scope::Install,
        ..BASE
    },
    Setting {
        key: "restart_process",
        default: Preset::Derived("none; required with `restart = \"supervisord\"`"),
        value_name: "NAME",
        example: "web",
        doc: "The process to restart, as `supervisorctl status` names it, for `supervisord`",
        group: Group::Handoff,
        scope: Scope::Install,
        ..BASE
    },
    Setting {
        key: "restart_command",
        kind: Kind::Argv,
        default: Preset::Derived("none; required with `restart = \"command\"`"),
        value_name: "COMMAND",
        example: "/usr/local/bin/restart-web",
        doc: "The command that restarts the service and waits until it runs, for `command`",
        long: "Exit code 0: the service runs what lies at the program path. 75: not now, try again later. Any other: the \
               release does not run. It finds `FETCHD_PROGRAM`, `FETCHD_VERSION`, `FETCHD_DIGEST` and `FETCHD_ACTION` \
               (`handoff` or `rollback`) in its environment.",
        group: Group::Handoff,
        scope: Scope::Install,
        ..BASE
    },
    Setting {
        key: "ready",
        default: Preset::Value("notify"),
        value_name: "HOW",
        doc: "How the service says that it can serve",
        long: "`notify`: it sends `READY=1` to `NOTIFY_SOCKET`. For programs that cannot: `alive:2s`, it has run for \
               that long, or `exec:COMMAND`, the command exits with 0. A TCP or HTTP probe is refused: old and new \
               process share the socket, so an answer may come from the old one and proves nothing.",
        group: Group::Handoff,
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "ready_deadline",
        kind: duration(100, DAY),
        default: Preset::Value("30s"),
        value_name: "DURATION",
        doc: "How long the new process may take to become ready",
        long: "Then it is killed; the old one was told nothing and goes on serving. A service may ask for more with \
               `EXTEND_TIMEOUT_USEC`, up to ten times this.",
        group: Group::Handoff,
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "drain_deadline",
        kind: duration(100, DAY),
        default: Preset::Value("30s"),
        value_name: "DURATION",
        doc: "How long the old process may take to finish its requests",
        long: "Then it is killed.",
        group: Group::Handoff,
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "watch",
        kind: duration(0, DAY),
        default: Preset::Value("10s"),
        value_name: "DURATION",
        doc: "How long a new release is watched before it is confirmed",
        long: "If it exits, misses its watchdog or fails its health check meanwhile, the previous one comes back.",
        group: Group::Handoff,
        scope: Scope::Install,
        ..BASE
    },
    Setting {
        key: "health",
        kind: Kind::Argv,
        default: Preset::Derived("none"),
        value_name: "COMMAND",
        example: "http://127.0.0.1:8080/health",
        doc: "A command or a URL that tells during the watch whether the release is well",
        long: "A command is well if it exits with 0; a URL, plain `http:` on this machine, if it answers 200 to 299.",
        group: Group::Handoff,
        scope: Scope::Install,
        ..BASE
    },
    Setting {
        key: "health_interval",
        kind: duration(10, HOUR),
        default: Preset::Value("1s"),
        value_name: "DURATION",
        doc: "How often it is asked",
        group: Group::Handoff,
        scope: Scope::Install,
        ..BASE
    },
    Setting {
        key: "on_supervisor_death",
        kind: Kind::Choice(&["drain", "keep"]),
        default: Preset::Value("drain"),
        value_name: "WHAT",
        doc: "What the service does when its supervisor is killed",
        group: Group::Handoff,
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "watchdog",
        kind: duration(100, HOUR),
        default: Preset::Derived("none: nobody is asked to"),
        value_name: "DURATION",
        example: "10s",
        doc: "How often a service that sends `WATCHDOG=1` has to",
        long: "It is passed on as `WATCHDOG_USEC`. A service that has begun to send it and then misses it fails \
               the watch; later it is killed and started again.",
        group: Group::Handoff,
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "capture_stderr",
        kind: Kind::Bool,
        default: Preset::Value("true"),
        value_name: "BOOL",
        doc: "Read the service's stderr, to quote its end when a release fails",
        long: "It is passed on unchanged. If off, the service writes to fetchd's own stderr.",
        group: Group::Handoff,
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "crash.limit",
        kind: Kind::Integer { min: 1, max: 100 },
        default: Preset::Value("3"),
        value_name: "N",
        doc: "So many crashes within `crash.window` bring the previous release back",
        group: Group::Handoff,
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "crash.window",
        kind: duration(SECOND, DAY),
        default: Preset::Value("60s"),
        value_name: "DURATION",
        doc: "The time in which crashes are counted",
        group: Group::Handoff,
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "crash.probation",
        kind: duration(0, 30 * DAY),
        default: Preset::Value("10m"),
        value_name: "DURATION",
        doc: "How long after its confirmation a release may still be rolled back for crashing",
        group: Group::Handoff,
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "crash.backoff",
        kind: duration(1, HOUR),
        default: Preset::Value("100ms"),
        value_name: "DURATION",
        doc: "The wait before the first restart after a crash; each further one doubles it",
        group: Group::Handoff,
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "crash.backoff_max",
        kind: duration(1, DAY),
        default: Preset::Value("30s"),
        value_name: "DURATION",
        doc: "The longest wait before a restart",
        group: Group::Handoff,
        scope: Scope::Run,
        ..BASE
    },
];
