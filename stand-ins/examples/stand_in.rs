//! Runs a stand-in until its standard input ends, to try fetchd by hand without an account anywhere:
//! `cargo run -p fetchd-stand-ins --example stand_in -- github` (or `s3`). It holds nothing at first.

use std::error::Error;
use std::io::Read as _;

use fetchd_stand_ins::github::GitHub;
use fetchd_stand_ins::s3::{ACCESS_KEY, S3Server, SECRET_KEY};

fn main() -> Result<(), Box<dyn Error>> {
    let end = || std::io::stdin().read_to_end(&mut Vec::new());
    match std::env::args().nth(1).as_deref() {
        Some("github") => {
            let github = GitHub::start();
            github.repository("acme/app");
            github.token("stand-in-token");
            println(&format!("export GITHUB_TOKEN=stand-in-token\nsource='{}'", github.source("acme/app")));
            end()?;
        }
        Some("s3") => {
            let server = S3Server::start();
            println(&format!("export AWS_ACCESS_KEY_ID={ACCESS_KEY} AWS_SECRET_ACCESS_KEY={SECRET_KEY}"));
            println(&format!("source='{}'", server.source("app/stable.fetchd")));
            end()?;
        }
        _ => return Err("usage: stand_in github|s3".into()),
    }
    Ok(())
}

/// What to type is the whole purpose.
#[allow(clippy::print_stdout)]
fn println(line: &str) {
    println!("{line}");
}
