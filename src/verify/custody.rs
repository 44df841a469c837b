//! Taking an artifact out of the worker's hands.
//!
//! The worker talks to the network and parses what it gets, so it is the part an attacker reaches
//! first. What it leaves in staging is copied, and the copy is what is measured and kept: after
//! [`take`] nothing the worker still does to its file matters (test
//! `what_is_taken_is_a_copy_and_the_staged_file_is_gone`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use blake2::Blake2b512;
use sha2::Digest as _;

use super::VerifyError;
use crate::checkpoint::Checkpoint;
use crate::digest::Sha256;
use crate::fetch::ExtractJob;
use crate::trust::{Chosen, Format, Proof};

/// An artifact in our own hands: its size, digest and signature are those that were signed.
/// Made only by [`take`]. Dropping it removes the copy.
#[derive(Debug)]
pub struct Artifact {
    copy: Kept,
    unpacked: Kept,
    size: u64,
    sha256: Sha256,
    chosen: Chosen,
}

/// Copies the file `staged` into the directory `custody`, and checks the copy's size, digest and
/// signature against `chosen`.
///
/// The staged file is removed, unless this machine failed (a full disk): then it can be taken
/// again later. `custody` must be a directory that only this user can enter.
pub fn take(staged: &Path, chosen: Chosen, custody: &Path) -> Result<Artifact, VerifyError> {
    let taken = copy_and_check(staged, chosen, custody);
    if matches!(taken, Ok(_) | Err(VerifyError::Refused(_)))
        && let Err(e) = clear(staged)
        && e.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %staged.display(), error = %e, "the staged file could not be removed");
    }
    if taken.is_ok() {
        Checkpoint::CustodyTaken.reached();
    }
    taken
}

/// A directory in its place would stop the next download.
fn clear(staged: &Path) -> io::Result<()> {
    match fs::remove_file(staged) {
        Err(e) if e.kind() == io::ErrorKind::IsADirectory => fs::remove_dir_all(staged),
        removed => removed,
    }
}

fn copy_and_check(staged: &Path, chosen: Chosen, custody: &Path) -> Result<Artifact, VerifyError> {
    let (mut from, length) = open_alone(staged, "staged.kind")?;
    let limit = chosen.size().map_or(chosen.max_size(), |size| size.min(chosen.max_size()));
    if length > limit {
        return Err(too_long(&chosen, limit));
    }
    let copy = Kept::named(custody, "artifact")?;
    let mut options = OpenOptions::new();
    let created = options.write(true).create_new(true).mode(0o600).open(&copy.path);
    let mut to = created.map_err(VerifyError::io(&copy.path, "creating"))?;

    let mut sha256 = sha2::Sha256::new();
    let mut blake2b = matches!(chosen.proof(), Proof::Artifact(_)).then(Blake2b512::new);
    let mut buffer = vec![0; BUFFER];
    let mut size = 0_u64;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(VerifyError::io(staged, "reading")(e)),
        };
        // The file may grow while it is read.
        size += read as u64;
        if size > limit {
            return Err(too_long(&chosen, limit));
        }
        let bytes = &buffer[..read];
        sha256.update(bytes);
        if let Some(blake2b) = &mut blake2b {
            blake2b.update(bytes);
        }
        to.write_all(bytes).map_err(VerifyError::io(&copy.path, "writing"))?;
    }
    let sha256 = Sha256(sha256.finalize().into());
    check(&chosen, size, sha256, blake2b.map(|hash| hash.finalize().into()))?;
    Ok(Artifact { copy, unpacked: Kept::named(custody, "unpacked")?, size, sha256, chosen })
}

fn check(chosen: &Chosen, size: u64, sha256: Sha256, blake2b: Option<[u8; 64]>) -> Result<(), VerifyError> {
    if let Some(signed) = chosen.size()
        && signed != size
    {
        let message = format!("the artifact has {size} bytes, {signed} bytes are signed");
        return Err(VerifyError::content("artifact.size", message));
    }
    match chosen.sha256() {
        Some(signed) if signed != sha256 => {
            let message = format!("the artifact has sha256 {sha256}, {signed} is signed");
            return Err(VerifyError::content("artifact.digest", message));
        }
        None if matches!(chosen.proof(), Proof::Manifest) => {
            let message = "the manifest names no digest of the artifact".to_owned();
            return Err(VerifyError::content("artifact.digest", message));
        }
        _ => {}
    }
    match (chosen.proof(), blake2b) {
        (Proof::Artifact(signature), Some(blake2b)) => Ok(signature.check(&blake2b)?),
        _ => Ok(()),
    }
}

