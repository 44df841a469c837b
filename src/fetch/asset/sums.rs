//! Checksum files: what `sha256sum` and release tools write. A claim like any other.

use fetchd_fetchers::{AssetName, Release};

use crate::digest::Sha256;

/// The largest checksum file that is read, in bytes.
const LIMIT: u64 = 256 * 1024;

/// A checksum file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fetch) struct Sums {
    /// Its name.
    pub(in crate::fetch) name: AssetName,
    /// The most bytes of it that are read.
    pub(in crate::fetch) limit: u64,
}

/// The checksum file that speaks of `asset`: its own, or that of the whole release.
pub(in crate::fetch) fn sums_of(release: &Release, asset: &AssetName) -> Option<Sums> {
    const WHOLE: [&str; 6] =
        ["sha256sums", "sha256sums.txt", "sha256.sum", "checksums.txt", "checksums_sha256.txt", "sha256sum.txt"];
    let own = [format!("{asset}.sha256"), format!("{asset}.sha256sum")];
    let listed = |fits: &dyn Fn(&str) -> bool| {
        release.assets.iter().find(|listed| fits(listed.name.as_str())).map(|listed| listed.name.clone())
    };
    let whole = |name: &str| {
        let name = name.to_ascii_lowercase();
        WHOLE.contains(&name.as_str()) || name.ends_with("_checksums.txt") || name.ends_with("_sha256sums")
    };
    let name = listed(&|name| own.iter().any(|own| own == name)).or_else(|| listed(&whole))?;
    Some(Sums { name, limit: LIMIT })
}

impl Sums {
    /// The digest that `text` gives for `asset`, if it speaks of it and says one thing only.
    pub(in crate::fetch) fn digest(&self, text: &[u8], asset: &AssetName) -> Option<Sha256> {
        let text = std::str::from_utf8(text).ok()?;
        let own = self.name.as_str().starts_with(asset.as_str());
        let mut found = text.lines().filter_map(|line| line_of(line.trim(), asset.as_str(), own));
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    }
}

/// `<hex>  name`, `<hex> *name`, `SHA256 (name) = <hex>`; a bare `<hex>` in a file of one asset's.
fn line_of(line: &str, asset: &str, own: bool) -> Option<Sha256> {
    if let Some(rest) = line.strip_prefix("SHA256 (") {
        let (name, digest) = rest.split_once(") = ")?;
        return (name == asset).then(|| digest.trim().to_ascii_lowercase().parse().ok())?;
    }
    let (digest, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let name = name.trim_start();
    let name = name.strip_prefix('*').unwrap_or(name);
    let name = name.strip_prefix("./").unwrap_or(name);
    let meant = name == asset || (own && name.is_empty());
    meant.then(|| digest.to_ascii_lowercase().parse().ok())?
}
