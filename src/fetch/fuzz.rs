//! What must hold of the worker's messages and of archives whatever the bytes are.

use std::fmt::Debug;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::{self, Reply, Request};
use super::{ExtractJob, extract, measure};
use crate::digest::Sha256;
use crate::trust::Format;

/// What comes over the socket between supervisor and worker, in either direction.
pub fn worker(data: &[u8]) -> bool {
    let asked = messages::<Request>(data);
    let told = messages::<Reply>(data);
    asked || told
}

fn messages<M: Serialize + DeserializeOwned + Debug>(data: &[u8]) -> bool {
    let mut inbox = data.to_vec();
    let (whole, broken) = taken::<M>(&mut inbox);
    // What is left is the end of a message that has not come, or what could not be read.
    assert!(data.ends_with(&inbox));
    // However the bytes are cut, the messages are the same.
    let (mut pieces, mut torn, mut inbox) = (Vec::new(), false, Vec::new());
    for piece in data.chunks(data.first().map_or(1, |byte| usize::from(*byte) + 1)) {
        inbox.extend_from_slice(piece);
        let (more, failed) = taken::<M>(&mut inbox);
        pieces.extend(more);
        torn |= failed;
        if torn {
            break;
        }
    }
    assert_eq!((json(&pieces), torn), (json(&whole), broken), "messages depend on how they are cut");
    for message in &whole {
        let mut bytes = wire::encode(message).expect("what was read can be written");
        let (again, _) = taken::<M>(&mut bytes);
        assert_eq!(json(&again), json(std::slice::from_ref(message)), "a message is read in two ways");
        assert!(bytes.is_empty());
        // Whoever logs it.
        let _ = format!("{message:?}");
    }
    !whole.is_empty()
}

fn taken<M: DeserializeOwned>(inbox: &mut Vec<u8>) -> (Vec<M>, bool) {
    let mut taken = Vec::new();
    loop {
        let before = inbox.len();
        match wire::decode(inbox) {
            Ok(Some(message)) => {
                assert!(inbox.len() < before && before - inbox.len() <= wire::PREFIX + wire::MESSAGE_LIMIT);
                taken.push(message);
            }
            Ok(None) => return (taken, false),
            Err(_) => return (taken, true),
        }
    }
}

fn json<M: Serialize>(messages: &[M]) -> serde_json::Value {
    serde_json::to_value(messages).expect("what was read can be written")
}

/// An artifact, behind three bytes that say how it is packed and what is asked of it.
///
/// The first byte: the format; from 8 on what follows is a tar archive or a binary that is packed
/// here, for a fuzzer does not guess checksums. The second: the entry that is asked for. The third: the
/// size that was signed, in 64 bytes.
pub fn archive(data: &[u8]) -> bool {
    const MOST: u64 = 64 * 1024;
    let &[how, asked, signed, ref bytes @ ..] = data else { return false };
    let formats = [
        Format::Raw,
        Format::Gz,
        Format::Xz,
        Format::Zst,
        Format::TarGz,
        Format::TarXz,
        Format::TarZst,
        Format::Zip,
        Format::TarGz,
        Format::TarZst,
        Format::Gz,
        Format::Xz,
    ];
    let how = usize::from(how) % formats.len();
    let format = formats[how];
    let bytes = if how < 8 { bytes.to_vec() } else { packed(format, bytes) };
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let (artifact, staging) = (dir.path().join("artifact"), dir.path().join("staging"));
    fs::write(&artifact, &bytes).expect("the artifact can be written");
    fs::create_dir(&staging).expect("a directory can be made");
    let names = ["app", "app-1.0/app", "./app", "../app"];
    let job = ExtractJob {
        format,
        entry: (asked & 4 != 0).then(|| names[usize::from(asked) % 4].to_owned()),
        program: (asked & 8 != 0).then(|| "app".to_owned()),
        binary_size: (signed != 0).then(|| u64::from(signed) * 64),
        max_size: MOST,
        artifact: artifact.clone(),
        out: staging.join("out"),
    };
    let extracted = extract(&job);
    let made: Vec<_> = fs::read_dir(&staging).expect("it is there").map(|entry| entry.expect("it is there")).collect();
    let around = fs::read_dir(dir.path()).expect("it is there").count();
    assert_eq!(around, 2, "something was made outside the directory");
    assert_eq!(fs::read(&artifact).expect("it is there"), bytes, "the artifact was changed");
    let Ok(extracted) = extracted else {
        assert!(made.is_empty(), "something is left of what was refused");
        return false;
    };
    assert_eq!(made.len(), 1, "more than the binary was made");
    let found = fs::symlink_metadata(&job.out).expect("it is there");
    assert!(found.is_file() && found.permissions().mode() & 0o7777 == 0o600, "{found:?}");
    assert_eq!(found.len(), extracted.size);
    assert!(extracted.size <= job.binary_size.unwrap_or(MOST), "more was written than may be");
    assert!(job.binary_size.is_none_or(|signed| signed == extracted.size), "another size than the signed one");
    // What a publisher would sign is what a host unpacks.
    if let Ok((sha256, size)) = measure(&artifact, format, job.entry.as_deref()) {
        let out = fs::read(&job.out).expect("it is there");
        assert_eq!((sha256, size), (Sha256::of(&out), extracted.size), "an archive is read in two ways");
    } else {
        assert!(job.entry.is_none() && job.program.is_some(), "a host takes what a publisher is refused");
    }
    true
}

fn packed(format: Format, bytes: &[u8]) -> Vec<u8> {
    let packed = match format {
        Format::TarGz | Format::Gz => {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
            packer.write_all(bytes).and_then(|()| packer.finish())
        }
        Format::Xz => {
            let mut packer = liblzma::write::XzEncoder::new(Vec::new(), 0);
            packer.write_all(bytes).and_then(|()| packer.finish())
        }
        _ => zstd::encode_all(bytes, 1),
    };
    packed.expect("memory can be written")
}
