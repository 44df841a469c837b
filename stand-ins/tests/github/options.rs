//! The source's URL and its options: what they do, and how wrong ones are refused.

use std::process::Command;

use fetchd_fetchers::{Options, Registry};
use url::Url;

use super::{fetcher, github, offered, options, refused, tag};

#[test]
fn options_come_from_the_query_and_from_options_alike() {
    let github = github();
    github.release("fetchd/app", "v2.0.0-rc.1").prerelease().publish();
    let mut source = github.source("fetchd/app");
    assert_eq!(tag(&*fetcher(&github, &[("channel", "prerelease")])), "v2.0.0-rc.1");
    source.query_pairs_mut().append_pair("channel", "prerelease");
    let fetcher = Registry::builtin().open(&source, &options(&[])).unwrap();
    assert_eq!(tag(&*fetcher), "v2.0.0-rc.1");
    assert_eq!(github.requests().len(), 2);
}

#[test]
fn a_source_is_an_owner_and_a_repository() {
    for source in ["github://owner/repo", "github://Owner_1/Re.po-1_x/", "github://o/r?tag=v*"] {
        assert!(Registry::builtin().open(&Url::parse(source).unwrap(), &options(&[])).is_ok(), "{source}");
    }
    let table = [
        ("github:owner/repo", "names no owner"),
        ("github:///repo", "names no owner"),
        ("github://owner:443/repo", "names no owner"),
        ("github://owner", "names a repository that GitHub cannot have"),
        ("github://owner/", "names a repository that GitHub cannot have"),
        ("github://owner/..", "names a repository that GitHub cannot have"),
        ("github://owner/re%2Fpo", "names a repository that GitHub cannot have"),
        ("github://owner/re%20po", "names a repository that GitHub cannot have"),
        ("github://owner/repo.git", "ends in `.git`, which is not part of the name"),
        ("github://owner/repo/releases/tag/v1", "has more than an owner and a repository"),
        ("github://owner/repo//", "has more than an owner and a repository"),
        ("github://github.com/owner/repo", "has more than an owner and a repository"),
        ("github://-owner/repo", "names an owner that GitHub cannot have"),
        ("github://ow%2Fner/repo", "names an owner that GitHub cannot have"),
        ("github://owner/repo#v1", "has a `#`, which means nothing here"),
    ];
    for (source, message) in table {
        let error = refused(source, &[]);
        assert!(error.message.ends_with(message), "{source}: {error}");
        assert_eq!(error.hint.as_deref(), Some("a source looks like `github://owner/repository`"));
    }
}

#[test]
fn the_owner_keeps_its_case() {
    let github = github();
    github.release("FetchD/App", "v1.0.0").publish();
    let fetcher = Registry::builtin().open(&github.source("FetchD/App"), &options(&[])).unwrap();
    offered(&*fetcher);
    assert_eq!(github.requests()[0].path, "/repos/FetchD/App/releases/latest");
}

#[test]
fn wrong_options_are_refused_without_their_values() {
    let table: &[(&[(&str, &str)], &str)] = &[
        (&[("tags", "hunter2")], "unknown option `tags`"),
        (&[("token", "hunter2")], "unknown option `token`: a token is not an option"),
        (&[("channel", "hunter2")], "the option `channel` is neither `stable` nor `prerelease`"),
        (&[("tag", "hunter2{vers}")], "the option `tag` has a brace that is not of one `{version}`"),
        (&[("tag", "")], "the option `tag` is not a tag of 1 to 255 bytes"),
        (&[("api", "hunter2")], "the option `api` is not a URL"),
        (&[("api", "ftp://hunter2")], "the option `api` is neither `http:` nor `https:`"),
        (&[("api", "https://hunter2@ghes.example.com")], "the option `api` is more than a host and a path"),
        (&[("api", "https://ghes.example.com/?hunter2")], "the option `api` is more than a host and a path"),
        (&[("api", "https://github.com/hunter2")], "the option `api` is the site, not the API"),
        (&[("timeout", "hunter2")], "the option `timeout` is not a time"),
        (&[("read_timeout", "0s")], "the option `read_timeout` is zero"),
        (&[("channel", "stable"), ("channel", "hunter2")], "the option `channel` is given 2 times, not once"),
    ];
    for (given, message) in table {
        let error = refused("github://owner/repo", given);
        assert_eq!(&error.message, message);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let hint = refused("github://owner/repo", &[("tags", "")]).hint.unwrap();
    assert!(hint.starts_with("did you mean `tag`? there are `api`, `ca_file`, "), "{hint}");
}

#[test]
fn secrets_do_not_belong_into_the_source() {
    for source in [
        "github://hunter2@owner/repo",
        "github://a:hunter2@owner/repo",
        "github://owner/repo?token=hunter2",
        "github://owner/repo?proxy=http%3A%2F%2Fann%3Ahunter2%40proxy.example.com",
        "github://owner/repo?access_token=hunter2",
    ] {
        let error = Registry::builtin().open(&Url::parse(source).unwrap(), &Options::new()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn a_token_in_place_of_its_file_is_not_shown() {
    for (path, why) in [
        ("/nowhere/hunter2", "the `token_file` cannot be read"),
        ("hunter2", "the option `token_file` is not an absolute path"),
    ] {
        let error = refused("github://owner/repo", &[("token_file", path)]);
        assert!(error.message.starts_with(why), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let (_directory, empty) = super::token_file("");
    let error = refused("github://owner/repo", &[("token_file", &empty)]);
    assert_eq!(error.message, "the `token_file` holds no token: one word is needed");
}

/// It would be another file to the worker, whose working directory is staging.
#[test]
fn a_relative_path_is_refused_though_it_could_be_read() {
    for option in ["token_file", "ca_file"] {
        let error = refused("github://owner/repo", &[(option, "Cargo.toml")]);
        assert_eq!(error.message, format!("the option `{option}` is not an absolute path"));
    }
}

/// The environment belongs to a whole process, so this test runs itself once more in another.
#[test]
fn the_environment_holds_a_token() {
    const API: &str = "FETCHD_TEST_API";
    if let Ok(api) = std::env::var(API) {
        let options = Options::from([("proxy".to_owned(), vec!["none".to_owned()]), ("api".to_owned(), vec![api])]);
        let fetcher = Registry::builtin().open(&Url::parse("github://fetchd/app").unwrap(), &options).unwrap();
        offered(&*fetcher);
        assert!(!format!("{fetcher:?}").contains("hunter2"));
        return;
    }
    let github = github();
    github.make_private("fetchd/app");
    github.token("hunter2");
    for (set, unset) in [("GITHUB_TOKEN", "GH_TOKEN"), ("GH_TOKEN", "GITHUB_TOKEN")] {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "options::the_environment_holds_a_token"])
            .env(API, github.api().as_str())
            .env(set, "hunter2")
            .env_remove(unset)
            .status()
            .unwrap();
        assert!(status.success());
    }
    assert_eq!(github.requests().len(), 2);
}
