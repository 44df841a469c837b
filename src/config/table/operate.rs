//! What is checked, how it is installed, and what is written about it.

use super::{BASE, DAY, Group, Kind, ON_OFF, Preset, SECOND, Scope, Setting, duration};

/// Verify and install.
pub(super) const ROWS: &[Setting] = &[
    Setting {
        key: "target",
        default: Preset::Derived("the target triple that fetchd was built for"),
        value_name: "TRIPLE",
        example: "x86_64-unknown-linux-gnu",
        doc: "The target triple whose artifact is taken",
        group: Group::Verify,
        scope: Scope::Trust,
        ..BASE
    },
    Setting {
        key: "target_check",
        kind: ON_OFF,
        default: Preset::Value("on"),
        value_name: "SWITCH",
        doc: "Whether the binary's header must agree with the target",
        long: "Turn it off for scripts and other programs that are not ELF files.",
        group: Group::Verify,
        ..BASE
    },
    Setting {
        key: "smoke",
        kind: ON_OFF,
        default: Preset::Value("on"),
        value_name: "SWITCH",
        doc: "Whether the new binary is run once before it is installed",
        long: "It must exit with 0 and print its version as a whole word. Off is logged at every pass.",
        group: Group::Verify,
        ..BASE
    },
    Setting {
        key: "smoke_args",
        kind: Kind::Argv,
        default: Preset::Words(&["--version"]),
        value_name: "ARGS",
        doc: "The arguments of the smoke run",
        group: Group::Verify,
        ..BASE
    },
    Setting {
        key: "smoke_deadline",
        kind: duration(10, 600 * SECOND),
        default: Preset::Value("10s"),
        value_name: "DURATION",
        doc: "The longest that the smoke run may take",
        group: Group::Verify,
        ..BASE
    },
    Setting {
        key: "layout",
        kind: Kind::Choice(&["replace", "releases", "external"]),
        default: Preset::Value("replace"),
        value_name: "LAYOUT",
        doc: "How the binary is replaced",
        long: "`replace`: the program's file is replaced. `releases`: `releases/<version>-<digest>/` and a `current` \
               symlink. `external`: somebody else replaces it; fetchd notices, checks and hands off.",
        group: Group::Install,
        ..BASE
    },
    Setting {
        key: "keep",
        kind: Kind::Integer { min: 2, max: 100 },
        default: Preset::Value("3"),
        value_name: "N",
        doc: "How many releases the layout `releases` keeps",
        long: "The running one and the one before it are among them, whatever the number.",
        group: Group::Install,
        scope: Scope::Install,
        ..BASE
    },
    Setting {
        key: "metadata",
        kind: Kind::Choice(&["strict", "best-effort"]),
        default: Preset::Value("strict"),
        value_name: "HOW",
        doc: "What happens when owner, mode, attributes or capabilities cannot be carried over",
        long: "`strict` stops the install; `best-effort` goes on without.",
        group: Group::Install,
        scope: Scope::Install,
        ..BASE
    },
];

/// Worker, logging and metrics, which come last.
pub(super) const REST: &[Setting] = &[
    Setting {
        key: "worker.hardening",
        kind: Kind::Choice(&["auto", "require", "off"]),
        default: Preset::Value("auto"),
        value_name: "HOW",
        doc: "How far the worker process is confined before it speaks to the network",
        long: "`auto`: as far as the kernel can, and `status` shows what is lacking. `require`: a worker that lacks \
               something is given no job. `off`: resource limits only.",
        group: Group::Worker,
        scope: Scope::Pass,
        ..BASE
    },
    Setting {
        key: "worker.user",
        value_name: "USER",
        example: "fetchd-worker",
        doc: "The user that the worker process runs as: a name of `/etc/passwd` or a number",
        long: "Only where fetchd runs as root. The user must be able to read the files that the source's options name, \
               and to pass through every directory above the program's own.",
        group: Group::Worker,
        scope: Scope::Pass,
        ..BASE
    },
    Setting {
        key: "worker.memory",
        kind: Kind::Size,
        default: Preset::Value("0"),
        value_name: "SIZE",
        doc: "The most memory the worker process may use; 0 sets no limit",
        long: "A limit on its address space: past it the pass fails, and the service notices nothing. Archives \
               packed with large windows need some hundred MiB.",
        group: Group::Worker,
        scope: Scope::Pass,
        ..BASE
    },
    Setting {
        key: "worker.stay",
        kind: duration(0, DAY),
        default: Preset::Value("60s"),
        value_name: "DURATION",
        doc: "The worker process stays if the next poll is nearer than this",
        group: Group::Worker,
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "log",
        kind: Kind::Choice(&["text", "json"]),
        default: Preset::Value("text"),
        value_name: "FORMAT",
        doc: "The form of the log on stderr",
        group: Group::Logging,
        scope: Scope::All,
        ..BASE
    },
    Setting {
        key: "log_level",
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        default: Preset::Value("info"),
        value_name: "LEVEL",
        doc: "The least important events that are logged",
        group: Group::Logging,
        scope: Scope::All,
        ..BASE
    },
    Setting {
        key: "metrics",
        default: Preset::Value("off"),
        value_name: "ADDRESS",
        example: "127.0.0.1:9464",
        doc: "Where Prometheus finds `/metrics`, and a probe `/healthz`: an address or a unix socket of this machine",
        long: "Such as `127.0.0.1:9464` or `unix:/run/web/metrics.sock`. There is no password and no TLS: an address that \
               other machines reach is refused, unless `metrics_anyway` insists. An address that somebody else has is tried \
               again until it is free; the service does not wait for it.",
        group: Group::Metrics,
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "metrics_anyway",
        kind: Kind::Bool,
        default: Preset::Value("false"),
        value_name: "BOOL",
        doc: "Whether `metrics` may be an address that other machines reach",
        long: "Whoever reaches it reads which release runs and why others were refused, and can change nothing.",
        group: Group::Metrics,
        scope: Scope::Run,
        ..BASE
    },
];
