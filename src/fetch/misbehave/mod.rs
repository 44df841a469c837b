//! A worker's failures on demand, for tests of the supervisor's side; only in builds with debug
//! assertions.
//!
//! `FETCHD_TEST_WORKER=MODE` fails at every job. `FETCHD_TEST_WORKER_FILE` names a file with
//! `MODE@PHASE` (`poll`, `sibling`, `download`, `extract`, `patch`, `store`) for one failure: the job that fails removes it first.
//! Some modes have words after them. With `pause@mapped` in it a worker that applies a delta removes the file when it has its
//! files before it, and goes on when there is one of that name again: meanwhile something can be done to them.

mod escape;
mod forge;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use super::failure::FetchFailure;
use super::wire::{Answer, Reply, Request, encode};

/// What an honest job brought, falsified if that was asked for.
pub(super) fn falsified(request: &Request, result: Result<Answer, FetchFailure>) -> Result<Answer, FetchFailure> {
    match asked(request, forge::knows) {
        Some(mode) => forge::falsify(&mode, request, result),
        None => result,
    }
}

/// The one failure that happens inside a job.
#[allow(clippy::panic, reason = "that is what was asked for")]
pub(super) fn panic_if_asked(request: &Request) {
    if asked(request, |mode| mode == "panic").is_some() {
        panic!("asked to panic");
    }
}

/// Every other failure, at the start of a job. `true` if the job has got its answer with that.
#[allow(clippy::panic, reason = "that is what was asked for")]
pub(super) async fn if_asked(request: &Request, stream: &mut UnixStream) -> bool {
    let Some(mode) = asked(request, |mode| mode != "panic" && !forge::knows(mode)) else { return false };
    let say = |reply: &Reply| encode(reply).unwrap_or_default();
    match mode.as_str() {
        "crash" => panic!("asked to crash"),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(3),
        "hang" => loop {
            std::thread::park();
        },
        "oom" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![1_u8; 1 << 20]);
            }
        }
        "garbage" => {
            // A write that fails finds the supervisor gone, which is fine too.
            let _ = stream.write_all(&[b'x'; 4096]).await;
            std::future::pending().await
        }
        "flood" => {
            let alive = encode(&Reply::Alive).unwrap_or_default();
            while stream.write_all(&alive).await.is_ok() {}
        }
        "half" => {
            let whole = say(&Reply::Failed(FetchFailure::Stopped));
            let _ = stream.write_all(&whole[..whole.len() / 2]).await;
            loop {
                std::thread::park();
            }
        }
        "length" => {
            let _ = stream.write_all(&(2_u32 << 30).to_be_bytes()).await;
            std::future::pending().await
        }
        "again" => {
            let _ = stream.write_all(&say(&Reply::Confined(Default::default()))).await;
            std::future::pending().await
        }
        "close" => {
            let _ = stream.shutdown().await;
            std::future::pending().await
        }
        _ => {
            if let Some(reply) = forge::instead(&mode, request).or_else(|| escape::tried(&mode, request)) {
                let _ = stream.write_all(&say(&reply)).await;
                if mode == "twice" {
                    let _ = stream.write_all(&say(&reply)).await;
                }
                return mode != "progress";
            }
        }
    }
    false
}

/// Stops at `place` if that was asked for.
#[cfg(feature = "deltas")]
pub(super) fn pause(place: &str) {
    let Some(file) = std::env::var_os("FETCHD_TEST_WORKER_FILE").map(std::path::PathBuf::from) else { return };
    let wanted = std::fs::read_to_string(&file).is_ok_and(|text| text == format!("pause@{place}"));
    if wanted && std::fs::remove_file(&file).is_ok() {
        while !file.exists() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

/// How to fail at this job, if it is one of the ways that `ours` knows.
fn asked(request: &Request, ours: impl Fn(&str) -> bool) -> Option<String> {
    if let Some(mode) = std::env::var("FETCHD_TEST_WORKER").ok().filter(|mode| ours(mode)) {
        return Some(mode);
    }
    let file = std::env::var_os("FETCHD_TEST_WORKER_FILE")?;
    let text = std::fs::read_to_string(&file).ok()?;
    let (mode, phase) = text.split_once('@')?;
    let now = match request {
        Request::Poll(_) => "poll",
        Request::Sibling(_) => "sibling",
        Request::Download(_) => "download",
        Request::Extract(_) => "extract",
        #[cfg(feature = "deltas")]
        Request::Patch(_) => "patch",
        #[cfg(feature = "fleet")]
        Request::Store(_) => "store",
    };
    let wanted = phase == now && ours(mode);
    (wanted && std::fs::remove_file(&file).is_ok()).then(|| mode.to_owned())
}
