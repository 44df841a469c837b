//! From an artifact to something that may be installed.
//!
//! [`take`] copies the artifact out of the worker's hands and checks what was signed about it; an
//! extractor unpacks it; [`Verifier::verify`] checks the binary itself and runs it once, last.
//! Not a byte of it is executed before its digest is right (test
//! `nothing_is_executed_before_size_digest_target_and_checks_are_right`).

mod custody;
mod error;
mod smoke;
mod target;
mod version;

use std::fmt;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use semver::Version;

pub use custody::{Artifact, Candidate, Remade, sweep, take};
pub use error::{Refusal, VerifyError};
pub use smoke::{MARK as SMOKE_MARK, Smoke};
pub use version::{NotAPattern, Pattern};

use crate::checkpoint::Checkpoint;
use crate::digest::Sha256;
use crate::failure::Exit;
use crate::trust::{Chosen, Refused};
use custody::Kept;

/// Whether `program` is compiled for `triple`, read from its header as a host would; if not, why.
pub fn runs_on(program: &Path, triple: &str) -> io::Result<Result<(), String>> {
    let mut head = Vec::new();
    File::open(program)?.take(target::HEAD).read_to_end(&mut head)?;
    Ok(target::check(&head, triple))
}

/// Turns a candidate into [`Verified`], or says why not.
#[derive(Debug)]
pub struct Verifier {
    /// How the candidate is asked for its version.
    pub smoke: Smoke,
    /// Whether its header is compared with the machine it is for.
    pub target: TargetCheck,
    /// The permissions it gets before it is run.
    pub mode: u32,
    /// What else has to hold, in order. None of these may execute the candidate.
    pub checks: Vec<Box<dyn Check>>,
}

/// Which programs are taken for runnable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetCheck {
    /// Compiled ones for this target triple.
    Triple(String),
    /// Compiled ones for the triple that is signed; without a signed triple, anything.
    Signed,
    /// Anything: scripts too.
    Off,
}

impl Default for Verifier {
    /// The smoke run with its usual limits, the signed triple, and permissions 0755.
    fn default() -> Verifier {
        Verifier { smoke: Smoke::default(), target: TargetCheck::Signed, mode: 0o755, checks: Vec::new() }
    }
}

impl Verifier {
    /// Size, digest, target, checks, smoke run: each sees only what the one before it let through.
    ///
    /// The file that is run and returned is the file that was hashed: it is reopened for reading
    /// only, and its identity and times are compared before and after the run (tests
    /// `a_candidate_changed_in_custody_is_not_verified` and
    /// `a_candidate_that_changes_itself_in_its_smoke_run_is_not_verified`).
    pub fn verify(&self, candidate: Candidate) -> Result<Verified, VerifyError> {
        let Candidate { kept, mut file, size, known, chosen } = candidate;
        check_size(&chosen, size)?;
        let sha256 = check_digest(&mut file, &kept.path, &chosen, size, known)?;
        self.check_target(&mut file, &kept.path, &chosen, sha256)?;
        self.run_checks(&mut file, &kept.path, &chosen, sha256, size)?;
        let file = self.settle(file, &kept.path)?;
        let stamp = Stamp::of(&file, &kept.path)?;

        Checkpoint::BeforeSmoke.reached();
        let version = if self.smoke.enabled {
            let custody = kept.path.parent().unwrap_or(Path::new("/"));
            Some(self.smoke.run(&kept.path, sha256, chosen.version(), custody)?)
        } else {
            tracing::warn!(path = %kept.path.display(), "the smoke run is off: the candidate is not run before it serves");
            chosen.version().cloned()
        };
        // The candidate ran as the user who owns the file, and could have changed or replaced it.
        if Stamp::of(&file, &kept.path)? != stamp || Stamp::at(&kept.path)? != stamp {
            return Err(VerifyError::Changed { path: kept.path.clone() });
        }
        Checkpoint::Verified.reached();
        Ok(Verified { kept, file, sha256, size, version, chosen })
    }

    /// Asks a program that serves already for its version, in the same isolation as a smoke run,
    /// with `scratch` for its working directory. `None`: it does not say, or smoke runs are off.
    pub fn version_of(&self, program: &Path, sha256: Sha256, scratch: &Path) -> Option<Version> {
        self.smoke.enabled.then(|| self.smoke.run(program, sha256, None, scratch))?.ok()
    }

    fn check_target(&self, file: &mut File, path: &Path, chosen: &Chosen, sha256: Sha256) -> Result<(), VerifyError> {
        let triple = match &self.target {
            TargetCheck::Triple(triple) => Some(triple.as_str()),
            TargetCheck::Signed => chosen.target(),
            TargetCheck::Off => None,
        };
        let Some(triple) = triple else {
            tracing::debug!(path = %path.display(), "the target of the candidate is not checked");
            return Ok(());
        };
        let mut head = Vec::new();
        file.rewind().map_err(VerifyError::io(path, "reading"))?;
        file.take(target::HEAD).read_to_end(&mut head).map_err(VerifyError::io(path, "reading"))?;
        target::check(&head, triple).map_err(|what| {
            let refused = Refused::new("candidate.target", Exit::Content, format!("the candidate {what}"));
            VerifyError::blame(sha256, refused.hint("set `target_check = \"off\"` if it is meant to run here"))
        })
    }

