//! The worker's own main.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::process::ExitCode;
use std::time::Duration;

use fetchd_fetchers::Registry;
use rustix::event::{PollFd, PollFlags};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::confine::{self, Hardening};
use super::failure::{FetchFailure, WorkerFault};
use super::perform::{Bench, REPORTS, perform};
use super::wire::{self, Reply, Request};
use crate::failure::Exit;

/// How often the worker says that it is alive.
const ALIVE: Duration = Duration::from_secs(1);

/// Does the jobs that come in on standard input, a socket, until the other end is closed.
///
/// For `main`, when `FETCHD_ROLE` is `worker`: with the fetchers that are compiled in.
pub fn serve() -> ExitCode {
    serve_with(Registry::builtin())
}

/// [`serve`] with these fetchers.
///
/// The process ends as soon as the supervisor does, even in the middle of a job
/// (`tests/fetch_worker`: `a_worker_ends_with_its_supervisor`).
pub fn serve_with(registry: Registry) -> ExitCode {
    // The supervisor holds its signals, and the mask is inherited.
    crate::spawn::hold_no_signals();
    // Nothing was read yet, and no thread started.
    let hardening = confine::confine(&confine::plan());
    match run(&Bench::new(registry), hardening) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the worker cannot go on");
            ExitCode::from(Exit::Usage.number())
        }
    }
}

fn run(bench: &Bench, hardening: Hardening) -> io::Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::net::sockopt::socket_type(&stdin)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "standard input is not a supervisor's socket"))?;
    watch_supervisor(stdin.try_clone()?)?;
    let mut stream = StdStream::from(stdin);
    stream.write_all(&wire::encode(&Reply::Confined(hardening))?)?;
    stream.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    runtime.block_on(async {
        let mut stream = UnixStream::from_std(stream)?;
        while let Some((request, files)) = next(&mut stream).await? {
            if !job(bench, &request, files, &mut stream).await? {
                break;
            }
        }
        Ok(())
    })
}

/// Ends the process when the supervisor's end is closed, whatever the other threads are at.
fn watch_supervisor(socket: OwnedFd) -> io::Result<()> {
    let watch = move || {
        loop {
            let mut descriptors = [PollFd::new(&socket, PollFlags::RDHUP)];
            let polled = rustix::event::poll(&mut descriptors, None);
            let gone = descriptors[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR);
            if polled.is_ok() && gone {
                std::process::exit(0);
            }
        }
    };
    std::thread::Builder::new().name("supervisor".to_owned()).stack_size(64 * 1024).spawn(watch).map(drop)
}

/// The next request, with the files that came with it; `None` at the end of file.
async fn next(stream: &mut UnixStream) -> io::Result<Option<(Request, Vec<OwnedFd>)>> {
    let (mut prefix, mut files) = ([0; wire::PREFIX], Vec::new());
    let mut filled = 0;
    while filled < wire::PREFIX {
        let rest = &mut prefix[filled..];
        let received = stream.async_io(Interest::READABLE, || wire::receive_files(&*stream, rest, &mut files)).await?;
        if received == 0 {
            return Ok(None);
        }
        filled += received;
    }
    let mut text = vec![0; wire::length(prefix)?];
    stream.read_exact(&mut text).await?;
    Ok(Some((serde_json::from_slice(&text)?, files)))
}

/// Does one job and answers. `false` if the process should not do another one.
async fn job(bench: &Bench, request: &Request, files: Vec<OwnedFd>, stream: &mut UnixStream) -> io::Result<bool> {
    let (tell, mut told) = mpsc::channel(REPORTS);
    #[cfg(debug_assertions)]
    if super::misbehave::if_asked(request, stream).await {
        return Ok(true);
    }
    let mut job = std::pin::pin!(perform(bench, request, files, tell));
    let mut alive = tokio::time::interval(ALIVE);
    let result = loop {
        tokio::select! {
            result = &mut job => break result,
            Some(progress) = told.recv() => send(stream, &Reply::Progress(progress)).await?,
            _ = alive.tick() => send(stream, &Reply::Alive).await?,
        }
    };
    #[cfg(debug_assertions)]
    let result = super::misbehave::falsified(request, result);
    let sound = !matches!(result, Err(FetchFailure::Worker(_)));
    let reply = result.map_or_else(Reply::Failed, Reply::Done);
    match wire::encode(&reply) {
        Ok(bytes) => stream.write_all(&bytes).await?,
        Err(error) => {
            let fault = WorkerFault::Protocol { what: format!("its answer cannot be sent: {error}") };
            send(stream, &Reply::Failed(fault.into())).await?;
        }
    }
    Ok(sound)
}

async fn send(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    stream.write_all(&wire::encode(reply)?).await
}
