//! How fast the format's decoder walks code, and how far another decoder agrees with it.
//!
//! `cargo bench -p fetchd-delta --bench lengths -- FILE…` takes programs; without any, this one.
//! With `--vectors` first it prints one instruction of each shape in them instead, as `vectors/` holds them.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "a bench prints and may fail")]

use std::collections::HashSet;
use std::hint::black_box;
use std::time::Instant;

#[path = "../tests/oracle/mod.rs"]
mod oracle;

use oracle::x86::{self, Operand};
use oracle::{Agreement, code_of, walk};

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let vectors = arguments.first().is_some_and(|argument| argument == "--vectors");
    arguments.drain(..usize::from(vectors));
    if arguments.is_empty() {
        arguments.push(std::env::current_exe().unwrap().to_string_lossy().into_owned());
    }
    if vectors { print_vectors(&arguments) } else { print_agreement(&arguments) }
}

fn print_agreement(files: &[String]) {
    println!(
        "| program | code | instructions | seen alike | no instruction | by both | fields | found | besides | MB/s |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let mut all = Agreement::default();
    for name in files {
        let Ok(file) = std::fs::read(name) else { continue };
        let mut agreement = Agreement::default();
        let mut seconds = 0.0;
        for code in code_of(&file) {
            // The quickest of many for each piece, which is short enough to be undisturbed by other programs once.
            let quickest = |piece| (0..20).map(|_| timed(piece)).fold(f64::MAX, f64::min);
            seconds += code.chunks(1 << 16).map(quickest).sum::<f64>();
            agreement.add(Agreement::over(code));
        }
        if agreement.bytes > 0 {
            row(name.rsplit('/').next().unwrap(), &agreement, Some(agreement.bytes as f64 / 1e6 / seconds));
            agreement.differing.iter().take(5).for_each(|line| eprintln!("{line}"));
            all.add(agreement);
        }
    }
    row("all", &all, None);
}

fn row(name: &str, seen: &Agreement, speed: Option<f64>) {
    println!(
        "| {name} | {:.2} MB | {} | {:.6} % | {} | {} | {} | {:.6} % | {} | {} |",
        seen.bytes as f64 / 1e6,
        seen.instructions,
        100.0 * seen.same as f64 / seen.instructions as f64,
        seen.invalid,
        seen.both_invalid,
        seen.fields,
        100.0 * seen.found as f64 / seen.fields as f64,
        seen.extra,
        speed.map(|speed| format!("{speed:.0}")).unwrap_or_default(),
    );
}

fn timed(code: &[u8]) -> f64 {
    let begun = Instant::now();
    let mut sum = 0;
    x86::operands(black_box(code), |operand| match operand {
        Operand::Relative { at, .. } | Operand::Absolute { at } => sum ^= at,
    });
    black_box(sum);
    begun.elapsed().as_secs_f64()
}

fn print_vectors(files: &[String]) {
    let mut shapes = HashSet::new();
    let mut lines = Vec::new();
    for file in files.iter().filter_map(|name| std::fs::read(name).ok()) {
        for code in code_of(&file) {
            walk(code, |at, seen| {
                let Some(seen) = seen else { return };
                let bytes = &code[at..at + seen.length];
                let fields: Vec<_> = seen
                    .operands
                    .iter()
                    .map(|operand| match *operand {
                        Operand::Relative { at: field, end } => format!(" relative {} {end}", field - at),
                        Operand::Absolute { at: field } => format!(" absolute {}", field - at),
                    })
                    .collect();
                let stated = format!("{}{}", seen.length, fields.concat());
                if shapes.insert((seen.code, stated.clone())) {
                    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                    lines.push(format!("{hex} {stated}"));
                }
            });
        }
    }
    lines.sort();
    lines.iter().for_each(|line| println!("{line}"));
}
