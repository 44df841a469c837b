//! Options: what they do, and how wrong ones are refused.

use std::fs;
use std::process::Command;

use fetchd_fetchers::conformance::scripted::ScriptedOrigin;
use fetchd_fetchers::{ConfigError, Kind, Options, Registry, Retry};
use url::Url;

use super::{fetcher, offered, options, poll};

fn refused(url: &str, more: &[(&str, &str)]) -> ConfigError {
    Registry::builtin().open(&Url::parse(url).unwrap(), &options(more)).unwrap_err()
}

#[test]
fn headers_come_from_options_and_files() {
    let origin = ScriptedOrigin::start();
    origin.put("/app", "");
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let headers = path("headers", "# comment\n\nX-Two: 2\nX-Three:3\n");
    let basic = path("basic", "ann:pass\n");
    let fetcher =
        fetcher(&origin, "/app", &[("header", "X-One: 1"), ("header_file", &headers), ("basic_file", &basic)]);
    offered(&*fetcher);
    // A token renewed in place is used from the next request on.
    fs::write(&basic, "bob:pass").unwrap();
    offered(&*fetcher);
    let requests = origin.requests();
    assert_eq!(["x-one", "x-two", "x-three"].map(|name| requests[0].header(name)), [Some("1"), Some("2"), Some("3")]);
    assert_eq!(requests[0].header("authorization"), Some("Basic YW5uOnBhc3M="));
    assert_eq!(requests[1].header("authorization"), Some("Basic Ym9iOnBhc3M="));
}

#[test]
fn a_file_of_secrets_that_vanished_is_an_error_without_them() {
    let origin = ScriptedOrigin::start();
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, "hunter2").unwrap();
    let fetcher = fetcher(&origin, "/app", &[("bearer_file", token.to_str().unwrap())]);
    fs::remove_file(&token).unwrap();
    let error = poll(&*fetcher, None).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Kind::Denied, Retry::Soon));
    assert!(error.to_string().contains("the `bearer_file` cannot be read"), "{error}");
    assert!(origin.requests().is_empty());
}

#[test]
fn a_token_in_place_of_its_file_is_not_shown() {
    for option in ["bearer_file", "basic_file", "header_file", "ca_file"] {
        for (path, why) in [("/nowhere/hunter2", "cannot be read"), ("hunter2", "is not an absolute path")] {
            let error = refused("https://example.com/app", &[(option, path)]);
            assert!(error.message.contains(&format!("`{option}` {why}")), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}

/// It would be another file to the worker, whose working directory is staging.
#[test]
fn a_relative_path_is_refused_though_it_could_be_read() {
    for option in ["bearer_file", "basic_file", "header_file", "ca_file"] {
        let error = refused("https://example.com/app", &[(option, "Cargo.toml")]);
        assert_eq!(error.message, format!("the option `{option}` is not an absolute path"));
    }
}

#[test]
fn wrong_options_are_refused_without_their_values() {
    let url = "https://example.com/app";
    let table: &[(&[(&str, &str)], &str)] = &[
        (&[("headers", "X: hunter2")], "unknown option `headers`"),
        (&[("header", "hunter2")], "the option `header` has no `:`"),
        (&[("header", "Na me: hunter2")], "the option `header` has a name that no header can have"),
        (&[("header", "X: hunter2\r\nY: z")], "the option `header` has a value that no header can have"),
        (&[("header", "Range: hunter2")], "the option `header` sets `range`, which fetchd sets itself"),
        (
            &[("header", "Authorization: hunter2"), ("header", "Authorization: b")],
            "the option `header` sets `authorization` a second time",
        ),
        (&[("timeout", "hunter2")], "the option `timeout` is not a time"),
        (&[("read_timeout", "0s")], "the option `read_timeout` is zero"),
        (&[("method", "hunter2")], "the option `method` is neither `get` nor `head`"),
        (&[("user_agent", "a"), ("user_agent", "b")], "the option `user_agent` is given 2 times, not once"),
    ];
    for (given, message) in table {
        let error = refused(url, given);
        assert_eq!(&error.message, message);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn a_proxy_that_is_none_is_refused_without_its_value() {
    for proxy in ["hunter2", "ftp://hunter2@example.com", ""] {
        let options = Options::from([("proxy".to_owned(), vec![proxy.to_owned()])]);
        let url = Url::parse("https://example.com/app").unwrap();
        let error = Registry::builtin().open(&url, &options).unwrap_err();
        assert_eq!(error.message, "the option `proxy` is not the URL of a proxy");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[test]
fn a_suggestion_comes_with_an_unknown_option() {
    let error = refused("https://example.com/app", &[("headr", "")]);
    assert!(error.hint.unwrap().starts_with("did you mean `header`? there are `basic_file`, "));
}

#[test]
fn a_url_that_names_no_file_is_refused() {
    for url in
        ["https://example.com", "https://example.com/dl/", "https://example.com/%ff", "https://example.com/%2e%2e%2fx"]
    {
        let error = refused(url, &[]);
        assert!(error.message.ends_with("does not end in the name of a file"), "{url}: {error}");
    }
}

#[test]
fn a_file_without_certificates_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let path = file.to_str().unwrap();
    assert!(refused("https://example.com/app", &[("ca_file", path)]).message.contains("cannot be read"));
    fs::write(&file, "no certificate").unwrap();
    assert!(refused("https://example.com/app", &[("ca_file", path)]).message.contains("holds no certificate"));
}

#[test]
fn a_configured_proxy_gets_the_request() {
    let proxy = ScriptedOrigin::start();
    proxy.put("http://origin.invalid/app", "app");
    let mut url = proxy.url("");
    url.set_username("ann").unwrap();
    url.set_password(Some("hunter2")).unwrap();
    let options = Options::from([("proxy".to_owned(), vec![url.to_string()])]);
    let fetcher = Registry::builtin().open(&Url::parse("http://origin.invalid/app").unwrap(), &options).unwrap();
    assert_eq!(offered(&*fetcher).assets[0].size, Some(3));
    assert!(proxy.requests()[0].header("proxy-authorization").is_some());
    assert!(!format!("{fetcher:?}").contains("hunter2"));
}

/// The environment belongs to a whole process, so this test runs itself once more in another.
#[test]
fn the_environment_names_a_proxy() {
    const TELLS: &str = "FETCHD_TEST_PROXIED";
    if std::env::var_os(TELLS).is_some() {
        let url = Url::parse("http://origin.invalid/app").unwrap();
        offered(&*Registry::builtin().open(&url, &Options::new()).unwrap());
        return;
    }
    let proxy = ScriptedOrigin::start();
    proxy.put("http://origin.invalid/app", "app");
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "options::the_environment_names_a_proxy"])
        .env(TELLS, "1")
        .env("HTTP_PROXY", proxy.url("").as_str())
        .env("http_proxy", proxy.url("").as_str())
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env_remove("REQUEST_METHOD")
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(proxy.requests()[0].path, "http://origin.invalid/app");
}
