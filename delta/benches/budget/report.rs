//! The tables.

use crate::contestants::{Contestant, Measured};
use crate::releases::{Pair, Tolerance};
use crate::rows::Row;

/// A pair and what was measured of it.
pub(crate) type Seen<'a> = (&'a Pair, Row);

const DELTAS: [Contestant; 5] =
    [Contestant::ZstdPatch, Contestant::Bsdiff, Contestant::Xdelta3, Contestant::Dcz, Contestant::Fxd1];

/// The bytes of each delta and its share of the full download, and the medians.
pub(crate) fn print_bytes(seen: &[Seen<'_>]) {
    println!(
        "| pair | language | program | {} | {} |",
        Contestant::Full.name(),
        DELTAS.map(Contestant::name).join(" | ")
    );
    println!("|---|---|---:|---:|{}", "---:|".repeat(DELTAS.len()));
    for (pair, row) in seen {
        let full = row.of(Contestant::Full).map(|full| bytes(full.bytes)).unwrap_or_default();
        let cells = DELTAS.map(|contestant| match (row.of(contestant), row.share(contestant)) {
            (Some(measured), Some(share)) => format!("{} · {:.1} %", bytes(measured.bytes), share * 100.0),
            _ => "-".into(),
        });
        let (name, length) = (pair.name(), bytes(row.length));
        println!("| {name} | {} | {length} | {full} | {} |", pair.language, cells.join(" | "));
    }
    let complete = complete(seen);
    let pairs = DELTAS.map(|contestant| shares(&complete, contestant));
    let programs = DELTAS.map(|contestant| by_program(&complete, contestant));
    for (what, shares) in [("pairs", pairs), ("programs", programs)] {
        let (count, cells) = (shares[0].len(), shares.map(|shares| percent(median(shares))));
        println!("| **median of {count} {what}** | | | | {} |", cells.join(" | "));
    }
}

/// The processor time and the memory of each, to make a delta or to apply it.
pub(crate) fn print_costs(seen: &[Seen<'_>]) {
    let all = Contestant::ALL.map(Contestant::name).join(" | ");
    type Cell = fn(Measured) -> String;
    let tables: [(&str, Cell); 5] = [
        ("Processor seconds to make it", |seen| format!("{:.2}", seen.create.cpu)),
        ("Processor seconds to apply it", |seen| format!("{:.2}", seen.apply.cpu)),
        ("Anonymous memory to apply it, MiB", |seen| seen.memory.to_string()),
        ("Resident memory to apply it, MiB, mapped files included", |seen| (seen.apply.resident >> 10).to_string()),
        ("Resident memory to make it, MiB, mapped files included", |seen| (seen.create.resident >> 10).to_string()),
    ];
    for (title, cell) in tables {
        println!("\n{title}:\n\n| pair | {all} |\n|---|{}", "---:|".repeat(Contestant::ALL.len()));
        for (pair, row) in seen {
            let cells = Contestant::ALL.map(|contestant| row.of(contestant).map(cell).unwrap_or_else(|| "-".into()));
            println!("| {} | {} |", pair.name(), cells.join(" | "));
        }
    }
}

/// What was above its budget, a line each; nothing if all is well.
pub(crate) fn above_budget(seen: &[Seen<'_>], tolerance: &Tolerance) -> Vec<String> {
    let mut above = Vec::new();
    for (pair, row) in seen {
        let mut held = |what: &str, is: f64, budget: f64, tolerance: f64| {
            if is > budget * tolerance {
                above.push(format!("{}: {what} is {is}, the budget {budget} times {tolerance}", pair.name()));
            }
        };
        let budgets = [(Contestant::Dcz, pair.budget.dcz), (Contestant::Fxd1, pair.budget.fxd_1)];
        for (contestant, budget) in budgets {
            if let (Some(seen), Some(budget)) = (row.of(contestant), budget) {
                held(&format!("{}, bytes,", contestant.name()), seen.bytes as f64, budget as f64, tolerance.bytes);
            }
        }
        if let Some(fxd) = row.of(Contestant::Fxd1) {
            held("fxd-1, seconds to apply,", fxd.apply.cpu, pair.budget.apply_cpu, tolerance.apply_cpu);
            let memory = pair.budget.apply_memory as f64;
            held("fxd-1, MiB to apply,", fxd.memory as f64, memory, tolerance.apply_memory);
        }
    }
    above
}

/// What is aimed at, and whether it was reached.
pub(crate) fn print_goals(seen: &[Seen<'_>]) {
    let fxd = Contestant::Fxd1;
    println!("\n| goal | measured |\n|---|---|");
    // Of all pairs that were measured, whether the others were or not: nothing is compared with them here.
    let all: Vec<f64> = seen.iter().filter_map(|(_, row)| row.share(fxd)).collect();
    println!("| median of fxd-1 ≤ 9 % of the full download, {} pairs | {} |", all.len(), percent(median(all)));
    for (pair, row) in seen.iter().filter(|(pair, _)| pair.language != "Rust") {
        println!("| {} ≤ 2 % | {} |", pair.name(), percent(row.share(fxd)));
    }
    let worst = |of: fn(Measured) -> f64| {
        // What a program needs before its first byte outweighs what small ones need for theirs.
        let large = seen.iter().filter(|(_, row)| row.length >= 10_000_000);
        let each = large.filter_map(|(pair, row)| Some((of(row.of(fxd)?) / row.length as f64, pair.name())));
        let worst = each.max_by(|one, other| one.0.total_cmp(&other.0));
        worst.map_or("-".into(), |(value, name)| format!("{:.2} at most: {name}", value * 1e8))
    };
    println!("| apply ≤ 1 s of a processor per 100 MB of program, from 10 MB on | {} |", worst(|seen| seen.apply.cpu));
    println!(
        "| apply ≤ 64 MB of anonymous memory per 100 MB of program, from 10 MB on | {} |",
        worst(|seen| seen.memory as f64 * 1.048_576)
    );
}

/// The pairs of which everything was measured: the only ones whose medians can be compared.
fn complete<'a, 'b>(seen: &'a [Seen<'b>]) -> Vec<&'a Seen<'b>> {
    seen.iter().filter(|(_, row)| DELTAS.into_iter().all(|contestant| row.share(contestant).is_some())).collect()
}

fn shares(seen: &[&Seen<'_>], contestant: Contestant) -> Vec<f64> {
    seen.iter().filter_map(|(_, row)| row.share(contestant)).collect()
}

/// Each program's own median: one with many releases here counts once.
fn by_program(seen: &[&Seen<'_>], contestant: Contestant) -> Vec<f64> {
    let mut programs: Vec<&str> = seen.iter().map(|(pair, _)| &pair.program[..]).collect();
    programs.sort_unstable();
    programs.dedup();
    let of = |program: &&str| {
        let own = seen.iter().filter(|(pair, _)| pair.program == **program);
        median(own.filter_map(|(_, row)| row.share(contestant)).collect())
    };
    programs.iter().filter_map(of).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().wrapping_sub(1) / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".into(), |share| format!("{:.1} %", share * 100.0))
}

fn bytes(bytes: u64) -> String {
    match bytes {
        ..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.2} MB", bytes as f64 / 1e6),
    }
}
