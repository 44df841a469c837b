//! The files of one artifact in staging: `<key>.part`, `<key>.json` beside it, `<key>.artifact`; those of [`super::ahead`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fetchd_fetchers::Revision;
use rustix::fs::{FlockOperation, OFlags};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::digest::Sha256;
use crate::fetch::failure::FetchFailure;

/// How long a writer that was just told to stop may still hold the partial file.
const RELEASE: Duration = Duration::from_secs(5);

/// How the names of an artifact's files end.
const OURS: [&str; 4] = ["part", "json", "artifact", "ahead"];

/// What is kept beside a partial file, so that a later process can carry on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The digest of the location: a URL may hold a secret.
    pub(super) location: Sha256,
    /// What the source said the bytes belong to.
    pub(super) validator: Revision,
}

/// The names of an artifact's files.
#[derive(Debug, Clone)]
pub(super) struct Partial {
    directory: PathBuf,
    key: String,
}

/// A partial file, open and locked, with the digest of what it holds.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: File,
    pub(super) length: u64,
    pub(super) hash: sha2::Sha256,
}

impl Partial {
    pub(super) fn new(directory: &Path, key: &str) -> Result<Partial, FetchFailure> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if key.is_empty() || key.len() > 128 || !key.bytes().all(plain) {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "not a plain name");
            return Err(FetchFailure::staging("use the key", Path::new(key), &error));
        }
        Ok(Partial { directory: directory.to_owned(), key: key.to_owned() })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn part(&self) -> PathBuf {
        self.directory.join(format!("{}.part", self.key))
    }

    pub(super) fn note(&self) -> PathBuf {
        self.directory.join(format!("{}.json", self.key))
    }

    pub(super) fn artifact(&self) -> PathBuf {
        self.directory.join(format!("{}.artifact", self.key))
    }

    /// How many bytes an earlier attempt left.
    pub(super) fn length(&self) -> u64 {
        fs::symlink_metadata(self.part()).map_or(0, |metadata| metadata.len())
    }

    /// Removes what earlier downloads of other artifacts left behind.
    pub(super) fn clear_others(&self) -> Result<(), FetchFailure> {
        let failed = |error: io::Error| FetchFailure::staging("clear", &self.directory, &error);
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let ours = path.extension().is_some_and(|ext| OURS.iter().any(|ours| ext == *ours));
            let key = path.file_stem().and_then(|stem| stem.to_str()?.split('.').next());
            if ours && key != Some(self.key.as_str()) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Removes all that there is of this artifact.
    pub(super) fn discard(&self) -> Result<(), FetchFailure> {
        self.clear_ahead()?;
        remove(&self.note())?;
        remove(&self.part())?;
        remove(&self.artifact())
    }

    /// What is noted beside the partial file, if anything useful is.
    pub(super) fn read_note(&self) -> Option<Note> {
        let file = OpenOptions::new().read(true).custom_flags(no_follow()).open(self.note()).ok()?;
        let mut text = Vec::new();
        file.take(64 * 1024).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Notes where the bytes that will follow come from.
    pub(super) fn write_note(&self, note: &Note) -> Result<(), FetchFailure> {
        remove(&self.note())?;
        let text = serde_json::to_vec(note).unwrap_or_default();
        let failed = |error: io::Error| FetchFailure::staging("write", &self.note(), &error);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).custom_flags(no_follow());
        options.open(self.note()).and_then(|mut file| file.write_all(&text)).map_err(failed)
    }

    pub(super) fn forget_note(&self) -> Result<(), FetchFailure> {
        remove(&self.note())
    }

    /// Opens the partial file, made if there is none, and digests what it holds.
    ///
    /// It is locked until it is closed: a writer that was abandoned a moment ago never shares it.
    pub(super) fn open(&self) -> Result<Open, FetchFailure> {
        let path = self.part();
        let failed = |error: io::Error| FetchFailure::staging("open", &path, &error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600).custom_flags(no_follow());
        let mut file = match options.clone().create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(&path).map_err(failed)?,
            opened => opened.map_err(failed)?,
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
        }
        lock(&file).map_err(failed)?;
        let (hash, length) = digest(&mut file).map_err(|error| FetchFailure::staging("read", &path, &error))?;
        Ok(Open { file, length, hash })
    }

    /// The digest and size of the complete artifact, if an earlier attempt got that far.
    pub(super) fn complete(&self) -> Option<(Sha256, u64)> {
        let mut file = OpenOptions::new().read(true).custom_flags(no_follow()).open(self.artifact()).ok()?;
        let (hash, length) = file.metadata().ok().filter(fs::Metadata::is_file).and(digest(&mut file).ok())?;
        Some((Sha256(hash.finalize().into()), length))
    }

    /// Turns the partial file into the artifact. It need not survive a power cut: whoever finds
    /// it later digests it first.
    pub(super) fn finish(&self) -> Result<(), FetchFailure> {
        fs::rename(self.part(), self.artifact())
            .map_err(|error| FetchFailure::staging("rename", &self.part(), &error))?;
        self.clear_ahead()?;
        self.forget_note()
    }
}

impl Open {
    /// Writes `bytes` to its end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Empties it.
    pub(super) fn reset(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.length = 0;
        self.hash = sha2::Sha256::new();
        Ok(())
    }
}

pub(super) fn no_follow() -> i32 {
    // The flag is one of the low bits on every platform.
    (OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK).bits() as i32
}

fn lock(file: &File) -> io::Result<()> {
    let deadline = Instant::now() + RELEASE;
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result.map_err(io::Error::from),
        }
    }
}

fn digest(file: &mut File) -> io::Result<(sha2::Sha256, u64)> {
    let (mut hash, mut length) = (sha2::Sha256::new(), 0);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((hash, length)),
            Ok(read) => {
                hash.update(&buffer[..read]);
                length += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub(super) fn remove(path: &Path) -> Result<(), FetchFailure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FetchFailure::staging("remove", path, &error)),
        _ => Ok(()),
    }
}
