//! Which release is polled: channels, tags and patterns.

use fetchd_fetchers::Kind;
use fetchd_stand_ins::github::GitHub;

use super::{APP, fetcher, offered, poll, tag, unchanged};

fn with(tags: &[&str], prereleases: &[&str]) -> GitHub {
    let github = GitHub::start();
    for tag in tags {
        github.release("fetchd/app", tag).asset("app", APP).publish();
    }
    for tag in prereleases {
        github.release("fetchd/app", tag).prerelease().asset("app", APP).publish();
    }
    github
}

#[test]
fn the_stable_channel_is_what_github_calls_the_latest() {
    let github = with(&["v2.0.0", "v1.9.1"], &["v3.0.0-rc.1"]);
    assert_eq!(tag(&*fetcher(&github, &[])), "v1.9.1");
    assert_eq!(tag(&*fetcher(&github, &[("channel", "stable")])), "v1.9.1");
    assert_eq!(github.requests()[0].path, "/repos/fetchd/app/releases/latest");
}

#[test]
fn the_prerelease_channel_is_the_newest_version_of_all() {
    let github = with(&["v2.0.0", "v1.9.1", "nightly"], &["v3.0.0-rc.2", "v3.0.0-rc.10", "v3.0.0-rc.9"]);
    let channel = fetcher(&github, &[("channel", "prerelease")]);
    assert_eq!(tag(&*channel), "v3.0.0-rc.10");
    github.release("fetchd/app", "v3.0.0").publish();
    github.release("fetchd/app", "v2.9.9").publish();
    assert_eq!(tag(&*channel), "v3.0.0");
}

#[test]
fn a_pattern_takes_the_newest_version_and_prereleases_only_if_asked_for() {
    let github = with(&["web-v1.10.0", "web-v1.9.0", "api-v2.0.0", "web-vnext", "web-v1"], &["web-v2.0.0-rc.1"]);
    assert_eq!(tag(&*fetcher(&github, &[("tag", "web-v{version}")])), "web-v1.10.0");
    assert_eq!(tag(&*fetcher(&github, &[("tag", "*")])), "api-v2.0.0");
    let both = [("tag", "web-v{version}"), ("channel", "prerelease")];
    assert_eq!(tag(&*fetcher(&github, &both)), "web-v2.0.0-rc.1");
}

#[test]
fn a_list_is_conditional_too() {
    let github = with(&["v1.0.0"], &[]);
    let fetcher = fetcher(&github, &[("tag", "v{version}")]);
    let release = offered(&*fetcher);
    assert!(unchanged(&*fetcher, &release));
    assert_eq!(github.requests()[1].status, 304);
    github.release("fetchd/app", "v0.9.0").asset("app", APP).publish();
    assert!(unchanged(&*fetcher, &release), "an older version is another release");
    github.release("fetchd/app", "v1.0.1").asset("app", APP).publish();
    assert!(!unchanged(&*fetcher, &release));
}

#[test]
fn only_prereleases_are_not_found_on_the_stable_channel() {
    let github = with(&[], &["v1.0.0-rc.1"]);
    let error = poll(&*fetcher(&github, &[("tag", "v*")]), None).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("only prereleases"), "{error}");
}

#[test]
fn a_whole_tag_pins_its_release_and_be_it_a_prerelease() {
    let github = with(&["v2.0.0", "release/v1.0.0"], &["nightly"]);
    assert_eq!(tag(&*fetcher(&github, &[("tag", "nightly")])), "nightly");
    assert_eq!(tag(&*fetcher(&github, &[("tag", "release/v1.0.0")])), "release/v1.0.0");
    assert_eq!(github.requests()[1].path, "/repos/fetchd/app/releases/tags/release%2Fv1.0.0");
    let error = poll(&*fetcher(&github, &[("tag", "v3.0.0")]), None).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("has no release (yet) with the tag `v3.0.0`"), "{error}");
}

#[test]
fn further_pages_are_read_by_number_and_are_never_called_unchanged_by_the_first() {
    let github = GitHub::start();
    github.release("fetchd/app", "web-v9.0.0").asset("app", APP).publish();
    for number in 0..150 {
        github.release("fetchd/app", &format!("api-v1.0.{number}")).publish();
    }
    let fetcher = fetcher(&github, &[("tag", "web-v{version}")]);
    let release = offered(&*fetcher);
    assert_eq!(release.label.as_deref(), Some("web-v9.0.0"));
    let asked: Vec<_> = github.requests().into_iter().map(|request| request.query).collect();
    assert_eq!(asked, ["per_page=100&page=1", "per_page=100&page=2"]);
    assert!(unchanged(&*fetcher, &release));
    github.replace_asset("fetchd/app", "web-v9.0.0", "app", "other");
    assert!(!unchanged(&*fetcher, &release));
}

#[test]
fn a_list_without_an_end_ends_after_five_pages() {
    let github = GitHub::start();
    for number in 0..501 {
        github.release("fetchd/app", &format!("v1.0.{number}")).publish();
    }
    assert_eq!(tag(&*fetcher(&github, &[("tag", "v{version}")])), "v1.0.500");
    assert_eq!(github.requests().len(), 5);
}
