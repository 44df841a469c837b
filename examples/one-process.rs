//! A server that updates itself and hands over to its own successor: one process, and nobody above it.
//!
//! `one-process ADDRESS [PID-FILE [PAUSE-MS]]`; where releases come from is in the environment, as `docs/embedding.md` shows:
//! `FETCHD_SOURCE`, `FETCHD_KEY`. Until PAUSE-MS (10 s) after a handoff the old process takes over again if the new one dies.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a server's log")]

use std::convert::Infallible;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fetchd::agent::{Outcome, UpdateEvent};
use fetchd::demo::{Fault, trailer};
use fetchd::failure::{Exit, report};
use fetchd::service::http::Server;
use fetchd::upgrade::http::run_until_drained;
use fetchd::{Process, RestartDecision, Updater, Upgrader};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Response, body::Incoming};

fn main() -> ExitCode {
    // First of all: this may be the worker that downloads.
    let process = match Process::start() {
        Ok(process) => process,
        Err(ended) => return ended,
    };
    // A program of your own says `env!("CARGO_PKG_VERSION")`.
    let trailer = trailer::own().unwrap_or_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().map(String::as_str) == Some("--version") {
        println!("one-process {}", trailer.version);
        return ExitCode::SUCCESS;
    }
    if trailer.fault == Some(Fault::ExitBeforeReady) {
        return ExitCode::FAILURE;
    }
    match serve(process, trailer.version, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn serve(process: Process, version: String, arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let argument = |at: usize| arguments.get(at).map(String::as_str);
    // Before any thread: what the process before this one handed on, or a new socket.
    let mut builder = Upgrader::builder().listen("web", argument(0).unwrap_or("127.0.0.1:8080"));
    if let Some(path) = argument(1) {
        builder = builder.pid_file(path);
    }
    if let Some(pause) = argument(2) {
        builder = builder.pause(Duration::from_millis(pause.parse()?));
    }
    let upgrader = builder.start()?;
    let listeners = upgrader.listeners("web")?;
    if upgrader.generation() == 1 {
        for listener in &listeners {
            println!("listens on {}", listener.address()?);
        }
    }
    let server = Server::new(listeners);
    let said = Arc::new(format!("version {version}\npid {}\n", std::process::id()));
    let handing = upgrader.clone();
    let updates = std::thread::Builder::new().name("updates".to_owned());
    let updates = updates.spawn(move || follow(&process, &version, &handing))?;
    let hello = service_fn(move |_: hyper::Request<Incoming>| {
        let said = Arc::clone(&said);
        async move { Ok::<Response<Full<Bytes>>, Infallible>(Response::new(Full::from(said.to_string()))) }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run_until_drained(upgrader.clone(), server, hello))?;
    if upgrader.has_handed_over() {
        // The release that serves now is recorded as good before this process is gone, or the next start would put the
        // one before it back.
        let _ = updates.join();
    }
    Ok(())
}

/// Follows the source until a successor serves.
fn follow(process: &Process, version: &str, upgrader: &Upgrader) {
    loop {
        let handing = upgrader.clone();
        let updater = Updater::new("one-process").version(version).environment();
        let started = updater.start(process, move |_installed| match handing.upgrade() {
            // It has served through the whole pause.
            Ok(_) => RestartDecision::Restarted,
            // This process serves as before; the file is put back, and the release is not tried again.
            Err(failure) => RestartDecision::Failed(failure.to_string()),
        });
        let updating = match started {
            Ok(updating) => updating,
            // The process before this one still looks whether this one holds, and records that it does.
            Err(failure) if failure.exit == Exit::Locked => {
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
            Err(failure) => return eprintln!("{}", report(&failure)),
        };
        loop {
            let event = updating.next_event(Duration::from_secs(3600));
            if matches!(event, Some(UpdateEvent::Finished(Outcome::Updated { .. }))) {
                // The successor follows the source from now on.
                return updating.stop();
            }
        }
    }
}
