//! Which of a release's assets is meant for this machine, and what its checksum file says of it.

mod name;
mod pattern;
mod sums;

use std::collections::BTreeSet;

use fetchd_fetchers::{Asset, AssetName, Release};
use serde::{Deserialize, Serialize};

use self::name::Reading;
pub use self::pattern::{AssetPattern, BadPattern};
pub(super) use self::sums::sums_of;
use crate::trust::{Format, version_of_label};

/// What "the asset" of a release means on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meant {
    /// The product.
    pub product: String,
    /// The channel, after which a bundle among other assets is named.
    pub channel: String,
    /// The target triple.
    pub target: String,
    /// What the asset's name looks like; `None` = as release tools name them.
    pub pattern: Option<AssetPattern>,
}

/// Why no asset was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoChoice {
    /// None fits.
    None,
    /// These fit equally well.
    Several(Vec<AssetName>),
}

impl Meant {
    /// The artifact for this machine. A release that shows one asset means that one, unless a
    /// pattern says what it has to look like.
    ///
    /// Without a pattern the names are read as cargo-dist, GoReleaser and fetchd itself write them:
    /// product, version, and words for system, processor and C library in any order and spelling. A
    /// name that speaks of another system or processor is never taken, nor one of a signature, a
    /// checksum, a package or a script.
    pub(super) fn artifact(&self, release: &Release) -> Result<AssetName, NoChoice> {
        match (&self.pattern, release.assets.as_slice()) {
            (Some(pattern), _) => self.matching(pattern, release, |name| !name::is_sidecar(name)),
            (None, [only]) if !lists(release) => Ok(only.name.clone()),
            (None, _) => self.best(release),
        }
    }

    /// The bundle: the only asset, or the one that is named after the channel.
    pub(super) fn bundle(&self, release: &Release) -> Result<AssetName, NoChoice> {
        match (&self.pattern, release.assets.as_slice()) {
            (Some(pattern), _) => self.matching(pattern, release, |name| !name.ends_with(".minisig")),
            (None, [only]) if !lists(release) => Ok(only.name.clone()),
            (None, assets) => {
                let wanted = format!("{}.fetchd", self.channel);
                let found = assets.iter().find(|asset| asset.name.as_str() == wanted);
                found.map(|asset| asset.name.clone()).ok_or(NoChoice::None)
            }
        }
    }

    /// What this machine looks for, for a message.
    pub(super) fn described(&self) -> String {
        match &self.pattern {
            Some(pattern) => format!("an asset that looks like `{pattern}`"),
            None => format!("an asset of `{}` for `{}`", self.product, self.target),
        }
    }

    fn matching(
        &self,
        pattern: &AssetPattern,
        release: &Release,
        possible: impl Fn(&str) -> bool,
    ) -> Result<AssetName, NoChoice> {
        let version = self.version(release);
        for target in name::acceptable(&self.target) {
            let fits = |asset: &&Asset| {
                possible(asset.name.as_str())
                    && pattern.matches(asset.name.as_str(), &self.product, &target, version.as_deref())
            };
            let found: Vec<&Asset> = release.assets.iter().filter(fits).collect();
            match found.as_slice() {
                [] => {}
                [only] => return Ok(only.name.clone()),
                several => return Err(NoChoice::Several(names(several))),
            }
        }
        Err(NoChoice::None)
    }

    fn best(&self, release: &Release) -> Result<AssetName, NoChoice> {
        let version = self.version(release);
        let read = |asset| {
            let reading = Reading::of(asset_name(asset), &self.product, version.as_deref(), &self.target)?;
            Some((reading, asset))
        };
        let fits: Vec<(Reading, &Asset)> = release.assets.iter().filter_map(read).collect();
        let Some(best) = fits.iter().map(|(reading, _)| reading.rank()).max() else { return Err(NoChoice::None) };
        let top: Vec<&(Reading, &Asset)> = fits.iter().filter(|(reading, _)| reading.rank() == best).collect();
        // The same file, packed in several ways, is one choice: the smallest.
        let stems: BTreeSet<&str> = top.iter().map(|(reading, _)| reading.stem()).collect();
        if stems.len() > 1 {
            let several: Vec<&Asset> = top.iter().map(|(_, asset)| *asset).collect();
            return Err(NoChoice::Several(names(&several)));
        }
        let packed = top.iter().min_by_key(|(_, asset)| preference(Format::of_name(asset.name.as_str())));
        packed.map(|(_, asset)| asset.name.clone()).ok_or(NoChoice::None)
    }

    fn version(&self, release: &Release) -> Option<String> {
        let label = release.label.as_deref()?;
        Some(version_of_label(label, &self.product).map_or_else(|| label.to_owned(), |version| version.to_string()))
    }
}

/// Whether the source lists files of their own names, rather than pointing at one.
pub(super) fn lists(release: &Release) -> bool {
    release.label.is_some() || release.assets.len() != 1
}

/// Whether a listed asset can be had. A source that gives its assets handles gives none to one
/// whose upload has not ended.
pub(super) fn is_there(release: &Release, asset: &AssetName) -> bool {
    let handles = release.assets.iter().any(|listed| listed.handle.is_some());
    match release.assets.iter().find(|listed| listed.name == *asset) {
        Some(listed) => !handles || listed.handle.is_some(),
        None => !lists(release),
    }
}

fn asset_name(asset: &Asset) -> &str {
    asset.name.as_str()
}

fn names(assets: &[&Asset]) -> Vec<AssetName> {
    assets.iter().map(|asset| asset.name.clone()).collect()
}

/// The smallest first.
fn preference(format: Format) -> u8 {
    match format {
        Format::TarXz => 0,
        Format::Xz => 1,
        Format::TarZst => 2,
        Format::Zst => 3,
        Format::TarGz => 4,
        Format::Gz => 5,
        Format::Zip => 6,
        Format::Raw => 7,
    }
}

#[cfg(test)]
mod tests;
