//! Unpacks the one binary of an artifact. Nothing else in an archive ever becomes a file.
//!
//! Only this crate's own code decides what is written and where: the name, the mode and the owner
//! that an archive claims are never used, so a path that points outside, a link or a set-user-ID
//! bit has nothing to act on. What is refused and why is in `tests.rs`.

#[cfg(feature = "archives")]
mod decode;
mod limit;
#[cfg(feature = "archives")]
mod name;
#[cfg(feature = "archives")]
mod tar;
#[cfg(feature = "archives")]
mod zip;

#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rustix::fs::OFlags;
use sha2::Digest as _;

use self::limit::Quota;
use super::failure::{ArchiveFault, FetchFailure};
use super::job::{ExtractJob, Extracted};
use crate::checkpoint::Checkpoint;
use crate::digest::Sha256;
use crate::trust::Format;

/// Unpacks the artifact of `job` into its `out`, a new file of mode 0600 that is gone again if
/// anything fails.
///
/// Writes at most the signed size, or `max_size` bytes where none is signed. A single-file format
/// holds the binary alone; an archive holds it as one regular file: the one named by `entry`, else
/// the only one, else the only one called `program`. Blocks while it works.
pub fn extract(job: &ExtractJob) -> Result<Extracted, FetchFailure> {
    extract_unless(job, Unpacking::open(job)?, &AtomicBool::new(false))
}

/// [`extract`], which gives up with [`FetchFailure::Stopped`] soon after `stop` is set.
pub(super) fn extract_unless(job: &ExtractJob, files: Unpacking, stop: &AtomicBool) -> Result<Extracted, FetchFailure> {
    let Unpacking { artifact, out } = files;
    let mut out = Output { path: job.out.clone(), file: out, kept: false };
    let again = artifact.try_clone().map_err(|error| FetchFailure::staging("open", &job.artifact, &error))?;
    let mut quota = Quota::new(job.binary_size.unwrap_or(job.max_size), job.max_size, stop);
    let which = job.entry.as_deref().map_or(Which::Only, Which::At);
    let size = match unpack(artifact, job.format, which, &mut out, &mut quota) {
        // A licence and a manual lie beside it, as release tools pack them.
        Err(FetchFailure::Archive(ArchiveFault::Ambiguous { entry: None })) if job.program.is_some() => {
            out.restart()?;
            (&again).rewind().map_err(|error| FetchFailure::staging("read", &job.artifact, &error))?;
            quota = Quota::new(job.binary_size.unwrap_or(job.max_size), job.max_size, stop);
            let which = job.program.as_deref().map_or(Which::Only, Which::Called);
            unpack(again, job.format, which, &mut out, &mut quota)?
        }
        done => done?,
    };
    if let Some(expected) = job.binary_size.filter(|expected| size != *expected) {
        return Err(ArchiveFault::Size { expected, found: size }.into());
    }
    out.keep();
    Checkpoint::Extracted.reached();
    Ok(Extracted { size })
}

/// The digest and size in bytes of the binary inside `artifact`, for those who sign releases.
///
/// Refuses whatever [`extract`] would refuse, at up to 16 GiB.
pub fn measure(artifact: &Path, format: Format, entry: Option<&str>) -> Result<(Sha256, u64), FetchFailure> {
    let stop = AtomicBool::new(false);
    let mut hash = Hashing(sha2::Sha256::new());
    let mut quota = Quota::new(16 << 30, 16 << 30, &stop);
    let which = entry.map_or(Which::Only, Which::At);
    let size = unpack(open(artifact)?, format, which, &mut hash, &mut quota)?;
    Ok((Sha256(hash.0.finalize().into()), size))
}

/// Which entry of an archive is the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which<'a> {
    /// The only regular file.
    Only,
    /// The one with this path.
    At(&'a str),
    /// The only regular file with this name, in whatever directory.
    Called(&'a str),
}

/// Copies the binary inside `artifact` to `out` and tells its size.
fn unpack(
    mut file: File,
    format: Format,
    which: Which<'_>,
    out: &mut dyn Write,
    quota: &mut Quota<'_>,
) -> Result<u64, FetchFailure> {
    match format {
        Format::Raw => limit::copy(&mut file, out, quota),
        #[cfg(feature = "archives")]
        Format::Gz | Format::Xz | Format::Zst => {
            let mut packed = decode::Packed::open(file, format)?;
            let size = limit::copy(&mut packed, out, quota)?;
            packed.finish()?;
            Ok(size)
        }
        #[cfg(feature = "archives")]
        Format::TarGz | Format::TarXz | Format::TarZst => {
            let mut packed = decode::Packed::open(file, format)?;
            let size = tar::unpack(&mut packed, which, out, quota)?;
            packed.finish()?;
            Ok(size)
        }
        #[cfg(feature = "archives")]
        Format::Zip => zip::unpack(&mut file, which, out, quota),
        #[cfg(not(feature = "archives"))]
        other => {
            let _ = which;
            Err(ArchiveFault::Unsupported { format: format!("{other:?}").to_lowercase() }.into())
        }
    }
}

/// The two files of an extraction.
#[derive(Debug)]
pub(super) struct Unpacking {
    /// The artifact, open for reading.
    pub(super) artifact: File,
    /// A new and empty file, open for writing.
    pub(super) out: File,
}

impl Unpacking {
    /// As `job` names them; `out` must not exist.
    pub(super) fn open(job: &ExtractJob) -> Result<Unpacking, FetchFailure> {
        let artifact = open(&job.artifact)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let out = options.open(&job.out).map_err(|error| FetchFailure::staging("create", &job.out, &error))?;
        Ok(Unpacking { artifact, out })
    }

    /// As they were handed over; without any, as `job` names them.
    pub(super) fn of(job: &ExtractJob, files: Vec<OwnedFd>) -> Result<Unpacking, FetchFailure> {
        match <[OwnedFd; 2]>::try_from(files) {
            Ok([artifact, out]) => Ok(Unpacking { artifact: artifact.into(), out: out.into() }),
            Err(_) => Unpacking::open(job),
        }
    }
}

fn open(artifact: &Path) -> Result<File, FetchFailure> {
    let failed = |error: io::Error| FetchFailure::staging("open", artifact, &error);
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(artifact).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    Ok(file)
}

/// A new file that is removed again unless it is kept.
#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Output {
    fn restart(&mut self) -> Result<(), FetchFailure> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|error| FetchFailure::staging("empty", &self.path, &error))
    }

    fn keep(&mut self) {
        self.kept = true;
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.kept {
            // It is in staging, where the next download clears up.
            let _ = fs::remove_file(&self.path);
        }
    }
}

struct Hashing(sha2::Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
