//! Makes the new binary of the old one and a delta.
//!
//! It runs where archives are unpacked: in a worker that is handed its three files open, has no network and may die. It
//! looks at the old file first, then at the delta's size and digest, and only then reads what the delta says
//! (`a_delta_is_looked_at_only_if_it_is_the_one_that_was_signed`).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fetchd_delta::map::{Mapped, Output};
use fetchd_delta::{ApplyError, Limits};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::failure::{DeltaFault, FetchFailure};
use crate::checkpoint::Checkpoint;
use crate::digest::Sha256;
use crate::trust::manifest::DeltaFormat;

/// Make the new binary of the old one and a delta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchJob {
    /// The old binary; absolute.
    pub old: PathBuf,
    /// Its digest, as the manifest names it.
    pub from_sha256: Sha256,
    /// The delta; absolute.
    pub delta: PathBuf,
    /// How it is written.
    pub format: DeltaFormat,
    /// Its signed size in bytes.
    pub size: u64,
    /// Its signed digest.
    pub sha256: Sha256,
    /// The file to make, with mode 0600; absolute. It must not exist.
    pub out: PathBuf,
    /// The signed size of the new binary in bytes.
    pub binary_size: u64,
    /// The most anonymous memory in bytes.
    pub memory: u64,
    /// The largest zstd window, as its binary logarithm.
    pub window_log: u8,
    /// How long it may take.
    pub deadline: Duration,
}

/// The new binary is made. What it is nobody has looked at yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patched {
    /// How long it took.
    pub elapsed: Duration,
}

/// The three files of a [`PatchJob`].
#[derive(Debug)]
pub(super) struct Patching {
    /// The old binary, open for reading.
    pub(super) old: File,
    /// The delta, open for reading.
    pub(super) delta: File,
    /// A new and empty file, open for reading and writing.
    pub(super) out: File,
}

impl Patching {
    /// As `job` names them; `out` must not exist. The old binary may be reached through links, the delta may not.
    pub(super) fn open(job: &PatchJob) -> Result<Patching, FetchFailure> {
        let old = open(&job.old, OFlags::NONBLOCK)?;
        let delta = open(&job.delta, OFlags::NOFOLLOW | OFlags::NONBLOCK)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let out = options.open(&job.out).map_err(|error| FetchFailure::staging("create", &job.out, &error))?;
        Ok(Patching { old, delta, out })
    }

    /// As they were handed over; without any, as `job` names them.
    pub(super) fn of(job: &PatchJob, files: Vec<OwnedFd>) -> Result<Patching, FetchFailure> {
        match <[OwnedFd; 3]>::try_from(files) {
            Ok([old, delta, out]) => Ok(Patching { old: old.into(), delta: delta.into(), out: out.into() }),
            Err(_) => Patching::open(job),
        }
    }

    pub(super) fn into_files(self) -> Vec<OwnedFd> {
        vec![self.old.into(), self.delta.into(), self.out.into()]
    }
}

fn open(path: &Path, flags: OFlags) -> Result<File, FetchFailure> {
    let failed = |error: io::Error| FetchFailure::staging("open", path, &error);
    let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    Ok(file)
}

/// Does `job`. What stands in its `out` afterwards is a claim, also after success.
pub(super) fn patch(job: &PatchJob, files: &Patching) -> Result<Patched, FetchFailure> {
    let begun = Instant::now();
    let mapped = |path: &Path, file| Mapped::open(file).map_err(|error| FetchFailure::staging("map", path, &error));
    let old = mapped(&job.old, &files.old)?;
    #[cfg(debug_assertions)]
    super::misbehave::pause("mapped");
    let found = Sha256::of(&old);
    if found != job.from_sha256 {
        return Err(DeltaFault::Old { expected: job.from_sha256, found }.into());
    }
    let delta = mapped(&job.delta, &files.delta)?;
    let (size, signed) = (delta.len() as u64, job.size);
    // A long one is not worth its digest.
    let found = if size == signed { Sha256::of(&delta) } else { Sha256([0; 32]) };
    if found != job.sha256 {
        return Err(DeltaFault::Changed { size, found, signed, expected: job.sha256 }.into());
    }
    if fetchd_delta::Format::of(&delta).is_none_or(|format| format.name() != job.format.name()) {
        return Err(DeltaFault::Format { format: job.format.to_string() }.into());
    }
    let out = Output::new(&files.out, job.binary_size);
    let mut out = out.map_err(|error| FetchFailure::staging("make room in", &job.out, &error))?;
    let limits = Limits { memory: job.memory, window_log: job.window_log, until: begun.checked_add(job.deadline) };
    fetchd_delta::apply(&old, &delta, &mut out, &limits).map_err(|error| fault(error, job))?;
    drop(out);
    Checkpoint::Extracted.reached();
    Ok(Patched { elapsed: begun.elapsed() })
}