fn too_long(chosen: &Chosen, limit: u64) -> VerifyError {
    let whose = if chosen.size() == Some(limit) { "are signed" } else { "are allowed by `max_size`" };
    VerifyError::content("artifact.size", format!("the artifact is longer than the {limit} bytes that {whose}"))
}

impl Artifact {
    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digest of its bytes.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// What it was chosen as.
    pub fn chosen(&self) -> &Chosen {
        &self.chosen
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.copy.path
    }

    /// Where an extractor writes the binary: a new file in the custody directory.
    pub fn unpack_path(&self) -> &Path {
        &self.unpacked.path
    }

    /// What has to be extracted before there is a candidate; `None` if the artifact is the binary.
    pub fn needs_extraction(&self) -> Option<ExtractJob> {
        (self.chosen.format() != Format::Raw).then(|| ExtractJob {
            format: self.chosen.format(),
            entry: self.chosen.entry().map(str::to_owned),
            program: Some(self.chosen.program().to_owned()),
            binary_size: self.chosen.binary_size(),
            max_size: self.chosen.max_size(),
            artifact: self.copy.path.clone(),
            out: self.unpacked.path.clone(),
        })
    }

    /// The binary: the artifact itself, or a copy of what the extractor wrote to
    /// [`unpack_path`](Artifact::unpack_path), which must be a regular file with one name.
    ///
    /// An extractor that still has its file open changes nothing (test
    /// `an_extractor_that_writes_on_changes_nothing`).
    pub fn into_candidate(self) -> Result<Candidate, VerifyError> {
        let Artifact { copy, unpacked, size, sha256, chosen } = self;
        if chosen.format() != Format::Raw {
            // The archive is of no use any more, and may be large.
            drop(copy);
            let (kept, file, size) = copied(unpacked, chosen.binary_size().unwrap_or(chosen.max_size()))?;
            Checkpoint::Extracted.reached();
            return Ok(Candidate { kept, file, size, known: None, chosen });
        }
        let (file, length) = open_alone(&copy.path, "candidate.kind")?;
        if length != size {
            return Err(VerifyError::Changed { path: copy.path.clone() });
        }
        Ok(Candidate { kept: copy, file, size, known: Some(sha256), chosen })
    }
}

/// A binary that is to be made from the one that is there. Dropping it removes what was made so far.
#[derive(Debug)]
pub struct Remade {
    made: Kept,
    size: u64,
    sha256: Sha256,
    chosen: Chosen,
}

impl Remade {
    /// A place in `custody` for the binary of `chosen`, whose size and digest must be signed: nothing else tells whether
    /// what was made is right.
    pub fn new(chosen: Chosen, custody: &Path) -> Result<Remade, VerifyError> {
        match (chosen.binary_size(), chosen.binary_sha256()) {
            (Some(size), Some(sha256)) if size <= chosen.max_size() => {
                Ok(Remade { made: Kept::named(custody, "unpacked")?, size, sha256, chosen })
            }
            (Some(_), Some(_)) => Err(too_long(&chosen, chosen.max_size())),
            _ => Err(VerifyError::content("delta.unsigned", "no digest of the binary is signed".to_owned())),
        }
    }

    /// Where it is to be written: a new file in the custody directory.
    pub fn path(&self) -> &Path {
        &self.made.path
    }

    /// Its signed size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// A copy of what was written, if its size and its digest are those that are signed. Nothing else has looked at it.
    ///
    /// What made it is not believed (test `what_a_delta_made_is_a_candidate_only_with_the_signed_digest`).
    pub fn into_candidate(self) -> Result<Candidate, VerifyError> {
        let Remade { made, size: signed, sha256: expected, chosen } = self;
        let (kept, mut file, size) = copied(made, signed)?;
        let (sha256, _) = Sha256::of_reader(&mut file).map_err(VerifyError::io(&kept.path, "reading"))?;
        if (size, sha256) != (signed, expected) {
            let message =
                format!("the delta made {size} bytes with sha256 {sha256}, signed are {signed} bytes and {expected}");
            return Err(VerifyError::content("delta.result", message));
        }
        Checkpoint::Extracted.reached();
        Ok(Candidate { kept, file, size, known: Some(sha256), chosen })
    }
}

