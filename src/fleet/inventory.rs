//! What a host says of itself from time to time, whatever is rolled out. A claim, for people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cohort::HostId;
use super::host::Shown;
use crate::clock::Timestamp;

/// The largest inventory that is read, in bytes.
pub const MAX_FILE: usize = 16 * 1024;

/// One host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// The layout, 1.
    pub v: u8,
    /// Which.
    pub host: HostId,
    /// What its operator calls it.
    #[serde(default)]
    pub name: Option<String>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The version that it runs, as far as it was asked.
    #[serde(default)]
    pub version: Option<String>,
    /// Differs from boot to boot.
    #[serde(default)]
    pub boot: String,
    /// It volunteers as a steward.
    #[serde(default)]
    pub steward: bool,
    /// When, by the store's clock as far as it was known.
    pub at: Timestamp,
    /// What it does, and why.
    pub shown: Shown,
}
