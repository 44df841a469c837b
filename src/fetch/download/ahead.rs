//! Parts that arrived before their turn: `<key>.<first byte>.ahead` beside the partial file.
//!
//! They belong to what the partial file belongs to, by the note beside it, and go when it goes. Nothing about them is
//! believed: what does not fit is removed and fetched again, and what fits is under the artifact's digest like every
//! other byte. A part is written as it comes, so that it is there after a SIGKILL too, but for what came last.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fetchd_fetchers::Keeper;
use tokio::task::JoinHandle;

use super::partial::{Open, Partial, no_follow, remove};
use crate::fetch::failure::FetchFailure;

/// How long bytes wait before they are written: on a fast way their turn has come by then, and writing them twice would
/// cost more than fetching them again.
const DELAY: Duration = Duration::from_millis(200);
/// The most bytes of what was kept: what the parts of one download may take in memory.
const MOST: u64 = 256 << 20;

impl Partial {
    fn ahead(&self, first: u64) -> PathBuf {
        self.directory().join(format!("{}.{first}.ahead", self.key()))
    }

    /// What was kept, by its first byte.
    fn list_ahead(&self) -> Result<Vec<(u64, PathBuf)>, FetchFailure> {
        let failed = |error: io::Error| FetchFailure::staging("list", self.directory(), &error);
        let mut found = Vec::new();
        for entry in fs::read_dir(self.directory()).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let first = name.and_then(|name| name.strip_prefix(self.key())?.strip_prefix('.')?.strip_suffix(".ahead"));
            let Some(first) = first else { continue };
            match first.parse() {
                Ok(first) if path == self.ahead(first) => found.push((first, path)),
                _ => remove(&path)?,
            }
        }
        found.sort();
        Ok(found)
    }

    /// Removes all that was kept.
    pub(super) fn clear_ahead(&self) -> Result<(), FetchFailure> {
        self.list_ahead()?.into_iter().try_for_each(|(_, path)| remove(&path))
    }

    /// What was kept of an artifact of `size` bytes: what goes on from the end of `open` is appended to it, the rest is read.
    /// What does not fit is removed.
    pub(super) fn take_ahead(&self, open: &mut Open, size: Option<u64>) -> Result<Vec<(u64, Bytes)>, FetchFailure> {
        let (mut kept, mut end_before, mut room) = (Vec::new(), 0, MOST);
        for (first, path) in self.list_ahead()? {
            let Some(bytes) = read(&path, room) else {
                remove(&path)?;
                continue;
            };
            let end = first.checked_add(bytes.len() as u64).filter(|end| size.is_none_or(|size| *end <= size));
            let Some(end) = end.filter(|end| *end > open.length.max(first) && first >= end_before) else {
                remove(&path)?;
                continue;
            };
            if first <= open.length {
                let more = &bytes[(open.length - first) as usize..];
                open.append(more).map_err(|error| FetchFailure::staging("write", &self.part(), &error))?;
                remove(&path)?;
                continue;
            }
            room -= bytes.len() as u64;
            end_before = end;
            kept.push((first, bytes));
        }
        Ok(kept)
    }
}

/// All of a regular file of `most` bytes at most; `None` if it is not that.
fn read(path: &Path, most: u64) -> Option<Bytes> {
    let file = OpenOptions::new().read(true).custom_flags(no_follow()).open(path).ok()?;
    let length = file.metadata().ok().filter(fs::Metadata::is_file)?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(length).ok().filter(|_| length <= most)?);
    file.take(length).read_to_end(&mut bytes).ok()?;
    Some(bytes.into())
}

/// What a body's fetcher is given: where it tells what arrives before its turn. The receiver is for [`Keeping::start`].
pub(super) fn desk() -> (Arc<dyn Keeper>, Inbox) {
    let (sender, told) = channel();
    (Arc::new(Desk(sender.clone())), Inbox { told, end: sender })
}

