use fetchd_fetchers::Revision;

use super::*;
use crate::digest::Sha256;

const LINUX: &str = "x86_64-unknown-linux-gnu";
const ARM: &str = "aarch64-unknown-linux-gnu";
const MUSL: &str = "x86_64-unknown-linux-musl";
const MAC: &str = "aarch64-apple-darwin";

/// As cargo-dist names what it makes.
const CARGO_DIST: &[&str] = &[
    "app-aarch64-apple-darwin.tar.xz",
    "app-aarch64-apple-darwin.tar.xz.sha256",
    "app-aarch64-unknown-linux-gnu.tar.xz",
    "app-installer.ps1",
    "app-installer.sh",
    "app-x86_64-apple-darwin.tar.xz",
    "app-x86_64-pc-windows-msvc.msi",
    "app-x86_64-pc-windows-msvc.zip",
    "app-x86_64-unknown-linux-gnu.tar.xz",
    "app-x86_64-unknown-linux-gnu.tar.xz.minisig",
    "app-x86_64-unknown-linux-gnu.tar.xz.sha256",
    "app-x86_64-unknown-linux-musl.tar.xz",
    "app.rb",
    "dist-manifest.json",
    "sha256.sum",
    "source.tar.gz",
    "source.tar.gz.sha256",
];

/// As GoReleaser does, by default and as many projects tell it to.
const GO_RELEASER: &[&str] = &[
    "app_1.4.2_checksums.txt",
    "app_1.4.2_darwin_all.tar.gz",
    "app_1.4.2_linux_386.tar.gz",
    "app_1.4.2_linux_amd64.deb",
    "app_1.4.2_linux_amd64.rpm",
    "app_1.4.2_linux_amd64.tar.gz",
    "app_1.4.2_linux_amd64.tar.gz.sbom.json",
    "app_1.4.2_linux_arm64.tar.gz",
    "app_1.4.2_linux_armv6.tar.gz",
    "app_1.4.2_windows_amd64.zip",
];
const GO_RELEASER_UNAME: &[&str] = &[
    "app_Darwin_arm64.tar.gz",
    "app_Darwin_x86_64.tar.gz",
    "app_Linux_arm64.tar.gz",
    "app_Linux_i386.tar.gz",
    "app_Linux_x86_64.tar.gz",
    "app_Windows_x86_64.zip",
    "checksums.txt",
];
/// As fetchd publishes.
const OWN: &[&str] = &[
    "SHA256SUMS",
    "app-1.4.2-aarch64-unknown-linux-gnu",
    "app-1.4.2-aarch64-unknown-linux-gnu.minisig",
    "app-1.4.2-x86_64-unknown-linux-gnu",
    "app-1.4.2-x86_64-unknown-linux-gnu.minisig",
];

fn release(names: &[&str]) -> Release {
    let asset = |name: &&str| Asset { name: AssetName::new(*name).unwrap(), size: None, digest: None, handle: None };
    let assets = names.iter().map(asset).collect();
    Release { revision: Revision("1".to_owned()), label: Some("v1.4.2".to_owned()), assets, document: None }
}

fn meant(target: &str, pattern: Option<&str>) -> Meant {
    Meant {
        product: "app".to_owned(),
        channel: "stable".to_owned(),
        target: target.to_owned(),
        pattern: pattern.map(|text| text.parse().unwrap()),
    }
}

fn chosen(target: &str, names: &[&str]) -> Result<String, NoChoice> {
    meant(target, None).artifact(&release(names)).map(String::from)
}

#[test]
fn names_of_release_tools_are_read() {
    let table = [
        (LINUX, CARGO_DIST, "app-x86_64-unknown-linux-gnu.tar.xz"),
        (MUSL, CARGO_DIST, "app-x86_64-unknown-linux-musl.tar.xz"),
        (ARM, CARGO_DIST, "app-aarch64-unknown-linux-gnu.tar.xz"),
        (MAC, CARGO_DIST, "app-aarch64-apple-darwin.tar.xz"),
        (LINUX, GO_RELEASER, "app_1.4.2_linux_amd64.tar.gz"),
        (MUSL, GO_RELEASER, "app_1.4.2_linux_amd64.tar.gz"),
        (ARM, GO_RELEASER, "app_1.4.2_linux_arm64.tar.gz"),
        ("i686-unknown-linux-gnu", GO_RELEASER, "app_1.4.2_linux_386.tar.gz"),
        ("armv7-unknown-linux-gnueabihf", GO_RELEASER, "app_1.4.2_linux_armv6.tar.gz"),
        (LINUX, GO_RELEASER_UNAME, "app_Linux_x86_64.tar.gz"),
        (MAC, GO_RELEASER_UNAME, "app_Darwin_arm64.tar.gz"),
        (LINUX, OWN, "app-1.4.2-x86_64-unknown-linux-gnu"),
        (ARM, OWN, "app-1.4.2-aarch64-unknown-linux-gnu"),
    ];
    for (target, names, expected) in table {
        assert_eq!(chosen(target, names).as_deref(), Ok(expected), "{target}");
    }
}

