//! The commands of `fetchd fleet`.

use super::Verb;

/// What every one of them takes: the product, its channel, and who signs its releases.
const ALSO: &[&str] = &["product", "channel", "key"];

const fn verb(name: &'static str, about: &'static str, long: &'static str, example: &'static str) -> Verb {
    Verb { name, about, long, example, group: None, json: true, also: ALSO }
}

/// One after the other as they are needed.
pub(super) const VERBS: &[Verb] = &[
    Verb {
        name: "fleet",
        about: "Roll a release out in stages over a bucket",
        long: "Hosts, operators and stewards meet in a bucket and nowhere else: there is no server.",
        example: "fetchd fleet doctor --store 's3://fleet/web?region=eu-central-1'",
        group: Some("Release"),
        json: false,
        also: &[],
    },
    Verb {
        name: "fleet doctor",
        about: "Find out what a store can do, and write it down for its hosts",
        long: "Tries below `probe/` what a fleet needs: writes that happen once, replacements under a condition, with \
               several writers at the same time; removes what it made; and writes `caps.json`. Many servers that speak S3 \
               take a condition and do not look at it: leases and a second operator are refused there.",
        example: "fetchd fleet doctor --store 's3://fleet/web?region=eu-central-1'",
        group: None,
        json: true,
        also: &[],
    },
    verb(
        "fleet init",
        "Look whether a bucket can hold a fleet, and make its online key",
        "Changes nothing in the bucket: a head is there from the first `fleet start` on. Prints what hosts are given.",
        "fetchd fleet init --product web --make-key",
    ),
    Verb {
        also: &["product", "channel", "key", "target_check"],
        ..verb(
            "fleet publish",
            "Put a signed release into the bucket, with the bounds of its rollout",
            "Signed with the offline key. It lies in a directory of its own, is written once and changes nothing on any \
         host: that is for `fleet start`. The bounds say how fast a stolen online key could make hosts take it.",
            "fetchd fleet publish --product web --secret-key release.key --release 1.4.2 --bounds default --rollback-to 1.4.1 \
         x86_64-unknown-linux-gnu=target/release/web",
        )
    },
    verb(
        "fleet start",
        "Begin the rollout of a release",
        "The plan is `default` (31 h: 1, 5, 20, 50 and 100 %), `fast` (3 h: 5, 25 and 100 %), `emergency` (1 h, where the \
         release's bounds say so) or a file. It is held against the bounds before anything is written.",
        "fetchd fleet start --product web --key release.pub --rollout-key rollout.key --release 1.4.2+0123abcd --plan default",
    ),
    verb("fleet pause", "Let no further host start", "", "fetchd fleet pause --product web --rollout-key rollout.key"),
    verb(
        "fleet resume",
        "Let a paused rollout go on, or one that has halted",
        "The schedule goes on where it stopped. A halt must be named with `--ack`, by the first 8 digits or more of its \
         digest as `fleet status` shows it: hosts that are bad already are not counted again, and one more stops it as \
         before.",
        "fetchd fleet resume --product web --rollout-key rollout.key --ack 5f70bf18a086",
    ),
    verb(
        "fleet promote",
        "Open the next step now, whether or not the one before has passed",
        "As far as the release's bounds allow. The rule that halts a rollout goes on being asked.",
        "fetchd fleet promote --product web --key release.pub --rollout-key rollout.key",
    ),
    verb(
        "fleet skip-step",
        "End the step that is open now: the next opens once its hosts are well",
        "As far as the release's bounds allow. The hosts of the step that have not had their turn have it now.",
        "fetchd fleet skip-step --product web --key release.pub --rollout-key rollout.key",
    ),
    verb(
        "fleet abort",
        "End a rollout for ever: hosts that have the release keep it",
        "",
        "fetchd fleet abort --product web --rollout-key rollout.key",
    ),
    verb(
        "fleet finish",
        "Mark a rollout as done once its last step has passed",
        "Hosts that come later still take the release, at their turn.",
        "fetchd fleet finish --product web --rollout-key rollout.key",
    ),
    verb(
        "fleet rollback",
        "Roll the fleet back to an older release, with a plan of its own",
        "Only to a version that the running release was published with as `--rollback-to`. As fast as an emergency at most.",
        "fetchd fleet rollback --product web --key release.pub --rollout-key rollout.key --to 1.4.1+89abcdef",
    ),
    verb(
        "fleet pin",
        "Give a host a release of its own",
        "Without RELEASE it keeps what it has. Pins outlive the rollout.",
        "fetchd fleet pin --product web --rollout-key rollout.key web-1 1.4.1+89abcdef",
    ),
    verb(
        "fleet unpin",
        "Let a host follow the rollout again",
        "",
        "fetchd fleet unpin --product web --rollout-key rollout.key web-1",
    ),
    verb(
        "fleet retry",
        "Let hosts that were bad try once more",
        "Begins another attempt of the same rollout. Hosts that are well stay as they are.",
        "fetchd fleet retry --product web --rollout-key rollout.key --bad",
    ),
    verb(
        "fleet renew",
        "Sign the state that is in force again, with a new validity",
        "Every change does that as well. A state that has expired lets nothing start.",
        "fetchd fleet renew --product web --rollout-key rollout.key --valid 30d",
    ),
    verb(
        "fleet status",
        "Show how a rollout stands: steps, hosts, what failed and what happens next",
        "Reads the bucket and writes nothing. Bars: `#` well, `+` under way, `!` bad or silent, `.` not started.",
        "fetchd fleet status --product web --fleet-key rollout.pub --watch",
    ),
    verb(
        "fleet serve",
        "Serve a page that shows how a rollout stands, and keeps itself up to date",
        "On loopback, without a password, and read-only unless `--rollout-key` is given: then whoever opens the address \
         that is printed, with what stands behind its `#`, can pause, resume and abort. `/view.json` has the same for \
         programs, `/metrics` for Prometheus. The bucket is asked when somebody looks, and at most every 3 s however many \
         do. Ends on SIGTERM and SIGINT.",
        "fetchd fleet serve --product web --fleet-key rollout.pub",
    ),
    verb(
        "fleet releases",
        "List the releases in the bucket, newest first",
        "What each may be rolled out as and back to, as its signed manifest says; with the key of releases. Those of \
         another channel are left out.",
        "fetchd fleet releases --product web --key release.pub --fleet-key rollout.pub",
    ),
    verb(
        "fleet rollouts",
        "List the rollouts, newest first: what is in force, and how the others ended",
        "An ended one is `done` or `aborted`, as an operator said, or `replaced`: another was begun while it went on. Hosts \
         are those that stewards counted last.",
        "fetchd fleet rollouts --product web --fleet-key rollout.pub",
    ),
    verb(
        "fleet hosts",
        "List the hosts of a rollout, worst first",
        "",
        "fetchd fleet hosts --product web --fleet-key rollout.pub --state bad",
    ),
    verb(
        "fleet explain",
        "Say which step a host belongs to, when its turn is, and what keeps it from starting",
        "HOST is a name or an id. What only the host knows is not seen from here: its own holds, its clock.",
        "fetchd fleet explain --product web --fleet-key rollout.pub web-1",
    ),
    verb(
        "fleet steward",
        "Count what the hosts have reported, once",
        "What a host with `fleet.steward` does by itself; for a fleet without one, from a timer or CI.",
        "fetchd fleet steward --once --product web --fleet-key rollout.pub",
    ),
    verb(
        "fleet gc",
        "Remove the evidence of rollouts that are over",
        "Of rollouts other than the current one, of which nothing was written for as long as `--older` says. Plans stay.",
        "fetchd fleet gc --product web --fleet-key rollout.pub --older 30d --dry-run",
    ),
    Verb {
        also: &[],
        ..verb(
            "fleet simulate",
            "Show what a plan does with good and bad releases, before any host sees one",
            "The machines that hosts and stewards run, in virtual time over a bucket in memory: nothing is asked of any \
             store. Hosts hit are those that started the release. The same seed gives the same result.",
            "fetchd fleet simulate --hosts 1000 --html report.html",
        )
    },
];
