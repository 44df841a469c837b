//! The keys of a fleet's objects in its bucket.

use std::sync::Arc;

use super::cohort::HostId;
use super::evidence::Report;
use super::head::is_rollout;
use crate::trust::{is_channel, is_product};

/// Where the objects of one product and channel are.
///
/// Cheap to clone: a simulation has a million of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    prefix: String,
    product: String,
    channel: String,
}

impl Names {
    /// The names below `prefix`, which may be empty and needs no slash at its end. `None` if a name could not
    /// be one of a key.
    pub fn new(prefix: &str, product: &str, channel: &str) -> Option<Names> {
        let prefix = prefix.trim_matches('/');
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
        if !is_product(product) || !is_channel(channel) || !(prefix.is_empty() || prefix.split('/').all(plain)) {
            return None;
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Some(Names(Arc::new(Parts { prefix, product: product.to_owned(), channel: channel.to_owned() })))
    }

    /// The product.
    pub fn product(&self) -> &str {
        &self.0.product
    }

    /// The channel.
    pub fn channel(&self) -> &str {
        &self.0.channel
    }

    /// The one object that every host polls.
    pub fn head(&self) -> String {
        format!("{}head/{}/{}.json", self.0.prefix, self.0.product, self.0.channel)
    }

    /// Under which the releases of the product are.
    pub fn releases(&self) -> String {
        format!("{}rel/{}/", self.0.prefix, self.0.product)
    }

    /// The directory of a release's objects, with a slash at its end.
    pub fn release(&self, release: &str) -> String {
        format!("{}rel/{}/{release}/", self.0.prefix, self.0.product)
    }

    /// The signed bundle of a release.
    pub fn manifest(&self, release: &str) -> String {
        format!("{}manifest.json", self.release(release))
    }

    /// The immutable copy of the signed state `seq` of a rollout; the first is its plan.
    pub fn plan(&self, rollout: &str, seq: Option<u64>) -> String {
        match seq {
            None => format!("{}ro/{rollout}/plan.json", self.0.prefix),
            Some(seq) => format!("{}ro/{rollout}/plan-{seq}.json", self.0.prefix),
        }
    }

    /// Under which the signed states of a rollout are.
    pub fn plans(&self, rollout: &str) -> String {
        format!("{}ro/{rollout}/", self.0.prefix)
    }

    /// Under which the plans of all rollouts are.
    pub fn rollouts(&self) -> String {
        format!("{}ro/", self.0.prefix)
    }

    /// Under which the evidence of all rollouts is.
    pub fn evidences(&self) -> String {
        format!("{}ev/", self.0.prefix)
    }

    /// Under which one shard of a rollout's evidence is.
    pub fn evidence_of(&self, rollout: &str, shard: &str) -> String {
        format!("{}ev/{rollout}/{shard}/", self.0.prefix)
    }

    /// One piece of evidence: the key is the datum.
    pub fn evidence(&self, rollout: &str, shard: &str, host: HostId, report: &Report) -> String {
        format!("{}{host}/{report}", self.evidence_of(rollout, shard))
    }

    /// A roll-up of a rollout.
    pub fn rollup(&self, rollout: &str) -> String {
        format!("{}agg/{rollout}/0.json", self.0.prefix)
    }

    /// Under which the latches of all rollouts are.
    pub fn latches(&self) -> String {
        format!("{}latch/", self.0.prefix)
    }

    /// The latch that stops a rollout: the first, or the one after `acknowledged` of them were.
    pub fn latch(&self, rollout: &str, acknowledged: u32) -> String {
        match acknowledged {
            0 => format!("{}latch/{rollout}/halt", self.0.prefix),
            many => format!("{}latch/{rollout}/halt-{many}", self.0.prefix),
        }
    }

    /// A slot of a group's leases.
    pub fn lease(&self, group: &str, slot: u32) -> String {
        format!("{}lease/{group}/{slot}", self.0.prefix)
    }

    /// Under which the leases of every group are.
    pub fn leases(&self) -> String {
        format!("{}lease/", self.0.prefix)
    }

    /// A slot of the stewards.
    pub fn steward(&self, slot: u32) -> String {
        self.lease("_steward", slot)
    }

    /// What a host says of itself from time to time.
    pub fn inventory(&self, shard: &str, host: HostId) -> String {
        format!("{}{host}.json", self.inventory_of(shard))
    }

    /// Under which one shard of the inventory is.
    pub fn inventory_of(&self, shard: &str) -> String {
        format!("{}inv/{shard}/", self.0.prefix)
    }

    /// Under which the whole inventory is.
    pub fn inventories(&self) -> String {
        format!("{}inv/", self.0.prefix)
    }

    /// A key set of the product's root.
    pub fn root(&self, version: u64) -> String {
        format!("{}trust/{version}.root.json", self.0.prefix)
    }

    /// What the doctor found out about the store.
    pub fn caps(&self) -> String {
        format!("{}caps.json", self.0.prefix)
    }

    /// Under which the doctor makes its experiments.
    pub fn probes(&self) -> String {
        format!("{}probe/", self.0.prefix)
    }

    /// The host and the report that `rest`, a key after [`Names::evidence_of`], stands for.
    pub fn read_evidence(rest: &str) -> Option<(HostId, Report)> {
        let (host, report) = rest.split_once('/')?;
        Some((host.parse().ok()?, report.parse().ok()?))
    }
}

/// Whether `group` can be part of a lease's key: 1 to 64 of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit.
pub fn is_group(group: &str) -> bool {
    is_rollout(group)
}