/// A copy of `unpacked`, of which `limit` bytes and one more are read at most: nobody else has ever had it open.
fn copied(unpacked: Kept, limit: u64) -> Result<(Kept, File, u64), VerifyError> {
    let (from, _) = open_alone(&unpacked.path, "candidate.kind")?;
    let custody = unpacked.path.parent().unwrap_or(Path::new("/"));
    let kept = Kept::named(custody, "candidate")?;
    let mut options = OpenOptions::new();
    let created = options.write(true).create_new(true).mode(0o600).open(&kept.path);
    let mut to = created.map_err(VerifyError::io(&kept.path, "creating"))?;
    let size = io::copy(&mut from.take(limit.saturating_add(1)), &mut to);
    let size = size.map_err(VerifyError::io(&kept.path, "writing"))?;
    drop(to);
    let (file, length) = open_alone(&kept.path, "candidate.kind")?;
    if length != size {
        return Err(VerifyError::Changed { path: kept.path.clone() });
    }
    Ok((kept, file, size))
}

/// The binary, unpacked, not yet checked. Dropping it removes the file.
#[derive(Debug)]
pub struct Candidate {
    pub(super) kept: Kept,
    pub(super) file: File,
    pub(super) size: u64,
    /// The digest of its bytes when they were taken, where the artifact is the binary.
    pub(super) known: Option<Sha256>,
    pub(super) chosen: Chosen,
}

impl Candidate {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.kept.path
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What it was chosen as.
    pub fn chosen(&self) -> &Chosen {
        &self.chosen
    }
}

/// Removes what a crash left in `custody`. Only while nothing is being verified there.
pub fn sweep(custody: &Path) -> Result<usize, VerifyError> {
    let mut swept = 0;
    for entry in fs::read_dir(custody).map_err(VerifyError::io(custody, "listing"))? {
        let entry = entry.map_err(VerifyError::io(custody, "listing"))?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| KINDS.iter().any(|kind| name.starts_with(kind))) {
            continue;
        }
        let path = entry.path();
        let directory = entry.file_type().map_err(VerifyError::io(&path, "reading"))?.is_dir();
        let removed = if directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(VerifyError::io(&path, "removing"))?;
        swept += 1;
    }
    Ok(swept)
}

/// A name in the custody directory that nobody can guess. What lies there goes when this goes.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
}

impl Kept {
    /// `kind` is the beginning of one of [`KINDS`].
    pub(super) fn named(custody: &Path, kind: &str) -> Result<Kept, VerifyError> {
        let random = getrandom::u64().map_err(|e| VerifyError::io(custody, "naming a file in")(io::Error::other(e)))?;
        Ok(Kept { path: custody.join(format!("{kind}-{random:016x}")) })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Missing: never made, or renamed into its place.
        if fs::remove_file(&self.path).is_err_and(|e| e.kind() == io::ErrorKind::IsADirectory) {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Opens a regular file with one name and nothing else. A symlink is not followed, a FIFO does not block.
pub(super) fn open_alone(path: &Path, code: &'static str) -> Result<(File, u64), VerifyError> {
    let what = |what: &str| VerifyError::content(code, format!("`{}` {what}", path.display()));
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) => return Err(what("is a symlink")),
        Err(e) if e.raw_os_error() == Some(libc::ENXIO) => return Err(what("is not a regular file")),
        Err(e) => return Err(VerifyError::io(path, "opening")(e)),
    };
    let meta = file.metadata().map_err(VerifyError::io(path, "reading"))?;
    if !meta.is_file() {
        return Err(what("is not a regular file"));
    }
    if meta.nlink() != 1 {
        return Err(what("has a second name"));
    }
    Ok((file, meta.len()))
}

/// The beginnings of every name this module gives.
const KINDS: [&str; 4] = ["artifact-", "unpacked-", "candidate-", "smoke-"];
const BUFFER: usize = 256 * 1024;
