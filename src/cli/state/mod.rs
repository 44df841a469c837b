//! `fetchd state show` and `fetchd state repair`.

mod plan;
mod repair;
mod show;

pub(super) use repair::repair;
pub(super) use show::show;

use serde::Serialize;

use crate::daemon::floor::place;
use crate::failure::Reported;
use crate::state::{Examined, Record};

/// The floor, as it is shown.
#[derive(Debug, Serialize)]
struct Floor {
    epoch: u64,
    seq: u64,
    manifest_sha256: Option<String>,
}

impl Floor {
    fn of(record: &Record) -> Floor {
        let manifest_sha256 = record.manifest_sha256.map(|sha256| sha256.to_string());
        Floor { epoch: record.epoch, seq: record.seq, manifest_sha256 }
    }
}

/// Something that is damaged.
#[derive(Debug, Serialize)]
struct Damage {
    file: &'static str,
    code: String,
    message: String,
}

fn damage(examined: &Examined) -> Vec<Damage> {
    let faults = examined.faults().iter();
    faults
        .map(|fault| {
            let Reported { code, message, .. } = Reported::of(&fault.error);
            Damage { file: fault.file, code, message }
        })
        .collect()
}

fn floor_text(record: &Record) -> String {
    let manifest = record.manifest_sha256.map(|sha256| format!(" (manifest {})", sha256.short())).unwrap_or_default();
    if record.floor() == (0, 0) { "none".to_owned() } else { format!("{}{manifest}", place(record.floor())) }
}
