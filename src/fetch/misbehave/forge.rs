//! Answers that are lies.

use std::fs;
use std::os::unix::fs::{FileExt as _, symlink};
use std::time::Duration;

use fetchd_fetchers::{Asset, AssetName, Kind, Revision};

use crate::digest::Sha256;
use crate::fetch::failure::FetchFailure;
use crate::fetch::job::{DownloadJob, Downloaded, NotReady, PollReply, Progress};
use crate::fetch::wire::{Answer, Reply, Request};
#[cfg(feature = "fleet")]
use crate::fleet::store::What;

/// Whether `mode` falsifies what an honest job brought.
pub(super) fn knows(mode: &str) -> bool {
    ["head", "document", "signature", "release", "assets", "sizes", "control", "revision", "swap", "claim"]
        .contains(&mode)
}

/// The honest result, with one lie in it.
pub(super) fn falsify(
    mode: &str,
    request: &Request,
    result: Result<Answer, FetchFailure>,
) -> Result<Answer, FetchFailure> {
    let mut answer = result?;
    match (&mut answer, request) {
        (Answer::Poll(PollReply::Offers(offered)), _) => {
            let release = &mut offered.release;
            let asset = |name: String| Asset {
                name: AssetName::new(name).unwrap_or(offered.asset.clone()),
                size: Some(u64::MAX),
                digest: None,
                handle: None,
            };
            match mode {
                "document" => {
                    for byte in offered.document.iter_mut().flatten().skip(200).take(1) {
                        *byte ^= 1;
                    }
                }
                "signature" => offered.document = Some(b"{}".to_vec()),
                "release" => {
                    release.label = Some("v99.0.0".to_owned());
                    release.assets = vec![asset("other/app-99.0.0".to_owned())];
                    offered.asset = release.assets[0].name.clone();
                }
                "assets" => release.assets = (0..10_000).map(|number| asset(format!("a{number}"))).collect(),
                "sizes" => release.assets.iter_mut().for_each(|asset| asset.size = Some(u64::MAX)),
                "control" => release.label = Some("v1\u{1b}[2Jroot\n".to_owned()),
                "revision" => release.revision = Revision("x\u{7}".to_owned()),
                _ => {}
            }
        }
        #[cfg(feature = "fleet")]
        (Answer::Store(crate::fleet::store::Reply { what: What::Object { body, .. }, .. }), _) if mode == "head" => {
            let middle = body.len() / 2;
            body[middle..].iter_mut().take(1).for_each(|byte| *byte ^= 1);
        }
        (Answer::Download(downloaded), Request::Download(job)) if mode == "swap" => swap(job, downloaded),
        (Answer::Download(downloaded), _) if mode == "claim" => {
            downloaded.size = u64::MAX;
            downloaded.sha256 = Sha256::of(b"another");
            downloaded.resumed_from = u64::MAX;
            downloaded.elapsed = Duration::MAX;
        }
        _ => {}
    }
    Ok(answer)
}

/// Goes on writing into the file that was handed over, and puts another one in its place, for two seconds.
fn swap(job: &DownloadJob, downloaded: &Downloaded) {
    let (artifact, evil, size) = (job.artifact(), job.staging.join("evil"), downloaded.size);
    let Ok(held) = fs::OpenOptions::new().write(true).open(&artifact) else { return };
    std::thread::spawn(move || {
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            // Some of these fail once the supervisor has taken the file away, which is how it should be.
            let _ = held.write_all_at(b"#!/bin/sh\necho evil\n", size / 2);
            let _ = fs::write(&evil, b"#!/bin/sh\necho evil\n").and_then(|()| fs::rename(&evil, &artifact));
        }
    });
}

/// An answer without a job: `path PATH`, `kind WHAT`, `bytes SIZE-DIFFERENCE`, and others.
pub(super) fn instead(mode: &str, request: &Request) -> Option<Reply> {
    let (word, rest) = mode.split_once(' ').unwrap_or((mode, ""));
    let source = |kind, message: &str, retry_after| {
        Reply::Failed(FetchFailure::Source { kind, message: message.to_owned(), retry_after })
    };
    match (word, request) {
        ("twice", Request::Poll(_)) => return Some(Reply::Done(Answer::Poll(PollReply::Unchanged))),
        ("crossed", Request::Poll(job)) => {
            let _ = job;
            return Some(Reply::Done(Answer::Extract(crate::fetch::job::Extracted { size: 1 })));
        }
        ("terminal", _) => return Some(source(Kind::Other, "a\u{1b}[2Jb\nc\u{9b}d", None)),
        ("never", _) => return Some(source(Kind::Throttled, "later", Some(Duration::MAX))),
        ("lacking", _) => {
            let missing = "a\u{1b}[2J\nb".repeat(100);
            let lacks = NotReady { release: Some("v\u{1b}]0;x\u{7}".to_owned()), missing, shown: Vec::new() };
            return Some(Reply::Done(Answer::Poll(PollReply::NotReady(lacks))));
        }
        ("progress", _) => return Some(Reply::Progress(Progress::Download { bytes: u64::MAX, total: Some(1) })),
        _ => {}
    }
    let Request::Download(job) = request else { return None };
    let artifact = job.artifact();
    let size = job.size.unwrap_or(0);
    let made = match (word, rest) {
        // Nothing lies where it should.
        ("path", _) => Ok(()),
        ("kind", "symlink") => symlink("/etc/passwd", &artifact),
        ("kind", "zero") => symlink("/dev/zero", &artifact),
        ("kind", "hardlink") => fs::hard_link("/etc/passwd", &artifact),
        ("kind", "fifo") => make(&artifact, rustix::fs::FileType::Fifo, 0),
        ("kind", "device") => make(&artifact, rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 5)),
        ("kind", "directory") => fs::create_dir_all(artifact.join("full/of")),
        ("bytes", more) => fs::File::create(&artifact)
            .and_then(|file| file.set_len(size.saturating_add_signed(more.parse().unwrap_or(0)))),
        _ => return None,
    };
    if let Err(error) = made {
        return Some(source(Kind::Other, &format!("refused: {error}"), None));
    }
    let sha256 = job.sha256.unwrap_or(Sha256::of(b""));
    let path = if word == "path" { rest.into() } else { artifact };
    Some(Reply::Done(Answer::Download(Downloaded { path, size, sha256, resumed_from: 0, elapsed: Duration::ZERO })))
}

fn make(path: &std::path::Path, kind: rustix::fs::FileType, device: u64) -> std::io::Result<()> {
    Ok(rustix::fs::mknodat(rustix::fs::CWD, path, kind, rustix::fs::Mode::from_raw_mode(0o644), device)?)
}
