//! What is refused before anything is asked for.

use std::os::unix::fs::PermissionsExt;

use fetchd_fetchers::s3::settings::Settings;
use fetchd_fetchers::{ConfigError, Registry};
use url::Url;

use crate::support::options;

fn read(source: &str, pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    Settings::read(&Url::parse(source).unwrap(), &options(pairs))
}

fn refused(source: &str, pairs: &[(&str, &str)]) -> String {
    let error = read(source, pairs).unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    error.message
}

#[test]
fn a_source_is_a_bucket_and_a_key() {
    let settings = read("s3://releases/web/a%20b/app?region=eu-central-1", &[]).unwrap();
    assert_eq!((settings.bucket(), settings.key()), ("releases", "web/a b/app"));
    assert_eq!(settings.url().as_str(), "s3://releases/web/a%20b/app");
    assert_eq!(read("s3://releases", &[]).unwrap().key(), "");
    assert_eq!(refused("s3:///app", &[]), "the source names no bucket");
    let port = refused("s3://ann:hunter2@releases/app", &[]);
    assert_eq!(port, "the source names a user or a port; a server is named by the option `endpoint`");
    assert_eq!(refused("s3://releases/app#1", &[]), "the source has a `#`");
}

#[test]
fn a_source_to_fetch_from_ends_in_a_name() {
    for source in ["s3://releases", "s3://releases/", "s3://releases/web/"] {
        let error = Registry::builtin().open(&Url::parse(source).unwrap(), &options(&[])).unwrap_err();
        assert!(error.message.ends_with("does not end in the name of an object"), "{error}");
    }
}

#[test]
fn options_come_from_the_url_and_from_the_table_alike() {
    assert!(format!("{:?}", read("s3://b/k?region=one", &[]).unwrap()).contains("one"));
    assert!(format!("{:?}", read("s3://b/k", &[("region", "one")]).unwrap()).contains("one"));
    let twice = refused("s3://b/k?region=one", &[("region", "two")]);
    assert_eq!(twice, "the option `region` is given 2 times, not once");
    assert_eq!(refused("s3://b/k?regoin=one", &[]), "unknown option `regoin`");
}

#[test]
fn secrets_are_refused_in_the_url() {
    for option in ["secret_access_key", "session_token", "proxy"] {
        let message = refused(&format!("s3://b/k?access_key_id=AK&{option}=hunter2"), &[]);
        assert_eq!(message, format!("the option `{option}` stands in the URL, where others can see it"));
    }
}

#[test]
fn secrets_are_not_shown() {
    let given = [
        ("access_key_id", "AKIA-hunter2"),
        ("secret_access_key", "hunter2"),
        ("session_token", "hunter2"),
        ("proxy", "http://ann:hunter2@proxy.example.com:3128"),
    ];
    let settings = read("s3://b/k", &given).unwrap();
    let fetcher = Registry::builtin().open(&Url::parse("s3://b/k").unwrap(), &options(&given)).unwrap();
    assert!(!format!("{settings:?}{fetcher:?}").contains("hunter2"));
}

#[test]
fn values_that_cannot_work_are_refused_by_name() {
    for (option, value, why) in [
        ("endpoint", "s3.example.com", "is not the URL of a server"),
        ("endpoint", "https://ann:hunter2@s3.example.com", "is not the URL of a server"),
        ("endpoint", "https://s3.example.com/?x=hunter2", "is not the URL of a server"),
        ("region", "", "is not the name of a region"),
        ("region", "eu central", "is not the name of a region"),
        ("path_style", "yes", "is neither `true` nor `false`"),
        ("checksums", "never", "is neither `when_supported` nor `when_required`"),
        ("connections", "0", "is not a number from 1 to 16"),
        ("connections", "17", "is not a number from 1 to 16"),
        ("part_size", "8", "is not a size from 64 KiB to 64 MiB"),
        ("part_size", "63KiB", "is not a size from 64 KiB to 64 MiB"),
        ("part_size", "65MiB", "is not a size from 64 KiB to 64 MiB"),
        ("part_size", "99999999999999999999MiB", "is not a size from 64 KiB to 64 MiB"),
        ("timeout", "0s", "is zero"),
        ("read_timeout", "hunter2", "is not a time"),
        ("proxy", "hunter2", "is not the URL of a proxy"),
    ] {
        assert_eq!(refused("s3://b/k", &[(option, value)]), format!("the option `{option}` {why}"));
    }
}

#[test]
fn parts_fit_into_the_memory_of_a_worker() {
    let message = refused("s3://b/k", &[("part_size", "64MiB"), ("connections", "16")]);
    assert_eq!(message, "`part_size` times `connections` is more than 256 MiB, all of it memory");
    assert!(read("s3://b/k", &[("part_size", "64MiB")]).is_ok());
    assert!(read("s3://b/k", &[("part_size", "16MiB"), ("connections", "16")]).is_ok());
}

#[test]
fn an_access_key_is_whole() {
    for part in [&[("access_key_id", "AK")][..], &[("secret_access_key", "hunter2")], &[("session_token", "hunter2")]] {
        assert_eq!(refused("s3://b/k", part), "an access key is given in part");
    }
    let both =
        [("access_key_id", "AK"), ("secret_access_key", "hunter2"), ("secret_access_key_file", "/nowhere/hunter2")];
    assert_eq!(refused("s3://b/k", &both), "both `secret_access_key` and `secret_access_key_file` are given");
    let beside = [("unsigned", "true"), ("access_key_id", "AK"), ("secret_access_key", "hunter2")];
    assert_eq!(refused("s3://b/k", &beside), "`unsigned` is set beside credentials");
}

#[test]
fn files_of_secrets_are_tried_once_and_their_contents_are_not_shown() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = place.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let keys = |path: &str| read("s3://b/k", &[("access_key_id", "AK"), ("secret_access_key_file", path)]);
    assert!(keys(&file("secret", b"hunter2\n")).is_ok());
    for bad in [&b""[..], b"\n", b"hunter2 hunter2", b"\xff\xfe", &[b'x'; 5000]] {
        let error = keys(&file("bad", bad)).unwrap_err();
        assert!(error.message.contains("`secret_access_key_file`") && !error.message.contains("hunter2"), "{error}");
    }
    let absent = keys("/nowhere/hunter2").unwrap_err();
    assert!(absent.message.starts_with("the `secret_access_key_file` cannot be read"), "{absent}");
    // It would be another file to the worker, whose working directory is staging.
    let relative = keys("Cargo.toml").unwrap_err();
    assert_eq!(relative.message, "the option `secret_access_key_file` is not an absolute path");
    let relative = read("s3://b/k", &[("sse_customer_key_file", "Cargo.toml")]).unwrap_err();
    assert_eq!(relative.message, "the option `sse_customer_key_file` is not an absolute path");

    let customer = |bytes: &[u8]| read("s3://b/k", &[("sse_customer_key_file", &file("key", bytes))]);
    assert!(customer(&[7; 32]).is_ok());
    assert!(customer(b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n").is_ok());
    for bad in [&b"short"[..], &[7; 31], &[7; 33], b"MDEyMzQ1\n"] {
        let message = customer(bad).unwrap_err().message;
        assert_eq!(message, "the `sse_customer_key_file` holds neither 32 bytes nor the base64 of 32 bytes");
    }
}
