//! Who makes and applies deltas here: our formats, and the programs that everybody has.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::process::{Cost, Line, least_memory, run};

/// The files of a pair.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) old: PathBuf,
    pub(crate) new: PathBuf,
    pub(crate) delta: PathBuf,
    pub(crate) out: PathBuf,
    /// The bytes of the old program and of the new one.
    pub(crate) lengths: [u64; 2],
}

/// A way to bring a new program to those who have the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contestant {
    /// All of the new program, compressed: what the others are a share of.
    Full,
    ZstdPatch,
    Bsdiff,
    Xdelta3,
    Dcz,
    Fxd1,
}

/// What one of them took for a pair.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// The delta's bytes.
    pub(crate) bytes: u64,
    pub(crate) create: Cost,
    pub(crate) apply: Cost,
    /// The least anonymous memory to apply it in MiB.
    pub(crate) memory: u64,
}

impl Contestant {
    pub(crate) const ALL: [Contestant; 6] = [
        Contestant::Full,
        Contestant::ZstdPatch,
        Contestant::Bsdiff,
        Contestant::Xdelta3,
        Contestant::Dcz,
        Contestant::Fxd1,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Contestant::Full => "zstd -19",
            Contestant::ZstdPatch => "zstd --patch-from -19",
            Contestant::Bsdiff => "bsdiff",
            Contestant::Xdelta3 => "xdelta3 -9",
            Contestant::Dcz => "dcz",
            Contestant::Fxd1 => "fxd-1",
        }
    }

    /// Makes a delta, applies it, looks at what comes out, and says what that took.
    pub(crate) fn measure(self, files: &Files) -> Result<Measured, String> {
        let failed = |what: String| format!("{}: {what}", self.name());
        let create = run(&self.create(files), &files.delta).map_err(failed)?;
        let bytes = std::fs::metadata(&files.delta).map_err(|error| failed(error.to_string()))?.len();
        let line = self.apply(files);
        let apply = run(&line, &files.out).map_err(failed)?;
        let read = |path: &Path| std::fs::read(path).map_err(|error| failed(format!("{}: {error}", path.display())));
        if read(&files.out)? != read(&files.new)? {
            return Err(failed("what came out is not the new program".into()));
        }
        // Resident memory may hold pages of files, never less than all that is needed of the rest; the rest are stacks.
        let memory = least_memory(&line, (apply.resident >> 10) + 64);
        Ok(Measured { bytes, create, apply, memory })
    }

    fn create(self, files: &Files) -> Line {
        let Files { old, new, delta, .. } = files;
        match self {
            Contestant::Full => line("zstd -19 -q -f -o", &[delta, new]),
            Contestant::ZstdPatch => line(&format!("zstd -19 -q -f --patch-from={} -o", old.display()), &[delta, new]),
            Contestant::Bsdiff => line("bsdiff", &[old, new, delta]),
            Contestant::Xdelta3 => line(&format!("xdelta3 -e -9 -f -B {} -s", files.window()), &[old, new, delta]),
            Contestant::Dcz | Contestant::Fxd1 => own("create", self.name(), &[old, new, delta]),
        }
    }

    fn apply(self, files: &Files) -> Line {
        let Files { old, delta, out, .. } = files;
        match self {
            Contestant::Full => line("zstd -d -q -f -o", &[out, delta]),
            Contestant::ZstdPatch => line(&format!("zstd -d -q -f --patch-from={} -o", old.display()), &[out, delta]),
            Contestant::Bsdiff => line("bspatch", &[old, out, delta]),
            Contestant::Xdelta3 => line(&format!("xdelta3 -d -f -B {} -s", files.window()), &[old, delta, out]),
            Contestant::Dcz | Contestant::Fxd1 => own("apply", &files.lengths[1].to_string(), &[old, delta, out]),
        }
    }
}

impl Files {
    /// The window in which xdelta3 sees all of the old program.
    fn window(&self) -> u64 {
        self.lengths[0].max(self.lengths[1]).next_power_of_two()
    }
}

fn line(words: &str, paths: &[&PathBuf]) -> Line {
    let words = words.split(' ').map(OsString::from);
    words.chain(paths.iter().map(|path| path.as_os_str().to_owned())).collect()
}

/// This program once more, as one that does nothing else: see `child`.
fn own(verb: &str, argument: &str, paths: &[&PathBuf]) -> Line {
    let program = std::env::current_exe().unwrap_or_default().into_os_string();
    let mut own = vec![program, "--child".into()];
    own.extend(line(&format!("{verb} {argument}"), paths));
    own
}