fn fault(error: ApplyError, job: &PatchJob) -> DeltaFault {
    match error {
        ApplyError::Memory { needed, allowed } => DeltaFault::Memory { needed, allowed },
        ApplyError::TooSlow => DeltaFault::TooSlow { seconds: job.deadline.as_secs() },
        other => DeltaFault::Damaged { message: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::failure::Failure as _;

    struct Bench {
        directory: tempfile::TempDir,
        job: PatchJob,
        new: Vec<u8>,
    }

    fn bench() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let old: Vec<u8> = (0..40_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let mut new = old.clone();
        new.splice(1000..1010, *b"something else");
        let delta = fetchd_delta::create(&old, &new, fetchd_delta::Format::Dcz, &Default::default()).unwrap();
        fs::write(path("old"), &old).unwrap();
        fs::write(path("delta"), &delta).unwrap();
        let job = PatchJob {
            old: path("old"),
            from_sha256: Sha256::of(&old),
            delta: path("delta"),
            format: DeltaFormat::Dcz,
            size: delta.len() as u64,
            sha256: Sha256::of(&delta),
            out: path("out"),
            binary_size: new.len() as u64,
            memory: 64 << 20,
            window_log: 27,
            deadline: Duration::from_secs(60),
        };
        Bench { directory, job, new }
    }

    fn refused(job: &PatchJob) -> &'static str {
        let code = patch(job, &Patching::open(job).unwrap()).unwrap_err().code();
        fs::remove_file(&job.out).unwrap();
        code
    }

    #[test]
    fn the_new_binary_is_made() {
        let Bench { directory, job, new } = bench();
        patch(&job, &Patching::open(&job).unwrap()).unwrap();
        assert_eq!(fs::read(directory.path().join("out")).unwrap(), new);
    }

    #[test]
    fn a_delta_is_looked_at_only_if_it_is_the_one_that_was_signed() {
        let Bench { directory, job, .. } = bench();
        let other = Sha256::of(b"other");
        assert_eq!(refused(&PatchJob { from_sha256: other, sha256: other, ..job.clone() }), "delta.old");
        assert_eq!(refused(&PatchJob { sha256: other, ..job.clone() }), "delta.changed");
        assert_eq!(refused(&PatchJob { size: job.size + 1, ..job.clone() }), "delta.changed");
        assert_eq!(refused(&PatchJob { format: DeltaFormat::Fxd1, ..job.clone() }), "delta.format");
        assert_eq!(refused(&PatchJob { binary_size: job.binary_size + 1, ..job.clone() }), "delta.damaged");
        assert_eq!(refused(&PatchJob { memory: 10, ..job.clone() }), "delta.memory");
        assert_eq!(refused(&PatchJob { window_log: 10, ..job.clone() }), "delta.memory");
        assert_eq!(refused(&PatchJob { deadline: Duration::ZERO, ..job.clone() }), "delta.too_slow");
        let mut damaged = fs::read(&job.delta).unwrap();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&job.delta, &damaged).unwrap();
        assert_eq!(refused(&job), "delta.changed");
        assert_eq!(refused(&PatchJob { sha256: Sha256::of(&damaged), ..job.clone() }), "delta.damaged");
        std::os::unix::fs::symlink("delta", directory.path().join("link")).unwrap();
        let linked = PatchJob { delta: directory.path().join("link"), ..job };
        assert_eq!(Patching::open(&linked).unwrap_err().code(), "download.staging");
    }

    /// A pipe does not keep it waiting, and what lies there already is not written over.
    #[test]
    fn only_regular_files_are_read_and_only_a_new_one_is_written() {
        let Bench { directory, job, .. } = bench();
        let pipe = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        let unopened = |job: &PatchJob| {
            let failure = Patching::open(job).unwrap_err();
            assert_eq!(failure.code(), "download.staging");
            failure.to_string()
        };
        for wrong in [PatchJob { old: pipe.clone(), ..job.clone() }, PatchJob { delta: pipe, ..job.clone() }] {
            assert!(unopened(&wrong).ends_with("not a regular file"));
        }
        fs::write(&job.out, b"somebody's").unwrap();
        assert!(unopened(&job).contains("exists"));
        assert_eq!(fs::read(&job.out).unwrap(), b"somebody's");
    }
}
