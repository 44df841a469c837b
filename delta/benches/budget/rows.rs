//! What was measured, kept in a file, so that a run of an hour can be made in parts.

use std::path::Path;

use crate::contestants::{Contestant, Measured};
use crate::process::Cost;

/// The measurements of a pair.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// The new program's bytes.
    pub(crate) length: u64,
    measured: Vec<(Contestant, Measured)>,
}

impl Row {
    /// What is kept in `file`; nothing if there is none.
    pub(crate) fn read(file: &Path) -> Row {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let length = text.lines().next().and_then(|line| line.parse().ok()).unwrap_or_default();
        Row { length, measured: text.lines().filter_map(parsed).collect() }
    }

    pub(crate) fn write(&self, file: &Path) -> std::io::Result<()> {
        let line = |(contestant, seen): &(Contestant, Measured)| {
            let Measured { bytes, create, apply, memory } = seen;
            let (made, applied) = (create.resident, apply.resident);
            let (name, making, applying) = (contestant.name(), create.cpu, apply.cpu);
            format!("{name}\t{bytes}\t{making:.2}\t{made}\t{applying:.2}\t{applied}\t{memory}\n")
        };
        let lines: String = self.measured.iter().map(line).collect();
        std::fs::write(file, format!("{}\n{lines}", self.length))
    }

    /// Puts a measurement in, instead of an earlier one of the same contestant.
    pub(crate) fn put(&mut self, contestant: Contestant, measured: Measured) {
        self.measured.retain(|(other, _)| *other != contestant);
        self.measured.push((contestant, measured));
    }

    pub(crate) fn of(&self, contestant: Contestant) -> Option<Measured> {
        self.measured.iter().find(|(other, _)| *other == contestant).map(|&(_, measured)| measured)
    }

    /// The bytes of `contestant`'s delta as a share of all of the new program, compressed.
    pub(crate) fn share(&self, contestant: Contestant) -> Option<f64> {
        Some(self.of(contestant)?.bytes as f64 / self.of(Contestant::Full)?.bytes as f64)
    }
}

fn parsed(line: &str) -> Option<(Contestant, Measured)> {
    let [name, bytes, cpu_made, made, cpu_applied, applied, memory] = line.split('\t').collect::<Vec<_>>()[..] else {
        return None;
    };
    let contestant = Contestant::ALL.into_iter().find(|contestant| contestant.name() == name)?;
    let cost = |cpu: &str, resident: &str| Some(Cost { cpu: cpu.parse().ok()?, resident: resident.parse().ok()? });
    let (create, apply) = (cost(cpu_made, made)?, cost(cpu_applied, applied)?);
    Some((contestant, Measured { bytes: bytes.parse().ok()?, create, apply, memory: memory.parse().ok()? }))
}
