//! The steps of the demo, in order, and what has to come of each.

use super::trailer::Fault;

/// One step to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) version: &'static str,
    pub(super) flaw: &'static str,
    pub(super) fault: Option<Fault>,
    pub(super) act: Act,
    pub(super) want: Want,
}

/// How it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Publish,
    /// With a key that nobody trusts; the right pointer is put back afterwards.
    Stranger,
    Cut,
    Damage,
    /// The worker is killed in the middle of the download.
    KillWorker,
    /// The operator's command; `version` is the one to return to.
    RollBack,
}

/// What has to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Live,
    Undone(&'static str),
    Refused(&'static str),
}

const fn plan(version: &'static str, flaw: &'static str, fault: Option<Fault>, act: Act, want: Want) -> Plan {
    Plan { version, flaw, fault, act, want }
}

const GOOD: &str = "nothing";

/// A release that crashes takes the requests that it is answering with it, and nobody can bring
/// those back. The one that crashes in its watch here does so before it accepts the first.
pub(super) const PLANS: [Plan; 12] = [
    plan("1.1.0", GOOD, None, Act::Publish, Want::Live),
    plan("1.2.0", "crashes at start", Some(Fault::ExitBeforeReady), Act::Publish, Want::Undone("handoff.exited")),
    plan("1.3.0", GOOD, None, Act::Publish, Want::Live),
    plan("1.4.0", "hangs at start", Some(Fault::NeverReady), Act::Publish, Want::Undone("handoff.not_ready")),
    plan("1.5.0", "crashes when ready", Some(Fault::CrashAtReady), Act::Publish, Want::Undone("watch.died")),
    plan("9.9.9", "signed by a stranger", None, Act::Stranger, Want::Refused("signature.unknown_key")),
    plan("1.6.0", "--version lies", Some(Fault::VersionWrong), Act::Publish, Want::Refused("smoke.version")),
    plan("1.6.1", "cut in half", None, Act::Cut, Want::Refused("download.size")),
    plan("1.6.2", "one bit turned", None, Act::Damage, Want::Refused("download.digest")),
    plan("1.7.0", "downloader killed", None, Act::KillWorker, Want::Live),
    plan("1.3.0", "`fetchd rollback`", None, Act::RollBack, Want::Undone("operator.rollback")),
    plan("1.8.0", GOOD, None, Act::Publish, Want::Live),
];

impl Want {
    pub(super) fn word(self) -> &'static str {
        match self {
            Want::Live => "live",
            Want::Undone(_) => "rolled_back",
            Want::Refused(_) => "refused",
        }
    }
}