/// What was told and not looked at yet.
pub(super) struct Inbox {
    told: Receiver<Told>,
    end: Sender<Told>,
}

struct Desk(Sender<Told>);

enum Told {
    Bytes {
        part: u64,
        at: u64,
        bytes: Bytes,
    },
    /// Nothing of it is of use any more.
    End,
}

impl Keeper for Desk {
    fn keep(&self, part: u64, at: u64, bytes: &Bytes) {
        // Nobody keeps anything any more: then it will be fetched again. What is held here is held by the part as well.
        let _ = self.0.send(Told::Bytes { part, at, bytes: bytes.clone() });
    }
}

/// A thread that writes what arrives before its turn, and removes it after that.
#[derive(Debug)]
pub(super) struct Keeping {
    thread: JoinHandle<()>,
    end: Sender<Told>,
    /// How far the partial file is in order.
    pub(super) passed: Arc<AtomicU64>,
}

impl Keeping {
    /// For the partial file `open`, which stays locked until the thread has ended; `kept` is on disk already. `reserve`
    /// bytes are left free besides what the artifact of `size` bytes needs.
    pub(super) fn start(
        partial: &Partial,
        open: &Open,
        inbox: Inbox,
        kept: impl Iterator<Item = (u64, u64)>,
        (size, reserve): (Option<u64>, u64),
    ) -> Result<Keeping, FetchFailure> {
        let failed = |error: io::Error| FetchFailure::staging("share", &partial.part(), &error);
        let lock = open.file.try_clone().map_err(failed)?;
        let passed = Arc::new(AtomicU64::new(open.length));
        let waiting =
            |(first, end)| Early { part: None, first, end, new: Vec::new(), since: Instant::now(), on: On::Disk };
        let early = kept.map(waiting).collect();
        let mut shelf = Shelf { partial: partial.clone(), passed: Arc::clone(&passed), size, reserve, early };
        let Inbox { told, end } = inbox;
        let thread = tokio::task::spawn_blocking(move || {
            shelf.run(&told);
            drop(lock);
        });
        Ok(Keeping { thread, end, passed })
    }

    /// Waits until all that was told is written.
    pub(super) async fn finish(self) {
        let _ = self.end.send(Told::End);
        // It has nothing to say: what was not written is fetched again.
        let _ = self.thread.await;
    }
}

struct Shelf {
    partial: Partial,
    passed: Arc<AtomicU64>,
    size: Option<u64>,
    reserve: u64,
    early: Vec<Early>,
}

/// Bytes in a row that arrived before their turn.
struct Early {
    /// The part they belong to, if they came just now.
    part: Option<u64>,
    first: u64,
    end: u64,
    /// Those at the end that are not written yet.
    new: Vec<Bytes>,
    /// When the first of those came.
    since: Instant,
    on: On,
}

/// Where the bytes are that are not new.
enum On {
    /// There are none.
    Nothing,
    File(File),
    /// In a file that is complete.
    Disk,
    /// They could not be written.
    Lost,
}

