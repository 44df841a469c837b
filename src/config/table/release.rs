//! Where releases come from, what is believed, what is taken.

use super::{BASE, DAY, Group, HOUR, Kind, Places, Preset, SECOND, Scope, Setting, duration};

/// Source, trust and policy.
pub(super) const ROWS: &[Setting] = &[
    Setting {
        key: "source",
        default: Preset::Derived("none: nothing is fetched, only supervised"),
        value_name: "URL",
        example: "https://dl.example.com/web/stable.fetchd",
        doc: "Where releases come from",
        long: "A URL whose scheme names the fetcher: `file:`, `http:`, `https:`, `s3:`, `github:`, or `fleet+s3:` for a bucket in which a fleet is kept. In the file either a text, or a table \
               `[source]` with `url` and `[source.options]`. A relative `file:` source is relative to the file it \
               stands in, else to the working directory.",
        group: Group::Source,
        ..BASE
    },
    Setting {
        key: "source.options",
        kind: Kind::Table,
        default: Preset::Derived("none"),
        value_name: "NAME=VALUE",
        example: "method=get",
        doc: "An option of the fetcher; may be repeated",
        long: "Which options exist depends on the scheme; an unknown one is refused by the fetcher. In the file a table \
               whose values are texts or arrays of texts; in the environment pairs separated by commas, or a JSON \
               object. Values are never printed.",
        group: Group::Source,
        ..BASE
    },
    Setting {
        key: "asset",
        default: Preset::Derived("read from the names, as release tools write them"),
        value_name: "PATTERN",
        example: "app-{target}.tar.gz",
        doc: "Which asset of a release is meant for this machine",
        long: "For sources that show several, such as `github:`. `*` stands for anything, `{target}` for the target \
               triple, `{os}` and `{arch}` for every usual spelling of the system and the processor, `{version}` for the \
               version in the tag, `{name}` for the product. More than one match is an error that lists them.",
        group: Group::Source,
        ..BASE
    },
    Setting {
        key: "interval",
        kind: duration(10, 30 * DAY),
        default: Preset::Value("5m"),
        value_name: "DURATION",
        doc: "How often the source is asked",
        long: "From 10 ms to 30 days. An answer that names a longer wait (`Retry-After`) is obeyed. A host of a fleet goes \
               by it only until a rollout was begun: from then on the rollout's signed state says how often it asks.",
        group: Group::Source,
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "jitter",
        kind: Kind::Percent,
        default: Preset::Value("10%"),
        value_name: "PERCENT",
        doc: "How far each interval is varied by chance",
        long: "Spreads a fleet's polls: with 10 %, an interval of 5 minutes lasts from 4.5 to 5.5 minutes.",
        group: Group::Source,
        scope: Scope::Run,
        ..BASE
    },
    Setting {
        key: "key",
        kind: Kind::List,
        default: Preset::Derived("none; required unless `trust = \"owner\"` or `--insecure-unsigned`"),
        value_name: "PUB",
        example: "release.pub",
        doc: "A public key that releases are signed with; may be repeated",
        long: "The path of a minisign public key file, or the key itself (56 characters beginning with `RW`). Flags \
               replace the list of the file; they do not add to it.",
        group: Group::Trust,
        scope: Scope::Trust,
        ..BASE
    },
    Setting {
        key: "keys",
        kind: Kind::Path,
        value_name: "FILE",
        example: "/etc/fetchd/web.keys",
        default: Preset::Derived("none: the keys are those of `key`, and never change"),
        doc: "A key set that says who signs releases, and who may change that",
        long: "A signed bundle with a document of the type `fetchd-keys`, brought here by a way that is trusted. Newer \
               versions of it are fetched from `keys/<version>` beside the source's file, each signed by the root keys \
               before it and by its own. Takes the place of `key` and `threshold`; not for `github:`.",
        group: Group::Trust,
        scope: Scope::Trust,
        ..BASE
    },
    Setting {
        key: "threshold",
        kind: Kind::Integer { min: 1, max: 16 },
        default: Preset::Value("1"),
        value_name: "N",
        doc: "How many different keys must have signed",
        long: "At most the number of keys; more than one only with `signature = \"bundle\"`.",
        group: Group::Trust,
        scope: Scope::Trust,
        ..BASE
    },
    Setting {
        key: "signature",
        kind: Kind::Choice(&["bundle", "bound", "plain"]),
        default: Preset::Derived("`bundle` if the source's path ends in `.fetchd` or `.json`, else `bound`"),
        value_name: "MODE",
        example: "bound",
        doc: "What is signed, and how",
        long: "`bundle`: one file holds a signed manifest of all releases of a channel, or two do, `NAME.json` and \
               `NAME.json.minisig`. `bound`: each artifact has a `.minisig` whose trusted comment names product, version and target. `plain`: each artifact has any \
               minisign signature; the version is then only what the binary prints.",
        group: Group::Trust,
        scope: Scope::Trust,
        ..BASE
    },
    Setting {
        key: "trust",
        kind: Kind::Choice(&["keys", "owner"]),
        default: Preset::Value("keys"),
        value_name: "WHOM",
        doc: "Whom to believe: signatures, or the owner of a local file",
        long: "`owner` needs a `file:` source and `layout = \"external\"`: a deploy job of this machine puts the binary \
               there, and it and every directory above it must belong to root or to fetchd's user and be writable by \
               nobody else.",
        group: Group::Trust,
        ..BASE
    },
    Setting {
        key: "floor",
        default: Preset::Derived("none: the first manifest that this host accepts is its floor"),
        value_name: "NUMBER",
        example: "42",
        doc: "Accept no manifest below this number",
        long: "A manifest's sequence number, or `EPOCH/NUMBER`; `fetchd inspect` shows it. A host whose state is new or \
               was lost begins there, so that an old manifest cannot be replayed to it. What was accepted since counts \
               more: this never lowers anything.",
        group: Group::Trust,
        ..BASE
    },
    Setting {
        key: "insecure_unsigned",
        kind: Kind::Bool,
        default: Preset::Value("false"),
        value_name: "BOOL",
        doc: "Install releases that nobody signed; for development only",
        long: "Only as a flag, never from the file or the environment; refused where a key is configured; a warning at \
               every start.",
        group: Group::Trust,
        places: Places::Flag,
        ..BASE
    },
    Setting {
        key: "channel",
        default: Preset::Value("stable"),
        value_name: "NAME",
        doc: "The channel to follow",
        long: "A release signed for another channel is refused.",
        group: Group::Policy,
        scope: Scope::Trust,
        ..BASE
    },
    Setting {
        key: "pin",
        default: Preset::Derived("none"),
        value_name: "VERSION",
        example: "1.4.2",
        doc: "Take this version and no other",
        long: "A revoked version is refused even if it is pinned.",
        group: Group::Policy,
        ..BASE
    },
    Setting {
        key: "cooldown",
        kind: duration(0, 365 * DAY),
        default: Preset::Value("0s"),
        value_name: "DURATION",
        doc: "How long a release must have been known before it is taken",
        long: "Counted from when this machine first saw it, whatever date the release carries.",
        group: Group::Policy,
        ..BASE
    },
    Setting {
        key: "max_age",
        kind: duration(HOUR, 3650 * DAY),
        default: Preset::Derived("none: only the manifest's own expiry counts"),
        value_name: "DURATION",
        example: "30d",
        doc: "Hold when the newest manifest is older than this",
        long: "Nothing is installed from an older one; what runs is left alone.",
        group: Group::Policy,
        ..BASE
    },
    Setting {
        key: "allow_downgrade",
        kind: Kind::Bool,
        default: Preset::Value("false"),
        value_name: "BOOL",
        doc: "Take a lower version than the one that runs",
        long: "Never below the manifest's `min_version`, and never a replayed manifest. With `trust = \"owner\"` it \
               is not asked for: a deploy job that points back means just that.",
        group: Group::Policy,
        ..BASE
    },
    Setting {
        key: "deltas",
        kind: Kind::Bool,
        default: Preset::Value("true"),
        value_name: "BOOL",
        doc: "Make the new binary of the one that is there, where the manifest lists a delta",
        long: "The smallest that fits is tried once, and only if it is less than 60 % of the full artifact. Whatever goes \
               wrong with it, the full artifact is fetched at once. `false`: always the full one.",
        group: Group::Download,
        ..BASE
    },
    Setting {
        key: "poll_deadline",
        kind: duration(SECOND, HOUR),
        default: Preset::Value("30s"),
        value_name: "DURATION",
        doc: "The longest that one poll may take",
        group: Group::Download,
        ..BASE
    },
    Setting {
        key: "download_deadline",
        kind: duration(SECOND, 7 * DAY),
        default: Preset::Value("1h"),
        value_name: "DURATION",
        doc: "The longest that one download may take",
        long: "What has arrived is kept, and the next pass goes on from there.",
        group: Group::Download,
        ..BASE
    },
    Setting {
        key: "stall_deadline",
        kind: duration(100, HOUR),
        default: Preset::Value("30s"),
        value_name: "DURATION",
        doc: "The longest wait for the next byte",
        group: Group::Download,
        ..BASE
    },
    Setting {
        key: "min_rate",
        kind: Kind::Size,
        default: Preset::Value("1KiB"),
        value_name: "SIZE",
        doc: "The least bytes a second over 30 seconds; 0 turns it off",
        group: Group::Download,
        ..BASE
    },
    Setting {
        key: "max_size",
        kind: Kind::Size,
        default: Preset::Value("2GiB"),
        value_name: "SIZE",
        doc: "The largest artifact, and the largest binary unpacked from it",
        group: Group::Download,
        ..BASE
    },
    Setting {
        key: "reserve",
        kind: Kind::Size,
        default: Preset::Value("64MiB"),
        value_name: "SIZE",
        doc: "Space to leave free on the disk",
        long: "Checked before the download, for artifact and binary together.",
        group: Group::Download,
        ..BASE
    },
];
