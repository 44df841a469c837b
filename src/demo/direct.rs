//! The demo service without a supervisor: it hands over to its own successor.

use std::error::Error;
use std::fs::File;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use hyper::service::service_fn;

use super::routes::{About, answer};
use super::service::{Flags, before_ready};
use super::trailer::Trailer;
use crate::service::http::Server;
use crate::upgrade::{self, UpgradeError, Upgraded, Upgrader};

/// The life of the demo service with `--direct`.
pub(super) fn run(trailer: Trailer, flags: &Flags) -> Result<ExitCode, Box<dyn Error>> {
    let mut builder = Upgrader::builder().after(report);
    for (name, address) in &flags.listeners {
        builder = builder.listen(name, address);
    }
    if let Some(path) = &flags.pid_file {
        builder = builder.pid_file(path);
    }
    if let Some(path) = flags.keep.clone() {
        builder = builder.descriptor("kept", move || File::create_new(path).map(Into::into));
    }
    if let Some(pause) = flags.pause {
        builder = builder.pause(pause);
    }
    if let Some(deadline) = flags.ready {
        builder = builder.ready_deadline(deadline);
    }
    if let Some(deadline) = flags.drain {
        builder = builder.drain_deadline(deadline);
    }
    let upgrader = builder.start()?;
    if flags.keep.is_some() {
        writeln!(File::from(upgrader.descriptor("kept")?), "{} {}", upgrader.generation(), std::process::id())?;
    }
    let ready = || upgrader.ready().map_err(Into::into);
    if let Some(ended) = before_ready(&trailer, |why| upgrader.reject(why), ready)? {
        return Ok(ended);
    }
    let mut listeners = Vec::new();
    for (name, _) in &flags.listeners {
        listeners.extend(upgrader.listeners(name)?);
    }
    if upgrader.generation() == 1 {
        for listener in &listeners {
            writeln!(io::stdout(), "listening on {}", listener.address()?)?;
        }
    }
    let environment = upgrader.environment();
    let about = Arc::new(About {
        generation: Some(upgrader.generation()),
        digest: None,
        inherited: environment.program.iter().map(|program| format!("program {}", program.display())).collect(),
        trailer,
    });
    let service = service_fn(move |request| answer(Arc::clone(&about), request));
    let mut server = Server::new(listeners);
    if let Some(period) = flags.lame_duck {
        server = server.lame_duck(period);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(upgrade::http::run_until_drained(upgrader, server, service))?;
    Ok(ExitCode::SUCCESS)
}

/// One line on stderr for each upgrade: `PID upgraded to PID`, or `PID CODE: why`.
fn report(outcome: &Result<Upgraded, UpgradeError>) {
    let own = std::process::id();
    // Nobody is left to hear of an error of stderr.
    let _ = match outcome {
        Ok(upgraded) => writeln!(io::stderr(), "{own} upgraded to {}", upgraded.pid),
        Err(error) => writeln!(io::stderr(), "{own} {}: {error}", error.code()),
    };
}
