//! The demo service's process: flags, faults, and the ordinary life of a service.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
#[cfg(feature = "upgrade")]
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use hyper::service::service_fn;

use super::routes::{About, answer};
use super::trailer::{self, Fault, Trailer};
use crate::service::http::{self, Server};
use crate::service::{Inherited, Listener};

/// The exit code of a fault that is a crash.
pub(super) const CRASH: i32 = 9;

/// From READY to the end of [`Fault::CrashAtReady`]: long enough to be switched to.
const MOMENT: Duration = Duration::from_millis(200);

/// A fault that waits does not wait for ever: a test that forgets it leaves nothing behind.
const FOR_EVER: Duration = Duration::from_secs(600);

/// How long the child of [`Fault::VersionFork`] holds the output.
const HOLD: Duration = Duration::from_secs(30);

/// Runs the demo service with `args` (without the program's name).
///
/// `--version`, `--name NAME` (of the listener, `web`), `--bind ADDR` (where nothing is inherited,
/// `127.0.0.1:0`; repeatable through `--name`), `--lame-duck-ms N`, `--drain-ms N`. The address it
/// bound itself is the first line of its output. With the feature `upgrade`, `--direct` needs no supervisor: SIGUSR2
/// hands over to a successor; `--pid-file PATH`, `--keep PATH` (a descriptor that is handed on), `--pause-ms N` and
/// `--ready-ms N` go with it.
///
/// Call it first thing in `main`: it takes what the process inherited.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            let mut text = error.to_string();
            let mut next = error.source();
            while let Some(source) = next {
                text.push_str(&format!(": {source}"));
                next = source.source();
            }
            // Nobody is left to hear of an error of stderr.
            let _ = writeln!(io::stderr(), "demo-service: {text}");
            ExitCode::from(64)
        }
    }
}

fn run(args: impl IntoIterator<Item = OsString>) -> Result<ExitCode, Box<dyn Error>> {
    let flags = Flags::parse(args)?;
    if flags.hold {
        sleep(HOLD);
        return Ok(ExitCode::SUCCESS);
    }
    let trailer = trailer::own()?;
    if flags.version {
        return version(&trailer);
    }
    #[cfg(feature = "upgrade")]
    if flags.direct {
        return super::direct::run(trailer, &flags);
    }
    let mut inherited = Inherited::take()?;
    // A supervisor that does not hear of it has a deadline.
    let reject = |why: &str| drop(inherited.notify().reject(why));
    if let Some(ended) = before_ready(&trailer, reject, || inherited.notify().ready().map_err(Into::into))? {
        return Ok(ended);
    }
    let mut listeners = Vec::new();
    for (name, address) in &flags.listeners {
        listeners.extend(inherited.listen_or_bind(name, address)?);
    }
    announce(&listeners)?;
    serve(inherited, listeners, trailer, &flags)?;
    Ok(ExitCode::SUCCESS)
}

/// Boots, and does what the trailer says is wrong before it serves; the exit code if that ends it.
pub(super) fn before_ready(
    trailer: &Trailer,
    reject: impl FnOnce(&str),
    ready: impl FnOnce() -> Result<(), Box<dyn Error>>,
) -> Result<Option<ExitCode>, Box<dyn Error>> {
    sleep(trailer.boot);
    Ok(match trailer.fault {
        Some(Fault::ExitBeforeReady) => {
            writeln!(io::stderr(), "demo-service {}: the database schema is too new", trailer.version)?;
            Some(ExitCode::from(3))
        }
        Some(Fault::ExitZeroBeforeReady) => Some(ExitCode::SUCCESS),
        Some(Fault::NeverReady) => {
            sleep(FOR_EVER);
            Some(ExitCode::FAILURE)
        }
        Some(Fault::Reject) => {
            reject("the state on disk is from a later version");
            sleep(FOR_EVER);
            Some(ExitCode::FAILURE)
        }
        Some(Fault::CrashAtReady) => {
            ready()?;
            sleep(MOMENT);
            writeln!(io::stderr(), "demo-service {}: out of file descriptors", trailer.version)?;
            Some(ExitCode::from(CRASH.to_le_bytes()[0]))
        }
        _ => None,
    })
}

/// Prints the addresses this process bound itself; with port 0 nobody else knows them.
fn announce(listeners: &[Listener]) -> io::Result<()> {
    for listener in listeners.iter().filter(|listener| !listener.is_inherited()) {
        writeln!(io::stdout(), "listening on {}", listener.address()?)?;
    }
    io::stdout().flush()
}

fn serve(
    mut inherited: Inherited,
    listeners: Vec<Listener>,
    trailer: Trailer,
    flags: &Flags,
) -> Result<(), Box<dyn Error>> {
    let fault = trailer.fault;
    let environment = inherited.environment();
    let about = Arc::new(About {
        generation: environment.generation,
        digest: environment.digest.clone(),
        inherited: inventory(&inherited, &listeners),
        trailer,
    });
    let service = service_fn(move |request| answer(Arc::clone(&about), request));
    let mut server = Server::new(listeners);
    if let Some(period) = flags.lame_duck {
        server = server.lame_duck(period);
    }
    if let Some(deadline) = flags.drain {
        server = server.deadline(deadline);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        match fault {
            Some(Fault::CrashAfterReady) => crash_in(Duration::from_millis(300)),
            Some(Fault::CrashLoop) => crash_in(Duration::from_secs(1)),
            Some(Fault::NeverDrain) => {
                // Registered, so that the default action is gone, and never looked at.
                let _terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
                let _interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
                let _control = inherited.control();
                inherited.notify().ready().map_err(io::Error::other)?;
                return server.serve(service).await.map(drop);
            }
            Some(Fault::NoNotify) => {
                let handle = server.handle();
                let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
                tokio::spawn(async move {
                    terminate.recv().await;
                    handle.drain();
                });
                return server.serve(service).await.map(drop);
            }
            _ => {}
        }
        http::run_until_drained(inherited, server, service).await.map(drop)
    })?;
    Ok(())
}

