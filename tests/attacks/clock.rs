//! A machine whose clock says something else, without touching the clock of this one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The one function that a program asks for the time. Nothing else changes: durations stay what they are.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    const char *said = getenv("CLOCK_OF_THE_TEST");
    if (result == 0 && clock == CLOCK_REALTIME && said) time->tv_sec = atoll(said);
    return result;
}
"#;

/// Lets `command` live at this time, in seconds since 1970.
pub fn set(command: &mut Command, seconds: u64) {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    command.env("LD_PRELOAD", LIBRARY.get_or_init(build)).env("CLOCK_OF_THE_TEST", seconds.to_string());
}

/// `cc` is what Rust links with, so it is there.
fn build() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (made, library) = (dir.join(format!("clock-{}.so", std::process::id())), dir.join("clock.so"));
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-x", "c", "-o"]).arg(&made).arg("-").stdin(Stdio::piped());
    let mut cc = cc.spawn().unwrap();
    cc.stdin.take().unwrap().write_all(SOURCE.as_bytes()).unwrap();
    assert!(cc.wait().unwrap().success());
    // Another run of these tests may have it open.
    std::fs::rename(made, &library).unwrap();
    library
}
