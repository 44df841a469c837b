//! A program's processor time and memory.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program and its arguments.
pub(crate) type Line = Vec<OsString>;

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Seconds of processor time, in the program and in the kernel for it.
    pub(crate) cpu: f64,
    /// The most resident memory in KiB, pages of mapped files included.
    pub(crate) resident: u64,
}

/// Runs `line` to its end, as GNU time sees it. Its output is kept beside `scratch`.
pub(crate) fn run(line: &Line, scratch: &Path) -> Result<Cost, String> {
    let (times, said) = (scratch.with_extension("time"), scratch.with_extension("said"));
    let output = File::create(&said).map_err(|error| format!("{}: {error}", said.display()))?;
    let mut time = Command::new("/usr/bin/time");
    time.args(["--quiet", "-f", "%U %S %M", "-o"]).arg(&times).args(line);
    let errors = output.try_clone().map_err(|error| error.to_string())?;
    let status = time.stdin(Stdio::null()).stdout(output).stderr(errors).status();
    let status = status.map_err(|error| format!("GNU time does not start: {error}"))?;
    if !status.success() {
        let said = std::fs::read_to_string(&said).unwrap_or_default();
        return Err(format!("{} ended with {status}: {}", shown(line), said.trim()));
    }
    let times = std::fs::read_to_string(&times).map_err(|error| error.to_string())?;
    let numbers: Vec<f64> = times.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let &[user, system, resident] = &numbers[..] else { return Err(format!("GNU time said `{times}`")) };
    Ok(Cost { cpu: user + system, resident: resident as u64 })
}

/// The least memory in MiB that `line` runs with to its end, of memory that is nobody's file: `ulimit -d`, which limits the
/// heap and private writable mappings, halved until it fails.
pub(crate) fn least_memory(line: &Line, most: u64) -> u64 {
    let (mut fails, mut runs) = (0, most);
    while fails + 1 < runs {
        let limit = (fails + runs) / 2;
        if runs_with(line, limit) { runs = limit } else { fails = limit }
    }
    runs
}

fn runs_with(line: &Line, mebibytes: u64) -> bool {
    let limited = format!("ulimit -c 0; ulimit -d {} && exec \"$@\"", mebibytes << 10);
    let mut shell = Command::new("sh");
    shell.args(["-c", &limited, "sh"]).args(line);
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.status().is_ok_and(|status| status.success())
}

fn shown(line: &Line) -> String {
    line.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