/// The fault starts with the runtime, that is, at READY.
fn crash_in(time: Duration) {
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        std::process::exit(CRASH);
    });
}

fn inventory(inherited: &Inherited, listeners: &[Listener]) -> Vec<String> {
    let environment = inherited.environment();
    let mut lines: Vec<String> = listeners
        .iter()
        .chain(inherited.listeners())
        .filter(|listener| listener.is_inherited())
        .map(|listener| {
            let address = listener.address().map_or_else(|error| error.to_string(), |address| address.to_string());
            format!("listener {} {address}", listener.name())
        })
        .collect();
    lines.extend(environment.role.iter().map(|role| format!("role {role}")));
    lines.extend(environment.version.iter().map(|version| format!("version {version}")));
    lines.extend(environment.program.iter().map(|program| format!("program {}", program.display())));
    lines.extend(environment.ready_within.map(|within| format!("ready {} ms", within.as_millis())));
    lines.extend(environment.drain_within.map(|within| format!("drain {} ms", within.as_millis())));
    lines.extend(inherited.notify().is_wanted().then(|| "notify".to_owned()));
    lines.extend(inherited.has_control().then(|| "control".to_owned()));
    lines
}

/// `--version`, right or wrong.
fn version(trailer: &Trailer) -> Result<ExitCode, Box<dyn Error>> {
    let line = |version: &str| writeln!(io::stdout(), "demo-service {version}");
    match trailer.fault {
        Some(Fault::VersionWrong) => line("0.0.0-wrong")?,
        Some(Fault::VersionHang) => sleep(FOR_EVER),
        Some(Fault::VersionFlood) => {
            let junk = [b'x'; 1 << 16];
            while io::stdout().write_all(&junk).is_ok() {}
        }
        Some(Fault::VersionFork) => {
            line(&trailer.version)?;
            let args = std::env::args_os().skip(1).filter(|arg| arg != "--version");
            // Left behind on purpose, with this process's output still open.
            let _child = Command::new("/proc/self/exe").args(args).arg("--hold").stdin(Stdio::null()).spawn()?;
        }
        Some(Fault::VersionExit1) => return Ok(ExitCode::FAILURE),
        _ => line(&trailer.version)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The command line.
#[derive(Debug, Default)]
pub(super) struct Flags {
    version: bool,
    hold: bool,
    pub(super) listeners: Vec<(String, String)>,
    pub(super) lame_duck: Option<Duration>,
    pub(super) drain: Option<Duration>,
    #[cfg(feature = "upgrade")]
    direct: bool,
    #[cfg(feature = "upgrade")]
    pub(super) pid_file: Option<PathBuf>,
    #[cfg(feature = "upgrade")]
    pub(super) keep: Option<PathBuf>,
    #[cfg(feature = "upgrade")]
    pub(super) pause: Option<Duration>,
    #[cfg(feature = "upgrade")]
    pub(super) ready: Option<Duration>,
}

impl Flags {
    fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Flags, Box<dyn Error>> {
        let mut flags = Flags::default();
        let mut args = args.into_iter().map(|arg| arg.into_string().map_err(|_| "an argument is not text"));
        while let Some(flag) = args.next().transpose()? {
            let mut value = || args.next().transpose()?.ok_or(format!("`{flag}` needs a value"));
            match flag.as_str() {
                "--version" => flags.version = true,
                "--hold" => flags.hold = true,
                "--name" => flags.listeners.push((value()?, ANYWHERE.to_owned())),
                "--bind" => {
                    let address = value()?;
                    match flags.listeners.last_mut() {
                        Some(last) => last.1 = address,
                        None => flags.listeners.push(("web".to_owned(), address)),
                    }
                }
                "--lame-duck-ms" => flags.lame_duck = Some(Duration::from_millis(value()?.parse()?)),
                "--drain-ms" => flags.drain = Some(Duration::from_millis(value()?.parse()?)),
                #[cfg(feature = "upgrade")]
                "--direct" => flags.direct = true,
                #[cfg(feature = "upgrade")]
                "--pid-file" => flags.pid_file = Some(value()?.into()),
                #[cfg(feature = "upgrade")]
                "--keep" => flags.keep = Some(value()?.into()),
                #[cfg(feature = "upgrade")]
                "--pause-ms" => flags.pause = Some(Duration::from_millis(value()?.parse()?)),
                #[cfg(feature = "upgrade")]
                "--ready-ms" => flags.ready = Some(Duration::from_millis(value()?.parse()?)),
                _ => return Err(format!("unknown argument `{flag}`").into()),
            }
        }
        if flags.listeners.is_empty() {
            flags.listeners.push(("web".to_owned(), ANYWHERE.to_owned()));
        }
        Ok(flags)
    }
}

const ANYWHERE: &str = "127.0.0.1:0";
