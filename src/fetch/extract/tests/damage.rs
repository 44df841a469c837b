use super::*;

#[test]
fn whatever_is_cut_off_is_refused() {
    let bench = Bench::new();
    let noise: Vec<u8> = (0..20_000_u32).flat_map(|n| Sha256::of(&n.to_le_bytes()).0).collect();
    let archive = tar(&[member(b"app", b'0', &noise)]);
    for format in [Format::Gz, Format::Xz, Format::Zst, Format::TarGz, Format::TarXz, Format::TarZst] {
        let inner = if matches!(format, Format::Gz | Format::Xz | Format::Zst) { &noise } else { &archive };
        let artifact = packed(format, inner);
        for keep in [0, 5, 20, artifact.len() / 2, artifact.len() - 5, artifact.len() - 1] {
            assert_eq!(bench.code(format, None, &artifact[..keep]), "archive.damaged", "{format:?} at {keep}");
        }
    }
    for keep in [100, 600, 100_000] {
        assert_eq!(bench.code(Format::TarGz, None, &gz(&archive[..keep])), "archive.damaged", "at {keep}");
    }
    let archive = zipped(&[("app", &noise, 0o755)]);
    for keep in [0, 100, archive.len() / 2, archive.len() - 30, archive.len() - 1] {
        assert_eq!(bench.unpack(Format::Zip, None, &archive[..keep]).unwrap_err().exit(), Exit::Content, "at {keep}");
    }
}

#[test]
fn a_flipped_byte_is_noticed() {
    let bench = Bench::new();
    let noise: Vec<u8> = (0..1000_u32).flat_map(|n| Sha256::of(&n.to_le_bytes()).0).collect();
    for format in [Format::Gz, Format::Xz] {
        let mut artifact = packed(format, &noise);
        let middle = artifact.len() / 2;
        artifact[middle] ^= 1;
        assert_eq!(bench.code(format, None, &artifact), "archive.damaged", "{format:?}");
    }
    let mut artifact = zipped(&[("app", &noise, 0o755)]);
    let middle = artifact.len() / 2;
    artifact[middle] ^= 1;
    assert_eq!(bench.code(Format::Zip, None, &artifact), "archive.damaged");
}

#[test]
fn damage_anywhere_ends_in_a_failure_or_within_the_limit() {
    let bench = Bench::new();
    let noise: Vec<u8> = (0..100_u32).flat_map(|n| Sha256::of(&n.to_le_bytes()).0).collect();
    let archive = tar(&[pax(b'x', &[("path", b"bin/app")]), member(b"app", b'0', &noise)]);
    let mut random = 1_u64;
    let mut next = move |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for format in [Format::Gz, Format::Xz, Format::Zst, Format::TarGz, Format::TarXz, Format::TarZst, Format::Zip] {
        let whole = match format {
            Format::Zip => zipped(&[("bin/app", &noise, 0o755)]),
            Format::Gz | Format::Xz | Format::Zst => packed(format, &noise),
            _ => packed(format, &archive),
        };
        for _ in 0..150 {
            let mut artifact = if next(2) == 0 { whole.clone() } else { packed(Format::Gz, &archive) };
            for _ in 0..=next(4) {
                let at = next(artifact.len());
                artifact[at] = next(256) as u8;
            }
            artifact.truncate(artifact.len() - next(2) * next(artifact.len()));
            let job = ExtractJob { max_size: noise.len() as u64, ..bench.job(format, &artifact) };
            match extract(&job) {
                Ok(extracted) => {
                    assert!(extracted.size <= job.max_size);
                    fs::remove_file(&job.out).unwrap();
                }
                Err(failure) => assert_eq!((failure.exit(), job.out.exists()), (Exit::Content, false), "{failure}"),
            }
        }
    }
}

#[test]
fn damage_inside_of_a_tar_archive_ends_in_a_failure_or_within_the_limit() {
    let archive = tar(&[pax(b'x', &[("path", b"bin/app")]), member(b"app", b'0', BINARY)]);
    for at in 0..archive.len() {
        for byte in [0, b'7', 0xff] {
            let mut damaged = archive.clone();
            damaged[at] = byte;
            let mut tar = &damaged[..];
            let stop = AtomicBool::new(false);
            let mut quota = Quota::new(BINARY.len() as u64, 1 << 20, &stop);
            let mut out = Vec::new();
            let result = crate::fetch::extract::tar::unpack(&mut tar, Which::Only, &mut out, &mut quota);
            assert!(out.len() <= BINARY.len());
            assert!(result.is_err_and(|e| e.exit() == Exit::Content) || out.len() == BINARY.len(), "{byte} at {at}");
        }
    }
}
