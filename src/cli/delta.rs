//! `fetchd delta`: makes a delta between two files, applies one, says what one is.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ArgMatches;
use fetchd_delta::map::{Mapped, Output};
use fetchd_delta::{ApplyError, CreateError, Format, Inspected, Limits, Options, Progress};
use serde::Serialize;
use tempfile::{Builder, NamedTempFile};

use super::release::size;
use super::{Failed, Out, bar, load, release, unwritable};
use crate::digest::Sha256;
use crate::durable;
use crate::failure::{Exit, Failure, Reported};

/// How much less urgent than others the making of a delta is.
const NICE: i32 = 10;
/// The most anonymous memory that a delta gets that somebody applies by hand, in bytes.
const MEMORY: u64 = 4 << 30;

/// What can be wrong with a delta.
#[derive(Debug, thiserror::Error)]
enum DeltaFailed {
    #[error("no delta can be made of these files: {0}")]
    Create(#[source] CreateError),
    #[error("`{}` cannot be applied: {source}", path.display())]
    Apply { path: PathBuf, source: ApplyError },
    #[error("`{}` does not say how long the new file is", path.display())]
    NoLength { path: PathBuf },
    #[error("`{}` makes a file of {length} bytes, `max_size` allows {most} bytes", path.display())]
    TooLong { path: PathBuf, length: u64, most: u64 },
    #[error("the new file has the sha256 {found}, not {expected}")]
    Digest { expected: Sha256, found: Sha256 },
}

impl Failure for DeltaFailed {
    fn code(&self) -> &'static str {
        match self {
            DeltaFailed::Create(_) => "delta.create",
            DeltaFailed::Apply { source: ApplyError::OtherOld, .. } => "delta.old",
            DeltaFailed::Apply { source: ApplyError::NotADelta, .. } => "delta.format",
            DeltaFailed::Apply { source: ApplyError::Memory { .. }, .. } => "delta.memory",
            DeltaFailed::Apply { .. } | DeltaFailed::NoLength { .. } => "delta.damaged",
            DeltaFailed::TooLong { .. } => "delta.too_large",
            DeltaFailed::Digest { .. } => "delta.result",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            DeltaFailed::Create(_) => Exit::Usage,
            _ => Exit::Content,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            DeltaFailed::Create(CreateError::TooLarge { format: Format::Dcz, .. }) => {
                "`--format fxd-1` takes longer files"
            }
            DeltaFailed::Apply { source: ApplyError::OtherOld, .. } => {
                "`fetchd delta inspect` shows the sha256 of the file it was made from"
            }
            DeltaFailed::NoLength { .. } => "`zstd -d --long=31 --patch-from=OLD` applies it",
            DeltaFailed::TooLong { .. } => "raise `--max-size` if it is really that long",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// A file as it is told in an answer.
#[derive(Serialize)]
struct Told {
    file: PathBuf,
    size: u64,
    sha256: Sha256,
}

impl Told {
    fn of(path: &Path, bytes: &[u8]) -> Told {
        Told { file: path.to_owned(), size: bytes.len() as u64, sha256: Sha256::of(bytes) }
    }
}

pub(super) fn create(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let [old_path, new_path, patch] = ["old", "new", "patch"].map(|id| named(matches, id));
    free(matches, patch)?;
    let (old, new) = (mapped(old_path)?, mapped(new_path)?);
    let format = matches.get_one::<String>("format").and_then(|name| name.parse().ok()).unwrap_or(Format::Fxd1);
    let _ = rustix::process::nice(NICE);
    let bar = bar::on_terminal(out.json());
    let progress = |now: Progress| {
        if let Some(bar) = &bar {
            bar.set_length(now.total);
            bar.set_message(now.phase.name());
            bar.set_position(now.done);
        }
        true
    };
    let begun = Instant::now();
    let made = fetchd_delta::create(&old, &new, format, &Options { progress: Some(&progress), ..Options::default() });
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let delta = made.map_err(DeltaFailed::Create)?;
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let shown = inspected(patch, &delta)?;
    let temp = beside(patch, 0o644)?;
    fs::write(temp.path(), &delta).map_err(unwritable(patch))?;
    place(matches, temp, patch)?;
    #[derive(Serialize)]
    struct Answer {
        format: &'static str,
        old: Told,
        new: Told,
        patch: Told,
        mem_bytes: u64,
        window_log: Option<u8>,
        elapsed_ms: u64,
    }
    let answer = Answer {
        format: format.name(),
        old: Told::of(old_path, &old),
        new: Told::of(new_path, &new),
        patch: Told::of(patch, &delta),
        mem_bytes: shown.memory,
        window_log: shown.window_log,
        elapsed_ms,
    };
    if out.json() {
        out.object(&answer);
        return Ok(Exit::Done);
    }
    let share = 100.0 * answer.patch.size as f64 / answer.new.size.max(1) as f64;
    out.line(format!("made {} ({format})", patch.display()));
    out.line(format!("  {}, {share:.1} % of the {} of the new file", size(answer.patch.size), size(answer.new.size)));
    out.line(format!("  took {:.1} s", elapsed_ms as f64 / 1000.0));
    out.line(format!("  applying it takes {} of memory beside the files", size(shown.memory)));
    out.line("apply it with:");
    let words = [old_path, patch].map(release::path);
    out.line(format!("  fetchd delta apply {} {} NEW --sha256 {}", words[0], words[1], answer.new.sha256));
    if format == Format::Dcz {
        out.line(format!("  zstd -d --long=31 --patch-from={} {} -o NEW", words[0], words[1]));
    }
    Ok(Exit::Done)
}

pub(super) fn apply(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let [old_path, patch, new_path] = ["old", "patch", "new"].map(|id| named(matches, id));
    free(matches, new_path)?;
    let most = load(matches)?.number("max_size").unwrap_or_default();
    let (old, delta) = (mapped(old_path)?, mapped(patch)?);
    let shown = inspected(patch, &delta)?;
    let length = shown.length.ok_or_else(|| DeltaFailed::NoLength { path: patch.to_owned() })?;
    if length > most {
        return Err(DeltaFailed::TooLong { path: patch.to_owned(), length, most }.into());
    }
    // What it makes is a program like the one it was made from.
    let mode = fs::metadata(old_path).map_or(0o644, |meta| meta.permissions().mode() & 0o777);
    let temp = beside(new_path, mode)?;
    let begun = Instant::now();
    let mut made = Output::new(temp.as_file(), length).map_err(unwritable(new_path))?;
    let limits = Limits { memory: MEMORY, window_log: 31, until: None };
    fetchd_delta::apply(&old, &delta, &mut made, &limits)
        .map_err(|source| DeltaFailed::Apply { path: patch.to_owned(), source })?;
    let told = Told::of(new_path, &made);
    drop(made);
    if let Some(expected) = matches.get_one::<Sha256>("sha256").copied().filter(|expected| *expected != told.sha256) {
        return Err(DeltaFailed::Digest { expected, found: told.sha256 }.into());
    }
    place(matches, temp, new_path)?;
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let checked = matches.contains_id("sha256");
    if out.json() {
        #[derive(Serialize)]
        struct Answer {
            format: &'static str,
            new: Told,
            checked: bool,
            elapsed_ms: u64,
        }
        out.object(&Answer { format: shown.format.name(), new: told, checked, elapsed_ms });
        return Ok(Exit::Done);
    }
    out.line(format!("made {} ({})", new_path.display(), size(told.size)));
    let asked = if checked { "as asked" } else { "compare it with one you trust" };
    out.line(format!("  sha256 {}, {asked}", told.sha256));
    Ok(Exit::Done)
}

pub(super) fn inspect(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let patch = named(matches, "patch");
    let delta = mapped(patch)?;
    let shown = inspected(patch, &delta)?;
    let from = shown.from.map(Sha256);
    if out.json() {
        #[derive(Serialize)]
        struct Part {
            name: &'static str,
            size: u64,
        }
        #[derive(Serialize)]
        struct Answer {
            #[serde(flatten)]
            patch: Told,
            format: &'static str,
            from_sha256: Option<Sha256>,
            new_size: Option<u64>,
            mem_bytes: u64,
            window_log: Option<u8>,
            parts: Vec<Part>,
        }
        out.object(&Answer {
            patch: Told::of(patch, &delta),
            format: shown.format.name(),
            from_sha256: from,
            new_size: shown.length,
            mem_bytes: shown.memory,
            window_log: shown.window_log,
            parts: shown.parts.iter().map(|&(name, size)| Part { name, size }).collect(),
        });
        return Ok(Exit::Done);
    }
    out.line(format!("{} ({} delta, nothing of it verified)", patch.display(), shown.format));
    out.line(format!("  size       {} bytes", delta.len()));
    out.line(format!("  sha256     {}", Sha256::of(&delta)));
    if let Some(from) = from {
        out.line(format!("  from       {from}"));
    }
    if let Some(length) = shown.length {
        out.line(format!("  makes      {length} bytes"));
    }
    if let Some(log) = shown.window_log {
        out.line(format!("  window     {}", size(1_u64.checked_shl(log.into()).unwrap_or(u64::MAX))));
    }
    out.line(format!("  memory     {}", size(shown.memory)));
    for (name, bytes) in shown.parts {
        out.line(format!("  part       {name}, {bytes} bytes"));
    }
    Ok(Exit::Done)
}

fn named<'a>(matches: &'a ArgMatches, id: &str) -> &'a Path {
    matches.get_one::<PathBuf>(id).map(PathBuf::as_path).unwrap_or(Path::new(""))
}

fn inspected(path: &Path, delta: &[u8]) -> Result<Inspected, DeltaFailed> {
    fetchd_delta::inspect(delta).map_err(|source| DeltaFailed::Apply { path: path.to_owned(), source })
}

fn mapped(path: &Path) -> Result<Mapped, Reported> {
    release::readable(path)?;
    let unreadable = |source| Failed::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    Ok(Mapped::open(&file).map_err(unreadable)?)
}

/// Nothing is overwritten unasked.
fn free(matches: &ArgMatches, path: &Path) -> Result<(), Failed> {
    if !matches.get_flag("force") && path.symlink_metadata().is_ok() {
        return Err(Failed::Exists { path: path.to_owned() });
    }
    Ok(())
}

/// A file in the same directory, gone again unless it is placed.
fn beside(path: &Path, mode: u32) -> Result<NamedTempFile, Reported> {
    let made =
        Builder::new().prefix(".fetchd-delta-").permissions(Permissions::from_mode(mode)).tempfile_in(parent(path));
    made.map_err(unwritable(path))
}

fn place(matches: &ArgMatches, temp: NamedTempFile, path: &Path) -> Result<(), Reported> {
    temp.as_file().sync_all().map_err(unwritable(path))?;
    let placed = if matches.get_flag("force") { temp.persist(path) } else { temp.persist_noclobber(path) };
    match placed {
        Ok(_) => Ok(durable::sync_dir(parent(path))?),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Failed::Exists { path: path.to_owned() }.into())
        }
        Err(error) => Err(unwritable(path)(error.error)),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
