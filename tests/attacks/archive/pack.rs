//! Packed artifacts: a release whose artifact is an archive, and compressed streams, honest ones and bombs.

use std::io::Write as _;

use fetchd::digest::Sha256;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};

use crate::maker::{Maker, POINTER, SEQ, TARGET, artifact_name, binding, program};
use crate::table::Files;

/// The version of every packed release.
pub const VERSION: &str = "1.1.0";

/// The binary that is signed, and that a reader who is fooled would find.
pub fn binary() -> Vec<u8> {
    program(VERSION)
}

/// A release whose artifact is `bytes`, in `format`, with the binary at `entry`.
pub fn release(maker: &Maker, format: &str, entry: Option<&str>, bytes: Vec<u8>) -> Files {
    let name = format!("{}.{format}", artifact_name(VERSION));
    let mut files = maker.with(SEQ, VERSION, |manifest| {
        let artifact = &mut manifest["releases"][0]["artifacts"][0];
        artifact["urls"][0] = name.clone().into();
        artifact["format"] = format.into();
        artifact["entry"] = entry.into();
        artifact["size"] = bytes.len().into();
        artifact["sha256"] = Sha256::of(&bytes).to_string().into();
    });
    files.retain(|file, _| file == POINTER);
    files.insert(name, bytes);
    files
}

/// The same in artifact mode, where nothing is said of the binary inside.
pub fn bound(maker: &Maker, format: &str, bytes: Vec<u8>) -> (String, Files) {
    let name = format!("{}.{format}", artifact_name(VERSION));
    let plain = binding(VERSION);
    let fields = plain.split('\t').map(|field| match field.split(':').next().unwrap() {
        "file" => format!("file:{name}"),
        "size" => format!("size:{}", bytes.len()),
        _ => field.to_owned(),
    });
    let comment: Vec<String> = fields.collect();
    assert!(comment.contains(&format!("target:{TARGET}")));
    let signature = maker.publisher.sign(&bytes, &comment.join("\t"));
    let files = Files::from([(format!("{name}.minisig"), signature.into_bytes()), (name.clone(), bytes)]);
    (name, files)
}

/// The checksum of gzip and zip.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Stored, not compressed: the same bytes whatever the version of the library.
pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Blocks of raw bytes in a frame, without a checksum.
pub fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut frame = ZST.to_vec();
    let last = bytes.chunks(ZST_BLOCK as usize).count();
    for (number, block) in bytes.chunks(ZST_BLOCK as usize).enumerate() {
        frame.extend(zst_block(number + 1 == last, 0, block.len() as u32));
        frame.extend(block);
    }
    frame
}

/// A frame that unpacks to `size` zeros after `head`.
pub fn zst_bomb(head: &[u8], size: u64) -> Vec<u8> {
    let mut frame = ZST.to_vec();
    if !head.is_empty() {
        frame.extend(zst_block(false, 0, head.len() as u32));
        frame.extend(head);
    }
    for _ in 0..size / u64::from(ZST_BLOCK) {
        frame.extend(zst_block(false, 1, ZST_BLOCK));
        frame.push(0);
    }
    frame.extend(zst_block(true, 0, 0));
    frame
}

/// The magic number, and a window of 128 KiB.
const ZST: &[u8] = b"\x28\xb5\x2f\xfd\x00\x38";
const ZST_BLOCK: u32 = 128 << 10;

/// `kind` 0: raw bytes, 1: one byte so many times.
fn zst_block(last: bool, kind: u32, size: u32) -> [u8; 3] {
    let header = (u32::from(last) | kind << 1 | size << 3).to_le_bytes();
    [header[0], header[1], header[2]]
}

/// A gzip stream that unpacks to `mib` MiB of zeros, a thousand times its size. Its checksum is wrong: whoever gets to
/// that has been fooled long before.
pub fn gz_bomb(mib: usize) -> Vec<u8> {
    let mut all = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    all.extend(deflated_zeros(mib));
    all.extend([0; 8]);
    all
}

/// `mib` MiB of zeros, deflated: one MiB of them, which stands alone, again and again.
pub fn deflated_zeros(mib: usize) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    // A sync flush ends at a whole byte.
    encoder.flush().unwrap();
    let mut all = encoder.get_ref().repeat(mib);
    all.extend([3, 0]);
    all
}
