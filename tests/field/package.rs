//! The Debian package, as `packaging/deb/build` makes it of the binary under test.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::repository;
use crate::site::{FETCHD, text};

/// Builds it in `dir`; its path.
#[track_caller]
pub(crate) fn build(dir: &Path) -> PathBuf {
    let mut build = Command::new(repository("packaging/deb/build"));
    // The debug build is large, and nobody downloads it.
    let output = build.arg(FETCHD).arg(dir).env("FETCHD_DEB_COMPRESSION", "none").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let built = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    assert_eq!(fs::read_dir(dir).unwrap().count(), 1, "nothing else is left there");
    built
}

#[track_caller]
fn output(program: &str, arguments: &[&Path]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_package_has_every_part_with_the_modes_and_owners_it_should_have() {
    let dir = tempfile::tempdir().unwrap();
    let package = build(dir.path());
    let listed = output("dpkg-deb", &["--contents".as_ref(), &package]);
    let mut paths = BTreeSet::new();
    for line in listed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (mode, owner, path) = (words[0], words[1], words[5].trim_start_matches("./"));
        assert_eq!(owner, "root/root", "{line}");
        let right = match path {
            _ if mode.starts_with('d') => "drwxr-xr-x",
            "usr/bin/fetchd" | "usr/share/doc/fetchd/examples/supervisord/start-or-reload" => "-rwxr-xr-x",
            // No set-user-ID, nothing that others may write, no link out of the package.
            _ => "-rw-r--r--",
        };
        assert_eq!(mode, right, "{line}");
        assert!(path.is_empty() || ["etc/", "usr/"].iter().any(|top| path.starts_with(top)), "{line}");
        paths.insert(path.to_owned());
    }
    for part in [
        "etc/fetchd/example.toml",
        "usr/bin/fetchd",
        "usr/lib/systemd/system/fetchd@.service",
        "usr/lib/sysusers.d/fetchd.conf",
        "usr/lib/tmpfiles.d/fetchd.conf",
        "usr/share/bash-completion/completions/fetchd",
        "usr/share/doc/fetchd/changelog.gz",
        "usr/share/doc/fetchd/copyright",
        "usr/share/doc/fetchd/examples/fetchd@web.socket",
        "usr/share/fish/vendor_completions.d/fetchd.fish",
        "usr/share/man/man1/fetchd.1.gz",
        "usr/share/man/man1/fetchd-run.1.gz",
        "usr/share/zsh/vendor-completions/_fetchd",
    ] {
        assert!(paths.contains(part), "{part} is missing in\n{listed}");
    }
    let field = |name: &str| output("dpkg-deb", &["--field".as_ref(), &package, name.as_ref()]).trim().to_owned();
    assert_eq!((field("Package"), field("Version")), ("fetchd".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
    assert!(field("Depends").contains("libc6 (>= "));
}

#[test]
fn the_package_is_installed_in_a_root_of_its_own_and_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (root, out) = (dir.path().join("root"), dir.path().join("out"));
    fs::create_dir(&out).unwrap();
    let package = build(&out);
    for needed in ["var/lib/dpkg/updates", "var/lib/dpkg/info", "var/log", "bin", "usr"] {
        fs::create_dir_all(root.join(needed)).unwrap();
    }
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let rooted = format!("--root={}", root.display());
    // What it depends on is not in this root, and neither is a shell for its scripts: unpacked, and its scripts read.
    let dpkg = |words: &[&Path]| {
        let mut all: Vec<&Path> = vec![rooted.as_ref(), "--force-depends".as_ref()];
        all.extend(words);
        output("dpkg", &all)
    };
    dpkg(&["--unpack".as_ref(), &package]);
    let binary = root.join("usr/bin/fetchd");
    assert_eq!((fs::metadata(&binary).unwrap().uid(), fs::metadata(&binary).unwrap().mode() & 0o7777), (0, 0o755));
    assert_eq!(output(binary.to_str().unwrap(), &["--version".as_ref()]).trim(), "fetchd 0.1.0");
    let scripts = ["postinst", "postrm"].map(|name| {
        let path = root.join(format!("var/lib/dpkg/info/fetchd.{name}"));
        output("sh", &["-n".as_ref(), &path]);
        fs::read_to_string(path).unwrap()
    });
    for script in scripts {
        for word in ["start", "restart", "enable", "stop", "reload-or-restart"] {
            let commands = script.lines().filter(|line| !line.trim_start().starts_with('#'));
            assert!(!commands.flat_map(str::split_whitespace).any(|found| found == word), "{word} in\n{script}");
        }
    }
    // An operator's change of a conffile survives the next version.
    let conffiles = fs::read_to_string(root.join("var/lib/dpkg/info/fetchd.conffiles")).unwrap();
    assert_eq!(conffiles.lines().collect::<Vec<_>>(), ["/etc/fetchd/example.toml"]);
    // What is shown as an example is one: fetchd itself has nothing against it but the missing program.
    let mut check = Command::new(&binary);
    let checked = check.args(["config", "check", "--config"]).arg(repository("packaging/deb/example.toml")).output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{}", text(&checked));
}
