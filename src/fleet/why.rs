//! What the stable codes of hosts and stewards mean, in words for people.

/// Why nothing happens, as the end of a sentence after a colon; `None` = the code is not one of a fleet's.
pub fn why(code: &str) -> Option<&'static str> {
    const WORDS: [(&str, &str); 46] = [
        ("fleet.no_rollout", "no rollout was started in this bucket yet"),
        ("fleet.paused", "an operator has paused the rollout"),
        ("fleet.halted", "the rollout has stopped because it went wrong"),
        ("fleet.aborted", "an operator has ended the rollout"),
        ("fleet.pinned", "this host is pinned to something else"),
        ("fleet.denied", "it failed on this host in this attempt, and is not tried again until `fetchd fleet retry`"),
        ("fleet.wrong_base", "the rollout is not meant for hosts that run what this one runs"),
        ("fleet.no_place", "no ring of the plan has this host"),
        ("fleet.bad_group", "its labels make no name of a group of leases"),
        ("fleet.release_unknown", "its manifest cannot be read, or does not hold"),
        ("fleet.unfinished", "an earlier switch has not come to its end, and its release cannot be read"),
        ("fleet.interrupted", "the switch was broken off again and again, and nobody was left to tell why"),
        ("fleet.no_way_back", "it is older than what runs, and what runs does not list it as a way back"),
        ("fleet.no_bounds", "its publisher has signed no bounds for it, so it is meant for no fleet"),
        ("fleet.out_of_bounds", "the rollout is faster than the release's publisher allows"),
        ("fleet.store_lacks", "the store cannot do what this needs, or nobody has asked it: `fetchd fleet doctor`"),
        ("fleet.caps_malformed", "what the doctor has written down about the store makes no sense"),
        ("head.absent", "the signed state of the rollout is not in the bucket, or not any more"),
        ("head.expired", "the signed state of the rollout has expired; `fetchd fleet renew` signs it anew"),
        ("head.rollback", "the bucket shows an older state of the rollout than this host has seen"),
        ("head.equivocation", "the bucket shows another state of the rollout under a number that was used already"),
        ("head.seq_jump", "the number of the rollout's state is far beyond the last one"),
        ("head.wrong_product", "the rollout is another product's"),
        ("head.wrong_channel", "the rollout is another channel's"),
        ("head.wrong_type", "what is signed there is not the state of a rollout"),
        ("head.malformed", "the state of the rollout makes no sense"),
        ("head.too_large", "the state of the rollout is larger than any can be"),
        ("head.unsupported", "the state of the rollout is of a later layout: this fetchd is too old for it"),
        ("rollup.absent", "no steward has counted yet what the hosts report"),
        ("rollup.behind", "no steward has counted yet since the rollout was changed"),
        ("rollup.stale", "no steward has counted for more than 10 min"),
        ("rollup.of_the_future", "the stewards' count is dated in the future"),
        ("rollup.inconsistent", "the stewards' count contradicts itself"),
        ("rollup.contradicted", "the stewards' count contradicts what the hosts have reported"),
        ("rollup.malformed", "the stewards' count makes no sense"),
        ("signature.unknown_key", "it is signed by nobody whom this host was told to believe"),
        ("signature.wrong", "its signature does not hold"),
        ("signature.missing", "it is not signed"),
        ("signature.threshold", "too few of those who must sign it have"),
        ("source.unreachable", "the bucket does not answer"),
        ("source.deadline", "the bucket takes too long to answer"),
        ("source.throttled", "the bucket asks for fewer requests"),
        ("source.denied", "the bucket does not let this host in"),
        ("source.not_found", "there is no such bucket"),
        ("store.nonsense", "the bucket's answer makes no sense"),
        ("release.quarantined", "it failed on this host before"),
    ];
    WORDS.iter().find(|(known, _)| *known == code).map(|(_, words)| *words)
}

/// The words with the code in brackets behind them, for lines that show the code nowhere else; the code alone where there
/// are none.
pub fn told(code: &str) -> String {
    why(code).map_or_else(|| format!("[{code}]"), |words| format!("{words} [{code}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes that a module gives to hosts and stewards, as they stand in its source.
    fn codes(source: &str) -> Vec<&str> {
        let code = |word: &&str| {
            ["fleet.", "head.", "rollup.", "store."].iter().any(|start| word.starts_with(start))
                && word
                    .split_once('.')
                    .is_some_and(|(_, rest)| rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        };
        source.split('"').skip(1).step_by(2).filter(code).collect()
    }

    #[test]
    fn every_code_of_a_host_or_a_steward_has_words() {
        let sources = [
            include_str!("host/decide.rs"),
            include_str!("host/gate.rs"),
            include_str!("host/poll.rs"),
            include_str!("host/slot.rs"),
            include_str!("steward/round.rs"),
            include_str!("bounds.rs"),
            include_str!("head.rs"),
            include_str!("rollup.rs"),
        ];
        let all: Vec<&str> = sources.into_iter().flat_map(codes).collect();
        assert!(all.len() > 25 && all.contains(&"rollup.stale"), "{all:?}");
        let bare: Vec<&&str> = all.iter().filter(|code| why(code).is_none()).collect();
        assert!(bare.is_empty(), "{bare:?}");
        assert_eq!(told("handoff.exited"), "[handoff.exited]");
        assert_eq!(told("source.unreachable"), "the bucket does not answer [source.unreachable]");
    }
}
