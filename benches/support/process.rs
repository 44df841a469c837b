//! What the kernel knows of a process.

use std::collections::BTreeMap;
use std::fs;

/// Memory in KiB, and other things that a process holds.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) rss: u64,
    /// Anonymous memory and written pages of files: what goes when the process goes.
    pub(crate) private: u64,
    /// Pages of files that nobody else maps at the moment. The page cache keeps them anyway.
    pub(crate) sole: u64,
    pub(crate) pss: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: usize,
}

impl Held {
    pub(crate) fn of(pid: u32) -> Held {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        Held {
            rss: field(&rollup, "Rss:"),
            private: field(&rollup, "Private_Dirty:"),
            sole: field(&rollup, "Private_Clean:"),
            pss: field(&rollup, "Pss:"),
            threads: status(pid, "Threads:"),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
        }
    }
}

/// A number of `/proc/PID/status`.
pub(crate) fn status(pid: u32, name: &str) -> u64 {
    field(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap(), name)
}

/// How often its threads went to sleep of their own will: each time something had woken them.
pub(crate) fn sleeps(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    tasks
        .map(|task| fs::read_to_string(task.path().join("status")).unwrap_or_default())
        .map(|text| field(&text, "voluntary_ctxt_switches:"))
        .sum()
}

/// The CPU time of its threads in nanoseconds. Threads that have ended are not counted.
pub(crate) fn cpu_ns(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Whether it runs. One that is dead and that nobody has reaped does not.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the command in parentheses and may hold anything.
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
}

/// The processes it started that have not been reaped.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let texts = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    texts.flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

/// RSS and private memory in KiB by what is mapped, the largest first.
pub(crate) fn mappings(pid: u32) -> Vec<(String, u64, u64)> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut name = String::new();
    for line in fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[0].contains('-') {
            let file =
                words.get(5).map_or("(anonymous: stacks, arenas)", |path| path.rsplit('/').next().unwrap_or(path));
            name = format!("{file} {}", words[1]);
        } else if words[0] == "Rss:" {
            sums.entry(name.clone()).or_default().0 += words[1].parse::<u64>().unwrap();
        } else if words[0] == "Private_Dirty:" {
            sums.entry(name.clone()).or_default().1 += words[1].parse::<u64>().unwrap();
        }
    }
    let mut rows: Vec<(String, u64, u64)> = sums.into_iter().map(|(name, (rss, own))| (name, rss, own)).collect();
    rows.sort_by_key(|(_, rss, _)| std::cmp::Reverse(*rss));
    rows
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
