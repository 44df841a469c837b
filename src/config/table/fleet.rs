//! Who this host is in a fleet, and whose word it takes about when it switches.

use super::{BASE, DAY, Group, Kind, Preset, Setting, duration};

/// A fleet's source, `fleet+s3:`.
pub(super) const ROWS: &[Setting] = &[
    Setting {
        key: "fleet.key",
        kind: Kind::List,
        default: Preset::Derived("none; required with a `fleet+s3:` source"),
        value_name: "PUB",
        example: "rollout.pub",
        doc: "A public key that rollouts are signed with; may be repeated",
        long: "The online key: it says which release this host takes and when, among those that `key` or `keys` signed and \
               no faster than they allow. One of several suffices. The path of a minisign public key file, or the key \
               itself.",
        group: Group::Fleet,
        ..BASE
    },
    Setting {
        key: "fleet.host",
        default: Preset::Derived("none: the host goes by a number made from `/etc/machine-id`"),
        value_name: "NAME",
        example: "web-1",
        doc: "What the fleet calls this host",
        long: "1 to 64 letters, digits, `.`, `_` and `-`, beginning with a letter or a digit. No two hosts may have the same.",
        group: Group::Fleet,
        ..BASE
    },
    Setting {
        key: "fleet.instance",
        default: Preset::Derived("none"),
        value_name: "TEXT",
        example: "i-0abc",
        doc: "Tells hosts apart that are clones with one machine id",
        long: "Part of the host's number. With `fleet.host` it has no effect.",
        group: Group::Fleet,
        ..BASE
    },
    Setting {
        key: "fleet.labels",
        kind: Kind::List,
        default: Preset::Derived("none"),
        value_name: "NAME=VALUE",
        example: "az=a",
        doc: "A label of this host; may be repeated",
        long: "Rings, windows and leases of a rollout choose hosts by labels.",
        group: Group::Fleet,
        ..BASE
    },
    Setting {
        key: "fleet.steward",
        kind: Kind::Bool,
        default: Preset::Value("false"),
        value_name: "BOOL",
        doc: "Whether this host volunteers to count what the others report",
        long: "A few of the volunteers do at a time. It needs leave to write below `agg/`.",
        group: Group::Fleet,
        ..BASE
    },
    Setting {
        key: "fleet.pin",
        default: Preset::Derived("none"),
        value_name: "RELEASE",
        example: "1.4.2",
        doc: "Take this release and no other, whatever is rolled out",
        long: "A release's directory in the bucket. `hold` keeps what runs. A pin in the rollout itself says the same from \
               afar; this one outweighs it.",
        group: Group::Fleet,
        ..BASE
    },
    Setting {
        key: "fleet.prefetch",
        kind: duration(0, 7 * DAY),
        default: Preset::Value("15m"),
        value_name: "DURATION",
        doc: "How long before its turn this host begins to download",
        long: "Each host begins at a moment of its own within that time, and switches at its turn.",
        group: Group::Fleet,
        ..BASE
    },
];