    fn run_checks(
        &self,
        file: &mut File,
        path: &Path,
        chosen: &Chosen,
        sha256: Sha256,
        size: u64,
    ) -> Result<(), VerifyError> {
        for check in &self.checks {
            file.rewind().map_err(VerifyError::io(path, "reading"))?;
            match check.check(&Checked { path, file, sha256, size, chosen }) {
                Ok(Verdict::Pass) => {}
                Ok(Verdict::Refuse(reason)) => {
                    let message = format!("check `{}` refused the candidate: {reason}", check.name());
                    return Err(VerifyError::blame(sha256, Refused::new("check.refused", Exit::Content, message)));
                }
                Err(source) => return Err(VerifyError::Check { name: check.name().to_owned(), source }),
            }
        }
        Ok(())
    }

    /// Makes the file executable and durable, and opens it anew for reading only.
    fn settle(&self, file: File, path: &Path) -> Result<File, VerifyError> {
        file.set_permissions(Permissions::from_mode(self.mode))
            .map_err(VerifyError::io(path, "setting the permissions of"))?;
        file.sync_all().map_err(VerifyError::io(path, "syncing"))?;
        let before = Stamp::of(&file, path)?;
        let mut options = OpenOptions::new();
        let opened = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
        let reopened = opened.map_err(VerifyError::io(path, "reopening"))?;
        if Stamp::of(&reopened, path)? != before {
            return Err(VerifyError::Changed { path: path.to_owned() });
        }
        Ok(reopened)
    }
}

fn check_size(chosen: &Chosen, size: u64) -> Result<(), VerifyError> {
    if size == 0 {
        return Err(VerifyError::content("candidate.empty", "the candidate is an empty file".to_owned()));
    }
    if let Some(signed) = chosen.binary_size()
        && signed != size
    {
        let message = format!("the candidate has {size} bytes, {signed} bytes are signed");
        return Err(VerifyError::content("candidate.size", message));
    }
    if size > chosen.max_size() {
        let message = format!("the candidate has {size} bytes, `max_size` allows {} bytes", chosen.max_size());
        return Err(VerifyError::content("candidate.size", message));
    }
    Ok(())
}

fn check_digest(
    file: &mut File,
    path: &Path,
    chosen: &Chosen,
    size: u64,
    known: Option<Sha256>,
) -> Result<Sha256, VerifyError> {
    file.rewind().map_err(VerifyError::io(path, "reading"))?;
    let mut bounded = file.take(size.saturating_add(1));
    let (sha256, read) = Sha256::of_reader(&mut bounded).map_err(VerifyError::io(path, "reading"))?;
    if read != size || known.is_some_and(|known| known != sha256) {
        return Err(VerifyError::Changed { path: path.to_owned() });
    }
    match chosen.binary_sha256() {
        Some(signed) if signed != sha256 => {
            let message = format!("the candidate has sha256 {sha256}, {signed} is signed");
            Err(VerifyError::content("candidate.digest", message))
        }
        _ => Ok(sha256),
    }
}

/// A further condition a candidate has to meet.
pub trait Check: fmt::Debug + Send + Sync {
    /// Its name in messages and in the history.
    fn name(&self) -> &str;

    /// Looks at the candidate without executing it. `Err` means that the check could not be made:
    /// the candidate is neither trusted nor blamed, and is tried again later.
    fn check(&self, candidate: &Checked<'_>) -> Result<Verdict, Box<dyn std::error::Error + Send + Sync>>;
}

impl<C: Check + ?Sized> Check for std::sync::Arc<C> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn check(&self, candidate: &Checked<'_>) -> Result<Verdict, Box<dyn std::error::Error + Send + Sync>> {
        (**self).check(candidate)
    }
}

/// What a [`Check`] thinks of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing against it.
    Pass,
    /// It must not run, for this reason: one lower-case sentence.
    Refuse(String),
}

/// A candidate whose size, digest and target are right.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    path: &'a Path,
    file: &'a File,
    sha256: Sha256,
    size: u64,
    chosen: &'a Chosen,
}

impl<'a> Checked<'a> {
    /// Where it lies.
    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// Its bytes, from the first one.
    pub fn file(&self) -> &'a File {
        self.file
    }

    /// The digest of its bytes.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What it was chosen as.
    pub fn chosen(&self) -> &'a Chosen {
        self.chosen
    }
}

/// A binary that passed every check. Made only by [`Verifier::verify`]; dropping it removes the
/// file unless it has been renamed into its place.
///
/// ```compile_fail,E0451
/// let forged = fetchd::verify::Verified { size: 0, ..todo!() };
/// ```
#[derive(Debug)]
pub struct Verified {
    kept: Kept,
    file: File,
    sha256: Sha256,
    size: u64,
    version: Option<Version>,
    chosen: Chosen,
}

impl Verified {
    /// Where it lies, in the custody directory.
    pub fn path(&self) -> &Path {
        &self.kept.path
    }

    /// The file at that path, open for reading only. Its device and inode are those that were
    /// checked: whoever renames the path compares them.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The digest of its bytes.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its version: the signed one, else the one it printed; `None` only without a smoke run.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// What it was chosen as.
    pub fn chosen(&self) -> &Chosen {
        &self.chosen
    }
}

/// What tells a file that somebody touched from one that nobody did.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    mode: u32,
    /// The kernel moves this on whenever the bytes, the permissions or the names change.
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &File, path: &Path) -> Result<Stamp, VerifyError> {
        Stamp::from(file.metadata(), path)
    }

    fn at(path: &Path) -> Result<Stamp, VerifyError> {
        Stamp::from(std::fs::symlink_metadata(path), path)
    }

    fn from(meta: io::Result<Metadata>, path: &Path) -> Result<Stamp, VerifyError> {
        let meta = meta.map_err(VerifyError::io(path, "reading"))?;
        Ok(Stamp {
            file: (meta.dev(), meta.ino()),
            size: meta.size(),
            mode: meta.mode(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests;
