//! What a release has to hold, and whether it does.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use fetchd_fetchers::github::HostedAsset;
use futures_util::StreamExt as _;
use sha2::Digest as _;

use super::{HostedRelease, refused};
use crate::digest::Sha256;
use crate::publish::check::signature_of;
use crate::publish::sign::bind;
use crate::publish::{ArtifactFile, BoundTo, PublishError};
use crate::trust::{Bound, Format, Signature, blake2b512_reader};

/// The checksums of the artifacts, as `sha256sum` writes and checks them.
const SUMS: &str = "SHA256SUMS";

/// An asset that the release must have.
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) target: Option<String>,
    pub(super) size: u64,
    pub(super) sha256: Sha256,
    content: Content,
}

enum Content {
    File(PathBuf),
    Text(String),
    /// Differs each time it is made: of one that is there it counts what it binds.
    Signature {
        text: String,
        bound: Box<Bound>,
        hash: Box<[u8; 64]>,
        of: PathBuf,
    },
}

/// Measures and signs everything, before anything is asked or sent.
pub(super) fn prepare(release: &HostedRelease<'_>) -> Result<Vec<Wanted>, PublishError> {
    let HostedRelease { version, artifacts, .. } = release;
    if artifacts.is_empty() {
        return Err(PublishError::Usage(format!("`{version}` has no artifact")));
    }
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut sums = Vec::new();
    for file in *artifacts {
        let pair = artifact(release, file)?;
        if wanted.iter().any(|known| known.name == pair[0].name) {
            return Err(PublishError::Usage(format!("`{}` is given twice", file.target)));
        }
        sums.push(format!("{}  {}\n", pair[0].sha256, pair[0].name));
        wanted.extend(pair);
    }
    sums.sort_by(|one, other| one[66..].cmp(&other[66..]));
    let sums = sums.concat();
    wanted.push(Wanted {
        name: SUMS.to_owned(),
        target: None,
        size: sums.len() as u64,
        sha256: Sha256::of(sums.as_bytes()),
        content: Content::Text(sums),
    });
    Ok(wanted)
}

/// An artifact and its signature.
fn artifact(release: &HostedRelease<'_>, file: &ArtifactFile) -> Result<[Wanted; 2], PublishError> {
    let ArtifactFile { target, path, entry, .. } = file;
    let format = file.format.unwrap_or_else(|| Format::of_name(&path.to_string_lossy()));
    if entry.is_some() && !format.is_archive() {
        return Err(PublishError::Usage(format!("`{}` is no archive and has no entry", path.display())));
    }
    let name = format!("{}-{}-{target}{}", release.product, release.version, format.suffix());
    let mut opened = File::open(path).map_err(PublishError::io("open", path))?;
    let (sha256, size) = Sha256::of_reader(&mut opened).map_err(PublishError::io("read", path))?;
    let binary = match format {
        Format::Raw => sha256,
        _ => {
            let found = (release.unpack)(path, format, entry.as_deref());
            found.map_err(|why| PublishError::Unpack { path: path.clone(), why })?.0
        }
    };
    let to = BoundTo {
        product: release.product.to_owned(),
        version: release.version.clone(),
        channel: release.channel.to_owned(),
        target: target.clone(),
        issued: Some(release.now),
        expires: None,
        seq: None,
        entry: entry.clone(),
        binsha256: Some(binary),
    };
    let comment = bind(&to, &name, size)?;
    opened.rewind().map_err(PublishError::io("read", path))?;
    let text = release.key.sign(&mut opened, &comment, "signed with fetchd, bound to a release")?;
    // What was signed must be what was measured and looked into.
    opened.rewind().map_err(PublishError::io("read", path))?;
    let hash = blake2b512_reader(&mut opened).map_err(PublishError::io("read", path))?;
    let changed = |_| PublishError::Changed(path.clone());
    signature_of(&text, release.key.public(), &hash).map_err(changed)?;
    opened.rewind().map_err(PublishError::io("read", path))?;
    if Sha256::of_reader(&mut opened).map_err(PublishError::io("read", path))? != (sha256, size) {
        return Err(PublishError::Changed(path.clone()));
    }
    let signature = Wanted {
        name: format!("{name}.minisig"),
        target: None,
        size: text.len() as u64,
        sha256: Sha256::of(text.as_bytes()),
        content: Content::Signature {
            text,
            bound: Box::new(Bound::parse(&comment)?),
            hash: Box::new(hash),
            of: path.clone(),
        },
    };
    let artifact = Wanted { name, target: Some(target.clone()), size, sha256, content: Content::File(path.clone()) };
    Ok([artifact, signature])
}

impl Wanted {
    /// Whether an asset that has arrived is this one.
    pub(super) async fn is(&self, asset: &HostedAsset, release: &HostedRelease<'_>) -> Result<bool, PublishError> {
        if let Content::Signature { bound, hash, .. } = &self.content {
            if asset.size > Signature::MAX_FILE as u64 {
                return Ok(false);
            }
            let mut bytes = Vec::new();
            self.read(asset, release, |chunk| bytes.extend_from_slice(chunk)).await?;
            let Ok(text) = String::from_utf8(bytes) else { return Ok(false) };
            let holds = signature_of(&text, release.key.public(), hash).is_ok();
            return Ok(holds && binds(&text).is_some_and(|there| same_but_time(&there, bound)));
        }
        if asset.size != self.size {
            return Ok(false);
        }
        if let Some(digest) = asset.digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:")) {
            return Ok(digest.parse() == Ok(self.sha256));
        }
        // A server that shows no digests shows the bytes.
        let mut hash = sha2::Sha256::new();
        self.read(asset, release, |chunk| hash.update(chunk)).await?;
        Ok(Sha256(hash.finalize().into()) == self.sha256)
    }

    async fn read(
        &self,
        asset: &HostedAsset,
        release: &HostedRelease<'_>,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), PublishError> {
        let mut body = release.repository.download(asset).await.map_err(refused)?;
        while let Some(chunk) = body.stream.next().await {
            take(&chunk.map_err(refused)?);
        }
        Ok(())
    }

    /// The bytes to send, and their media type.
    pub(super) fn open(&self) -> Result<(tokio::fs::File, &'static str), PublishError> {
        let (file, kind) = match &self.content {
            Content::File(path) => {
                (File::open(path).map_err(PublishError::io("open", path))?, "application/octet-stream")
            }
            Content::Text(text) | Content::Signature { text, .. } => {
                let made = temporary(text).map_err(PublishError::io("write", Path::new("a temporary file")))?;
                (made, "text/plain")
            }
        };
        Ok((tokio::fs::File::from_std(file), kind))
    }

    /// What it means that other bytes have arrived than were to be sent.
    pub(super) fn changed(&self) -> PublishError {
        match &self.content {
            Content::File(path) | Content::Signature { of: path, .. } => PublishError::Changed(path.clone()),
            Content::Text(_) => PublishError::Conflict(self.name.clone()),
        }
    }
}

fn binds(signature: &str) -> Option<Bound> {
    Bound::parse(Signature::parse(signature.as_bytes()).ok()?.claimed_comment()).ok()
}

/// Whether two signatures bind to the same; when they were made is no part of it.
fn same_but_time(one: &Bound, other: &Bound) -> bool {
    *one == Bound { issued: one.issued, ..other.clone() }
}

fn temporary(text: &str) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}
