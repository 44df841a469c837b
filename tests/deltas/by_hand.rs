//! `fetchd delta create`, `apply` and `inspect`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use fetchd::digest::Sha256;
use serde_json::Value;

use crate::bench::{FETCHD, ok, program};

fn fetchd(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(FETCHD);
    command.arg("delta").args(arguments).current_dir(directory).env_remove("RUST_LOG").output().unwrap()
}

#[track_caller]
fn refused(output: Output, exit: i32, code: &str) {
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_eq!((output.status.code(), said["error"]["code"].as_str()), (Some(exit), Some(code)), "{output:#?}");
}

#[test]
fn a_delta_is_made_examined_and_applied_by_hand() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let (old, new) = (program("1.0.0"), program("1.1.0"));
    fs::write(here.join("old"), &old).unwrap();
    fs::set_permissions(here.join("old"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(here.join("new"), &new).unwrap();
    let digest = Sha256::of(&new).to_string();
    for format in ["dcz", "fxd-1"] {
        let (patch, out) = (format!("x.{format}"), format!("out.{format}"));
        let made = ok(fetchd(here, &["create", "old", "new", &patch, "--format", format, "--json"]));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        assert_eq!((&made["schema"], &made["format"]), (&1.into(), &format.into()));
        assert_eq!(made["patch"]["size"].as_u64().unwrap(), fs::metadata(here.join(&patch)).unwrap().len());
        let shown: Value = serde_json::from_slice(&ok(fetchd(here, &["inspect", &patch, "--json"])).stdout).unwrap();
        assert_eq!(shown["from_sha256"], Sha256::of(&old).to_string());
        assert_eq!((&shown["new_size"], &shown["sha256"]), (&new.len().into(), &made["patch"]["sha256"]));
        ok(fetchd(here, &["apply", "old", &patch, &out, "--sha256", &digest]));
        assert!(fs::read(here.join(&out)).unwrap() == new);
        assert_eq!(fs::metadata(here.join(&out)).unwrap().permissions().mode() & 0o777, 0o750);

        let again = ["apply", "old", &patch, &out, "--json"];
        refused(fetchd(here, &again), 64, "usage.exists");
        ok(fetchd(here, &[&again[..], &["--force"]].concat()));
        refused(fetchd(here, &["create", "old", "new", &patch, "--json"]), 64, "usage.exists");
        refused(fetchd(here, &["apply", "new", &patch, "no", "--json"]), 23, "delta.old");
        let other = Sha256::of(b"other").to_string();
        refused(fetchd(here, &["apply", "old", &patch, "no", "--sha256", &other, "--json"]), 23, "delta.result");
        refused(fetchd(here, &["apply", "old", &patch, "no", "--max-size", "1KiB", "--json"]), 23, "delta.too_large");
        let mut text = ok(fetchd(here, &["inspect", &patch])).stdout;
        assert!(text.starts_with(patch.as_bytes()) && text.pop() == Some(b'\n'));
    }
    refused(fetchd(here, &["inspect", "old", "--json"]), 23, "delta.format");
    refused(fetchd(here, &["create", "old", "missing", "y", "--json"]), 64, "usage.unreadable");
    let zstd = Command::new("zstd")
        .args(["-q", "-d", "--long=31", "--patch-from=old", "x.dcz", "-o", "theirs"])
        .current_dir(here)
        .output();
    ok(zstd.unwrap());
    assert!(fs::read(here.join("theirs")).unwrap() == new);
    let mut left: Vec<String> =
        fs::read_dir(here).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["new", "old", "out.dcz", "out.fxd-1", "theirs", "x.dcz", "x.fxd-1"]);
}
