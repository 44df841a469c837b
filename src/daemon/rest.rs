//! What an idle supervisor gives back: free heap, and the pages of its own program that it does not run now.
//!
//! A service is supervised for months and its supervisor wakes for a moment every few minutes. All that it has ever run
//! and read of its program stays mapped meanwhile and counts as its memory. The kernel drops these pages by itself when
//! something else needs the room, and reads them again from the same file (test
//! `an_idle_supervisor_gives_back_what_it_does_not_use` in `tests/handoff`).
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, BufReader};
use std::ops::Range;
use std::time::{Duration, Instant};

use rustix::mm::{Advice, madvise};

use crate::agent::{Observer, UpdateEvent};
use crate::restart::supervise::Waker;

/// When there is something to give back.
#[derive(Debug)]
pub(super) struct Rest {
    at: Option<Instant>,
}

impl Rest {
    /// A supervisor that has just started has run a lot.
    pub(super) fn after_start(now: Instant) -> Rest {
        Rest { at: Some(now + QUIET) }
    }

    /// Something was done: whatever follows it at once need not be read in again.
    pub(super) fn busy(&mut self, now: Instant) {
        self.at = Some(now + QUIET);
    }

    /// When to come again.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Gives back, once, when it has been quiet for long enough.
    pub(super) fn turn(&mut self, now: Instant) {
        if self.at.is_some_and(|at| now >= at) {
            self.at = None;
            give_back();
        }
    }
}

/// An observer that wakes the loop at the end of each pass, after `theirs` has heard of it: the agent runs a lot in one, and
/// its thread gives back what its stack does not need any more.
pub(super) fn wakes_after_passes(theirs: Option<Observer>, waker: Waker) -> Observer {
    Observer::new(move |event| {
        theirs.iter().for_each(|theirs| theirs.tell(event));
        if matches!(event, UpdateEvent::Finished(_) | UpdateEvent::Refused(_) | UpdateEvent::Failed(_)) {
            free_stack();
            waker.wake();
        }
    })
}

/// Lets all threads of this process share one heap, from now on. A supervisor's threads allocate little and seldom; with one
/// heap for each of them, pages that are partly used are kept for each.
///
/// To be called before the first other thread allocates.
pub(crate) fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers, has no precondition, and locks what it sets.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// How long nothing may have happened.
const QUIET: Duration = Duration::from_secs(2);

/// Gives back what can be had again.
fn give_back() {
    // Nothing depends on it: what cannot be found stays mapped.
    let mappings = File::open("/proc/self/smaps").and_then(|smaps| permanent(BufReader::new(smaps)));
    free_heap();
    free_stack();
    for range in mappings.unwrap_or_default() {
        let start = std::ptr::with_exposed_provenance_mut(range.start);
        // SAFETY: each range is a mapping of a file that was never writable and of which this process has no page of its own
        // (`Mapping::is_clean`), so dropping its pages changes no byte: the next access reads the same page of the same file,
        // which is what happens as well when the kernel drops them. The range is still that mapping, because only files are
        // taken that were mapped before `main` and that nothing can unmap (`Mapping::is_permanent`).
        let _ = unsafe { madvise(start, range.end - range.start, Advice::LinuxDontNeed) };
    }
}

/// Makes the allocator give its free pages back, of every thread's arena.
fn free_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, has no precondition, and locks what it works on.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives back the pages of this thread's stack that deeper calls have used.
#[inline(never)]
fn free_stack() {
    let here = 0_u8;
    // SAFETY: it takes a number and has no precondition.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let (Ok(page), Some(lowest)) = (usize::try_from(page), lowest_of_stack()) else { return };
    // A multiple of the page size, for the kernel rounds what it is given up.
    let end = (&raw const here).addr().saturating_sub(FRAMES) / page.max(1) * page;
    if lowest % page.max(1) == 0 && end > lowest {
        let start = std::ptr::with_exposed_provenance_mut(lowest);
        // SAFETY: the range lies in this thread's own stack, by the C library's account, and below every frame that is in use:
        // those of this function and of its callers are above `here`, and the call itself needs less than `FRAMES`. No signal
        // handler runs on it: a supervisor reads its signals from a descriptor. Below the frames in use a stack has no
        // contents; the pages are there again, with zeros, when they are used.
        let _ = unsafe { madvise(start, end - lowest, Advice::LinuxDontNeed) };
    }
}