#[test]
fn another_machines_asset_is_never_taken() {
    assert_eq!(chosen("riscv64gc-unknown-linux-gnu", CARGO_DIST), Err(NoChoice::None));
    assert_eq!(chosen("x86_64-unknown-freebsd", GO_RELEASER), Err(NoChoice::None));
    assert_eq!(chosen(LINUX, &["app-linux-arm64", "app-windows-amd64", "app-android-x86_64"]), Err(NoChoice::None));
    assert_eq!(chosen(MUSL, &["app-x86_64-unknown-linux-gnu"]), Err(NoChoice::None));
    assert_eq!(chosen(LINUX, &[]), Err(NoChoice::None));
}

#[test]
fn a_static_binary_serves_where_there_is_none_for_glibc() {
    assert_eq!(chosen(LINUX, &["app-x86_64-unknown-linux-musl"]).unwrap(), "app-x86_64-unknown-linux-musl");
    let both = ["app-x86_64-unknown-linux-musl", "app-linux-amd64"];
    assert_eq!(chosen(LINUX, &both).unwrap(), "app-linux-amd64");
}

#[test]
fn of_several_programs_the_products_own_is_taken() {
    let names = ["app-cli-linux-amd64", "app-linux-amd64", "app-debuginfo-linux-amd64", "tool-linux-amd64"];
    assert_eq!(chosen(LINUX, &names).unwrap(), "app-linux-amd64");
    assert_eq!(chosen(LINUX, &["app", "app.minisig", "LICENSE", "README.md"]).unwrap(), "app");
}

#[test]
fn several_matches_are_an_error_that_lists_them() {
    let names = ["app-linux-amd64-full.tar.gz", "app-linux-amd64-lite.tar.gz"];
    let Err(NoChoice::Several(several)) = chosen(LINUX, &names) else { panic!() };
    assert_eq!(several.iter().map(AssetName::as_str).collect::<Vec<_>>(), names);
}

#[test]
fn one_file_packed_in_several_ways_is_one_choice() {
    let names = ["app-linux-amd64.tar.gz", "app-linux-amd64.tar.xz", "app-linux-amd64.zip", "app-linux-amd64"];
    assert_eq!(chosen(LINUX, &names).unwrap(), "app-linux-amd64.tar.xz");
}

#[test]
fn a_pattern_says_which_it_is() {
    let table = [
        ("app-{target}.tar.xz", CARGO_DIST, "app-x86_64-unknown-linux-gnu.tar.xz"),
        ("{name}_{version}_{os}_{arch}.tar.gz", GO_RELEASER, "app_1.4.2_linux_amd64.tar.gz"),
        ("{name}_{os}_{arch}.*", GO_RELEASER_UNAME, "app_Linux_x86_64.tar.gz"),
        ("*_amd64.deb", GO_RELEASER, "app_1.4.2_linux_amd64.deb"),
        ("app-*-{target}", OWN, "app-1.4.2-x86_64-unknown-linux-gnu"),
        ("app-{version}-x86_64*gnu*", OWN, "app-1.4.2-x86_64-unknown-linux-gnu"),
    ];
    for (pattern, names, expected) in table {
        let found = meant(LINUX, Some(pattern)).artifact(&release(names));
        assert_eq!(found.map(String::from).as_deref(), Ok(expected), "{pattern}");
    }
    let missing = meant(LINUX, Some("other-{target}")).artifact(&release(OWN));
    assert_eq!(missing, Err(NoChoice::None));
    let Err(NoChoice::Several(several)) = meant(LINUX, Some("app*")).artifact(&release(CARGO_DIST)) else { panic!() };
    assert!(several.len() > 5, "{several:?}");
}

