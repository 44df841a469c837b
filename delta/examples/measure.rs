//! Makes and applies one delta and says what it took: `measure OLD NEW [DELTA]`.

use std::error::Error;
use std::time::Instant;

use fetchd_delta::{Format, Limits, Options, apply, create, inspect};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [old, new, rest @ ..] = &arguments[..] else {
        return Err("measure OLD NEW [DELTA]".into());
    };
    let (old, new) = (std::fs::read(old)?, std::fs::read(new)?);
    let begun = Instant::now();
    let delta = match rest.first().filter(|path| std::fs::exists(path).unwrap_or(false)) {
        Some(path) => std::fs::read(path)?,
        None => create(&old, &new, Format::Fxd1, &Options::default())?,
    };
    let made = begun.elapsed();
    if let Some(path) = rest.first() {
        std::fs::write(path, &delta)?;
    }
    let said = inspect(&delta)?;
    let mut out = vec![0; new.len()];
    let begun = Instant::now();
    apply(&old, &delta, &mut out, &Limits::default())?;
    let applied = begun.elapsed();
    let per = |bytes: u64| bytes as f64 / new.len() as f64;
    let report = format!(
        "{} bytes, made in {:.1} s, applied in {:.3} s, {} bytes of memory ({:.2} of the output), same: {}\n{:?}\n",
        delta.len(),
        made.as_secs_f64(),
        applied.as_secs_f64(),
        said.memory,
        per(said.memory),
        out == new,
        said.parts,
    );
    std::io::Write::write_all(&mut std::io::stdout(), report.as_bytes())?;
    Ok(())
}