/// The lowest address of this thread's stack, without its guard.
fn lowest_of_stack() -> Option<usize> {
    // SAFETY: the attributes are plain data that the first call fills in, if it returns 0, and that the last one frees; the two
    // numbers are written by the second.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) != 0 {
            return None;
        }
        let (mut lowest, mut size) = (std::ptr::null_mut(), 0);
        let found = libc::pthread_attr_getstack(&raw const attributes, &raw mut lowest, &raw mut size);
        libc::pthread_attr_destroy(&raw mut attributes);
        (found == 0).then(|| lowest.addr())
    }
}

/// Room below a frame for what it calls.
const FRAMES: usize = 16 * 1024;

/// One entry of `/proc/PID/smaps`.
#[derive(Debug)]
struct Mapping {
    range: Range<usize>,
    permissions: String,
    path: String,
    /// KiB of pages that are this process's own, in memory or in swap; `None` until it was read.
    anonymous: Option<u64>,
    swap: Option<u64>,
}

impl Mapping {
    /// `55d0c0000000-55d0c0100000 r-xp 00001000 fe:00 1234    /usr/bin/fetchd`, if it is such a line.
    fn of(line: &str) -> Option<Mapping> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        let range = number(start)?..number(end)?;
        let permissions = words.next()?.to_owned();
        // What follows is offset, device and inode; a path may hold spaces.
        let path = line.find('/').map_or(String::new(), |at| line[at..].to_owned());
        Some(Mapping { range, permissions, path, anonymous: None, swap: None })
    }

    /// Whether every page of it is the file's. Where relocations were written before it was made read-only, or a debugger
    /// has set a breakpoint, some are not.
    fn is_clean(&self) -> bool {
        matches!(&*self.permissions, "r-xp" | "r--p") && self.anonymous == Some(0) && self.swap == Some(0)
    }

    /// Whether it stays for as long as the process: the program itself, or one of the libraries that it cannot run without.
    fn is_permanent(&self, own: &str) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        !self.path.is_empty() && (self.path == own || RUNTIME.iter().any(|library| name.starts_with(library)))
    }
}

/// The loader and the libraries that every program here is linked to: none of them is ever unloaded.
const RUNTIME: [&str; 4] = ["ld-linux", "libc.so", "libm.so", "libgcc_s.so"];

/// Something that lies in the program.
static HERE: u8 = 0;