impl Shelf {
    fn run(&mut self, inbox: &Receiver<Told>) {
        loop {
            let oldest = self.early.iter().filter(|early| !early.new.is_empty()).map(|early| early.since).min();
            let told = match oldest {
                Some(since) => inbox.recv_timeout((since + DELAY).saturating_duration_since(Instant::now())),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let over = matches!(told, Err(RecvTimeoutError::Disconnected) | Ok(Told::End));
            if let Ok(Told::Bytes { part, at, bytes }) = told {
                self.take(part, at, bytes);
            }
            self.pass();
            self.write(over);
            if over {
                return;
            }
        }
    }

    fn take(&mut self, part: u64, at: u64, bytes: Bytes) {
        let end = at + bytes.len() as u64;
        let now = Instant::now();
        match self.early.iter_mut().find(|early| early.part == Some(part) && early.end == at) {
            Some(early) => {
                early.since = if early.new.is_empty() { now } else { early.since };
                early.end = end;
                early.new.push(bytes);
            }
            None => {
                let (part, new) = (Some(part), vec![bytes]);
                self.early.push(Early { part, first: at, end, new, since: now, on: On::Nothing });
            }
        }
    }

    /// Lets go of what is in the partial file by now.
    fn pass(&mut self) {
        let passed = self.passed.load(Ordering::Relaxed);
        let partial = &self.partial;
        self.early.retain(|early| {
            let keep = early.end > passed;
            if !keep && matches!(early.on, On::File(_) | On::Disk) {
                // If it stays, the next attempt removes it.
                let _ = remove(&partial.ahead(early.first));
            }
            keep
        });
    }

    fn write(&mut self, all: bool) {
        let passed = self.passed.load(Ordering::Relaxed);
        for early in &mut self.early {
            if early.new.is_empty() || !(all || early.since.elapsed() >= DELAY) {
                continue;
            }
            let path = self.partial.ahead(early.first);
            let rest = self.size.map_or(0, |size| size.saturating_sub(passed));
            let on = std::mem::replace(&mut early.on, On::Lost);
            let new = std::mem::take(&mut early.new);
            match written(on, &path, &new, || room(&self.partial, rest.saturating_add(self.reserve))) {
                Ok(on) => early.on = on,
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "a part that arrived early is not kept");
                    let _ = remove(&path);
                }
            }
        }
    }
}

/// Appends `new` to what is on the disk, in a file of its own.
fn written(on: On, path: &Path, new: &[Bytes], room: impl Fn() -> io::Result<()>) -> io::Result<On> {
    let mut file = match on {
        On::File(file) => file,
        On::Nothing => {
            room()?;
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600).custom_flags(no_follow()).open(path)?
        }
        on @ (On::Disk | On::Lost) => return Ok(on),
    };
    new.iter().try_for_each(|bytes| file.write_all(bytes))?;
    Ok(On::File(file))
}

