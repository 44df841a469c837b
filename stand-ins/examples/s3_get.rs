//! Downloads the object of an S3 source, throws it away, and says how long that took and how much
//! memory: `cargo run -p fetchd-stand-ins --example s3_get -- 's3://bucket/key?endpoint=…' [option=value…]`.

use std::error::Error;
use std::time::Instant;

use fetchd_fetchers::{Options, Polled, Registry, Start, parse_source};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let source = parse_source(&arguments.next().ok_or("usage: s3_get SOURCE [OPTION=VALUE…]")?)?;
    let mut options = Options::new();
    for argument in arguments {
        let (name, value) = argument.split_once('=').ok_or("an option is `name=value`")?;
        options.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    let fetcher = Registry::builtin().open(&source, &options)?;
    let Polled::Offers(release) = fetcher.poll(None).await? else { return Err("unchanged since nothing".into()) };
    let began = Instant::now();
    let mut body = fetcher.open(&release, &release.assets[0].name, &Start::default()).await?;
    let (mut hash, mut size) = (Sha256::new(), 0);
    while let Some(chunk) = body.stream.next().await {
        let chunk = chunk?;
        size += chunk.len();
        hash.update(&chunk);
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("VmHWM: unknown");
    println(&format!("{size} bytes, sha256 {digest}, {:.2} s, {peak}", began.elapsed().as_secs_f64()));
    Ok(())
}

/// The report is the whole purpose.
#[allow(clippy::print_stdout)]
fn println(line: &str) {
    println!("{line}");
}