/// The mappings of which pages can be dropped.
fn permanent(smaps: impl io::BufRead) -> io::Result<Vec<Range<usize>>> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in smaps.lines() {
        let line = line?;
        if let Some(mapping) = Mapping::of(&line) {
            mappings.push(mapping);
            continue;
        }
        let Some(last) = mappings.last_mut() else { continue };
        let kib = |rest: &str| rest.split_ascii_whitespace().next()?.parse().ok();
        match line.split_once(':') {
            Some(("Anonymous", rest)) => last.anonymous = kib(rest),
            Some(("Swap", rest)) => last.swap = kib(rest),
            _ => {}
        }
    }
    let own = mappings.iter().find(|mapping| mapping.range.contains(&(&raw const HERE).addr()));
    let own = own.map(|own| own.path.clone()).unwrap_or_default();
    mappings.retain(|mapping| mapping.is_clean() && mapping.is_permanent(&own));
    Ok(mappings.into_iter().map(|mapping| mapping.range).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program at `here`, its relocated constants, a library, and things that are not to be touched.
    fn smaps(here: usize) -> String {
        let mut text = String::new();
        let start = here & !0xfff;
        for (address, permissions, path, anonymous, swap) in [
            (start, "r-xp", "/opt/my app/app (deleted)", "0 kB", "0 kB"),
            (0x1000, "r--p", "/opt/my app/app (deleted)", "0 kB", "0 kB"),
            (0x2000, "r--p", "/opt/my app/app (deleted)", "8 kB", "0 kB"),
            (0x3000, "r--p", "/opt/my app/app (deleted)", "0 kB", "4 kB"),
            (0x4000, "rw-p", "/opt/my app/app (deleted)", "0 kB", "0 kB"),
            (0x5000, "rw-p", "", "40 kB", "0 kB"),
            (0x6000, "r-xp", "/lib/x86_64-linux-gnu/libc.so.6", "0 kB", "0 kB"),
            (0x7000, "r-xp", "/lib/x86_64-linux-gnu/libnss_files.so.2", "0 kB", "0 kB"),
            (0x8000, "r--s", "/var/lib/app/data", "0 kB", "0 kB"),
            (0x9000, "r--p", "/var/lib/app/data", "0 kB", "0 kB"),
            (0xa000, "r-xp", "/lib/x86_64-linux-gnu/libm.so.6", "", "0 kB"),
            (0xb000, "r-xp", "[vdso]", "0 kB", "0 kB"),
        ] {
            let end = address + 0x1000;
            text += &format!("{address:x}-{end:x} {permissions} 00000000 fe:00 12345                  {path}\n");
            text += &format!(
                "Size:                  4 kB\nAnonymous:             {anonymous}\nSwap: {swap}\nSwapPss: 0 kB\n"
            );
            text += "VmFlags: rd ex mr mw me sd\n";
        }
        text
    }

    #[test]
    fn only_clean_pages_of_what_is_never_unmapped_are_dropped() {
        let here = (&raw const HERE).addr();
        let found = permanent(BufReader::new(File::open("/proc/self/smaps").unwrap())).unwrap();
        assert!(found.iter().any(|range| range.contains(&here)), "the program itself");
        let start = here & !0xfff;
        let expected = [start..start + 0x1000, 0x1000..0x2000, 0x6000..0x7000];
        assert_eq!(permanent(smaps(here).as_bytes()).unwrap(), expected);
    }

    #[test]
    fn what_was_given_back_is_there_when_it_is_needed() {
        let sum = || (0..2000_u64).map(|number| number.to_string().len()).sum::<usize>();
        let before = sum();
        for _ in 0..3 {
            give_back();
            assert_eq!(sum(), before);
            assert_eq!(std::thread::spawn(sum).join().unwrap(), before);
        }
    }

    /// Fills a few hundred KiB of the stack, and returns something that depends on all of it.
    #[inline(never)]
    fn deep(calls: u64) -> u64 {
        let filled = std::hint::black_box([calls; 512]);
        let below = if calls == 0 { 0 } else { deep(calls - 1) };
        below + filled.iter().sum::<u64>()
    }

    #[test]
    fn a_stack_is_given_back_below_the_frames_in_use_and_can_be_used_again() {
        let resident = || {
            let smaps = std::fs::read_to_string("/proc/thread-self/smaps").unwrap();
            let here = (&raw const smaps).addr();
            let mut lines =
                smaps.lines().skip_while(|line| !Mapping::of(line).is_some_and(|m| m.range.contains(&here)));
            let rss = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
            rss.split_ascii_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        let thread = std::thread::Builder::new().stack_size(4 << 20).spawn(move || {
            let kept = std::hint::black_box([7_u8; 4096]);
            let sum = deep(100);
            let before = resident();
            free_stack();
            let after = resident();
            assert!(before > 400 && after < before - 300, "{before} KiB, then {after} KiB");
            assert_eq!(deep(100), sum);
            assert!(kept.iter().all(|byte| *byte == 7));
        });
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn it_rests_once_and_only_when_it_has_been_quiet() {
        let now = Instant::now();
        let mut rest = Rest::after_start(now);
        rest.turn(now);
        assert_eq!(rest.at(), Some(now + QUIET));
        rest.busy(now + QUIET / 2);
        rest.turn(now + QUIET);
        assert!(rest.at().is_some());
        rest.turn(now + QUIET * 2);
        assert_eq!(rest.at(), None);
    }
}