/// Fails if there are not so many bytes free: what comes in order goes first.
fn room(partial: &Partial, needed: u64) -> io::Result<()> {
    let space = rustix::fs::statvfs(partial.directory())?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if free < needed { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    /// A partial file that holds the first 100 of these bytes, and their first bytes' names for what was kept.
    struct Bench {
        directory: tempfile::TempDir,
        partial: Partial,
        bytes: Vec<u8>,
    }

    impl Bench {
        fn new() -> Bench {
            let directory = tempfile::tempdir().unwrap();
            let partial = Partial::new(directory.path(), "key").unwrap();
            let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
            fs::write(partial.part(), &bytes[..100]).unwrap();
            Bench { directory, partial, bytes }
        }

        fn keeps(&self, first: usize, end: usize) {
            fs::write(self.partial.ahead(first as u64), &self.bytes[first..end]).unwrap();
        }

        /// What is taken, as ranges, and how long the partial file is then. Whatever it is, it is right.
        fn takes(&self) -> (Vec<(usize, usize)>, u64) {
            let mut open = self.partial.open().unwrap();
            let kept = self.partial.take_ahead(&mut open, Some(1000)).unwrap();
            let length = fs::metadata(self.partial.part()).unwrap().len();
            let begun = &self.bytes[..length as usize];
            assert_eq!((open.length, Sha256(sha2::Digest::finalize(open.hash).into())), (length, Sha256::of(begun)));
            assert_eq!(fs::read(self.partial.part()).unwrap(), begun);
            let range = |(first, bytes): &(u64, Bytes)| {
                let (first, end) = (*first as usize, *first as usize + bytes.len());
                assert_eq!(*bytes, self.bytes[first..end]);
                (first, end)
            };
            (kept.iter().map(range).collect(), length)
        }

        fn left(&self) -> Vec<String> {
            let entries = fs::read_dir(self.directory.path()).unwrap();
            let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn what_goes_on_from_the_end_is_appended_and_the_rest_is_read() {
        let bench = Bench::new();
        for (first, end) in [(50, 200), (200, 300), (400, 500), (500, 600), (990, 1000)] {
            bench.keeps(first, end);
        }
        assert_eq!(bench.takes(), (vec![(400, 500), (500, 600), (990, 1000)], 300));
        assert_eq!(bench.left(), ["key.400.ahead", "key.500.ahead", "key.990.ahead", "key.part"]);
    }

    #[test]
    fn what_does_not_fit_is_removed() {
        let bench = Bench::new();
        bench.keeps(400, 500);
        // Passed already, empty, over another one, and beyond the end.
        bench.keeps(10, 90);
        bench.keeps(300, 300);
        bench.keeps(450, 600);
        fs::write(bench.partial.ahead(950), [0; 51]).unwrap();
        fs::write(bench.partial.ahead(u64::MAX), [0; 51]).unwrap();
        // No names of ours, and no files.
        for name in ["key.+700.ahead", "key.0700.ahead", "key.x.ahead"] {
            fs::write(bench.directory.path().join(name), [0; 51]).unwrap();
        }
        let target = bench.directory.path().join("target");
        fs::write(&target, &bench.bytes[700..800]).unwrap();
        std::os::unix::fs::symlink(&target, bench.partial.ahead(700)).unwrap();
        fs::write(bench.directory.path().join("other.700.ahead"), "somebody else's").unwrap();
        assert_eq!(bench.takes(), (vec![(400, 500)], 100));
        assert_eq!(bench.left(), ["key.400.ahead", "key.part", "other.700.ahead", "target"]);
        bench.partial.clear_others().unwrap();
        assert_eq!(bench.left(), ["key.400.ahead", "key.part", "target"]);
        bench.partial.discard().unwrap();
        assert_eq!(bench.left(), ["target"]);
    }

    fn keeping(bench: &Bench, reserve: u64, tell: impl FnOnce(&dyn Keeper, &AtomicU64)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (keeper, inbox) = desk();
            let open = bench.partial.open().unwrap();
            let room = (Some(1000), reserve);
            let keeping = Keeping::start(&bench.partial, &open, inbox, std::iter::empty(), room).unwrap();
            tell(&*keeper, &keeping.passed);
            // Whoever was told of it may live on.
            keeping.finish().await;
        });
    }

    #[test]
    fn what_is_told_is_kept_until_its_turn_has_come() {
        let bench = Bench::new();
        let there = |first: u64, length: u64| {
            let deadline = Instant::now() + Duration::from_secs(10);
            while fs::metadata(bench.partial.ahead(first)).map_or(0, |meta| meta.len()) != length {
                assert!(Instant::now() < deadline, "{:?}", bench.left());
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        keeping(&bench, 0, |keeper, passed| {
            let tell =
                |part, at: usize, end: usize| keeper.keep(part, at as u64, &bench.bytes[at..end].to_vec().into());
            tell(200, 200, 210);
            tell(400, 400, 410);
            tell(200, 210, 300);
            // A part of which the beginning was there.
            tell(500, 520, 530);
            there(200, 100);
            there(520, 10);
            tell(200, 300, 310);
            there(200, 110);
            passed.store(310, Ordering::Relaxed);
            tell(400, 410, 500);
            there(200, 0);
        });
        assert_eq!(bench.left(), ["key.400.ahead", "key.520.ahead", "key.part"]);
        assert_eq!(bench.takes().0, [(400, 500), (520, 530)]);
    }

    #[test]
    fn nothing_is_kept_where_the_artifact_itself_needs_the_room() {
        let bench = Bench::new();
        keeping(&bench, u64::MAX, |keeper, _| keeper.keep(200, 200, &Bytes::from_static(b"early")));
        assert_eq!(bench.left(), ["key.part"]);
    }
}