#[test]
fn a_pattern_can_name_a_bundle() {
    let listed = release(&["app-stable.fetchd", "app-beta.fetchd", "app-linux-amd64"]);
    let found = meant(LINUX, Some("app-stable.fetchd")).bundle(&listed);
    assert_eq!(found.map(String::from).as_deref(), Ok("app-stable.fetchd"));
    let artifact = meant(LINUX, Some("app-*")).artifact(&listed);
    assert_eq!(artifact.map(String::from).as_deref(), Ok("app-linux-amd64"));
}

#[test]
fn a_product_may_be_called_after_a_system_or_a_processor() {
    for product in ["mac-tools", "win", "arm-server", "linux-musl-kit"] {
        let meant = Meant { product: product.to_owned(), ..meant(LINUX, None) };
        let names = [format!("{product}-1.4.2-x86_64-unknown-linux-gnu"), format!("{product}-aarch64-apple-darwin")];
        let listed = release(&[&names[0], &names[1]]);
        assert_eq!(meant.artifact(&listed).map(String::from), Ok(names[0].clone()));
        assert_eq!(
            Meant { target: MAC.to_owned(), ..meant.clone() }.artifact(&listed).map(String::from),
            Ok(names[1].clone())
        );
    }
}

#[test]
fn a_pattern_for_glibc_takes_musl_second() {
    let musl = meant(LINUX, Some("app-{target}.tar.gz")).artifact(&release(&["app-x86_64-unknown-linux-musl.tar.gz"]));
    assert_eq!(musl.unwrap().as_str(), "app-x86_64-unknown-linux-musl.tar.gz");
    let both = release(&["app-x86_64-unknown-linux-musl.tar.gz", "app-x86_64-unknown-linux-gnu.tar.gz"]);
    let gnu = meant(LINUX, Some("app-{target}.tar.gz")).artifact(&both);
    assert_eq!(gnu.unwrap().as_str(), "app-x86_64-unknown-linux-gnu.tar.gz");
}

#[test]
fn a_bad_pattern_says_why() {
    let bad = |text: &str| text.parse::<AssetPattern>().unwrap_err().to_string();
    assert_eq!(
        bad("app-{triple}"),
        "`app-{triple}` is not an asset pattern: there are {target}, {os}, {arch}, {version} and {name}"
    );
    for text in ["", "app-}", "{", &"*a".repeat(20)] {
        assert!(text.parse::<AssetPattern>().is_err(), "{text}");
    }
}

#[test]
fn a_pattern_is_matched_in_bounded_time() {
    let name = "a".repeat(512);
    let pattern = "*a*a*a*a*a*a*a*a*ab".parse::<AssetPattern>().unwrap();
    let begun = std::time::Instant::now();
    assert!(!pattern.matches(&name, "app", LINUX, None));
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn checksum_files_are_read_in_every_usual_form() {
    let digest = Sha256::of(b"x");
    let other = Sha256::of(b"y");
    let asset = AssetName::new("app-linux").unwrap();
    let read = |name: &str, text: &str| {
        let sums = sums_of(&release(&["app-linux", name]), &asset).unwrap();
        assert_eq!(sums.name.as_str(), name);
        sums.digest(text.as_bytes(), &asset)
    };
    let upper = digest.to_string().to_uppercase();
    for text in [
        format!("{other}  app-darwin\n{digest}  app-linux\n"),
        format!("{digest} *app-linux"),
        format!("{upper}  ./app-linux\r\n"),
        format!("SHA256 (app-linux) = {digest}\n"),
        format!("{digest}  app-linux\n{digest}  app-linux\n"),
    ] {
        assert_eq!(read("SHA256SUMS", &text), Some(digest), "{text}");
    }
    for text in [
        String::new(),
        format!("{digest}  app-linux2"),
        format!("{digest}  app-linux\n{other}  app-linux"),
        digest.to_string(),
    ] {
        assert_eq!(read("app_1.0_checksums.txt", &text), None, "{text}");
    }
    assert_eq!(read("app-linux.sha256", &digest.to_string()), Some(digest));
    assert_eq!(sums_of(&release(&["app-linux", "notes.txt"]), &asset), None);
}
