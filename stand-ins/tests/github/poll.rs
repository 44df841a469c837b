//! Polls: what is offered, and when it is offered again.

use std::time::{Duration, Instant};

use fetchd_fetchers::{Kind, Polled, Release, Revision};
use fetchd_stand_ins::github::{Fault, GitHub, On, hostile};

use super::{APP, fetcher, github, name, offered, open, poll, read, tag, token_file, unchanged};

#[test]
fn the_latest_release_is_offered_with_every_asset() {
    let github = github();
    let release = offered(&*fetcher(&github, &[]));
    assert_eq!((release.label.as_deref(), release.document), (Some("v1.0.0"), None));
    let names: Vec<_> = release.assets.iter().map(|asset| asset.name.as_str()).collect();
    assert_eq!(names, ["app", "app.minisig"]);
    let app = &release.assets[0];
    assert_eq!(app.size, Some(20));
    assert!(app.digest.as_ref().unwrap().starts_with("sha256:"));
    assert!(app.handle.is_some());
}

#[test]
fn a_request_says_what_it_wants_and_who_asks() {
    let github = github();
    offered(&*fetcher(&github, &[]));
    offered(&*fetcher(&github, &[("user_agent", "site/1")]));
    let requests = github.requests();
    assert_eq!(requests[0].path, "/repos/fetchd/app/releases/latest");
    assert_eq!(requests[0].header("accept"), Some("application/vnd.github+json"));
    assert_eq!(requests[0].header("accept-encoding"), Some("identity"));
    assert_eq!(requests[0].header("x-github-api-version"), Some("2022-11-28"));
    assert_eq!(requests[0].header("authorization"), None);
    assert_eq!(requests[1].header("user-agent"), Some("site/1"));
    let agents = requests[0].headers.iter().filter(|(name, _)| name == "user-agent");
    let agents: Vec<_> = agents.map(|(_, agent)| agent.as_str()).collect();
    assert_eq!(agents, [concat!("fetchd/", env!("CARGO_PKG_VERSION"))]);
}

#[test]
fn a_poll_is_conditional_and_not_modified_is_unchanged() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    assert!(unchanged(&*fetcher, &release));
    assert_eq!((github.requests()[1].status, github.requests().len()), (304, 2));
}

/// A host's own download changes the counter and with it the ETag: kept, the old one would cost a whole
/// answer and a request of the quota at every poll from then on.
#[test]
fn after_a_download_the_revision_is_renewed_once_and_polls_are_free_again() {
    let github = github();
    github.token("right");
    let (_kept, path) = token_file("right");
    let fetcher = fetcher(&github, &[("token_file", &path)]);
    let release = offered(&*fetcher);
    read(&*fetcher, &release, "app");
    let Polled::Renewed(revision) = poll(&*fetcher, Some(&release.revision)).unwrap() else { panic!("not renewed") };
    let (used, asked) = (github.used(Some("right")), github.requests().len());
    for _ in 0..3 {
        assert!(matches!(poll(&*fetcher, Some(&revision)).unwrap(), Polled::Unchanged));
    }
    assert_eq!(github.used(Some("right")), used);
    assert!(github.requests()[asked..].iter().all(|request| request.status == 304));
}

#[test]
fn a_download_that_is_counted_does_not_make_another_release() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    read(&*fetcher, &release, "app");
    github.clear_requests();
    assert!(unchanged(&*fetcher, &release));
    assert_eq!(github.requests()[0].status, 200, "the ETag did not change with the count");
}

#[test]
fn without_validators_the_fingerprint_decides() {
    let github = github();
    github.inject(On::api("*"), Fault::NoValidators);
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    assert!(unchanged(&*fetcher, &release));
    github.replace_asset("fetchd/app", "v1.0.0", "app", APP.to_uppercase());
    assert!(!unchanged(&*fetcher, &release));
}

#[test]
fn what_makes_a_release_another_one_is_offered() {
    type Change = fn(&GitHub);
    let changes: [(&str, Change); 6] = [
        ("a new release", |github| {
            github.release("fetchd/app", "v0.9.0").asset("app", APP).publish();
        }),
        ("a replaced asset", |github| github.replace_asset("fetchd/app", "v1.0.0", "app", APP)),
        ("other bytes under the same id", |github| github.swap_bytes("fetchd/app", "v1.0.0", "app", "x")),
        ("an asset less", |github| github.delete_asset("fetchd/app", "v1.0.0", "app.minisig")),
        ("another tag", |github| github.move_tag("fetchd/app", "v1.0.0", "v1.0.1")),
        ("the release made anew", |github| {
            github.delete_release("fetchd/app", "v1.0.0");
            github.release("fetchd/app", "v1.0.0").asset("app", APP).asset("app.minisig", "signature").publish();
        }),
    ];
    for (what, change) in changes {
        let github = github();
        let fetcher = fetcher(&github, &[]);
        let release = offered(&*fetcher);
        change(&github);
        assert!(!unchanged(&*fetcher, &release), "{what}");
    }
}

#[test]
fn a_revision_of_another_question_is_no_condition() {
    let github = github();
    let latest = offered(&*fetcher(&github, &[]));
    let pinned = fetcher(&github, &[("tag", "v1.0.0")]);
    // The same release, so nothing has changed; but its ETag belongs to another URL.
    assert!(unchanged(&*pinned, &latest));
    assert_eq!(github.requests()[1].header("if-none-match"), None);
}

/// One list answers many questions: what was seen of it under another `tag` or `channel` says nothing of this one.
#[test]
fn another_pattern_or_channel_over_the_same_list_is_another_question() {
    let github = github();
    for tag in ["v2.0.0", "web-v1.0.0"] {
        github.release("fetchd/app", tag).asset("app", APP).publish();
    }
    github.release("fetchd/app", "v2.1.0-rc.1").prerelease().asset("app", APP).publish();
    let one = offered(&*fetcher(&github, &[("tag", "web-v{version}")]));
    let questions: [(&[(&str, &str)], &str); 3] = [
        (&[("tag", "v{version}")], "v2.0.0"),
        (&[("tag", "v{version}"), ("channel", "prerelease")], "v2.1.0-rc.1"),
        (&[("channel", "prerelease")], "v2.1.0-rc.1"),
    ];
    let mut known = one;
    for (question, expected) in questions {
        let fetcher = fetcher(&github, question);
        match poll(&*fetcher, Some(&known.revision)).unwrap() {
            Polled::Offers(release) => {
                assert_eq!(release.label.as_deref(), Some(expected), "{question:?}");
                assert!(unchanged(&*fetcher, &release), "{question:?}");
                known = release;
            }
            // The same release by another question.
            Polled::Unchanged | Polled::Renewed(_) => {
                assert_eq!(known.label.as_deref(), Some(expected), "{question:?}")
            }
        }
    }
}

#[test]
fn r60_not_modified_without_a_condition_is_an_error() {
    let github = github();
    github.inject(On::api("*"), Fault::Status(304));
    assert_eq!(poll(&*fetcher(&github, &[]), None).unwrap_err().kind(), Kind::Other);
}

#[test]
fn a_revision_of_hostile_text_is_survived() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    for text in ["", "etag=%0d%0aX: y&of=x", "etag=%ff&seen=%00", &"=&".repeat(10_000)] {
        assert!(poll(&*fetcher, Some(&Revision(text.to_owned()))).is_ok(), "{text:.20}");
    }
}

#[test]
fn drafts_are_never_offered() {
    let github = github();
    github.release("fetchd/app", "v2.0.0").draft().asset("app", APP).publish();
    github.token("hunter2");
    let (_directory, token) = token_file("hunter2");
    for more in [&[][..], &[("channel", "prerelease")], &[("tag", "v{version}")]] {
        let options: Vec<_> = more.iter().copied().chain([("token_file", token.as_str())]).collect();
        assert_eq!(tag(&*fetcher(&github, &options)), "v1.0.0", "{more:?}");
    }
    let pinned = fetcher(&github, &[("tag", "v2.0.0"), ("token_file", &token)]);
    assert_eq!(poll(&*pinned, None).unwrap_err().kind(), Kind::NotFound);
    github.publish_draft("fetchd/app", "v2.0.0");
    assert_eq!(tag(&*pinned), "v2.0.0");
}

#[test]
fn no_release_and_no_repository_are_not_found_and_say_what_else_it_may_be() {
    let github = GitHub::start();
    let fetcher_ = fetcher(&github, &[]);
    let error = poll(&*fetcher_, None).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("has no release (yet), or there is no such repository"), "{error}");
    assert!(error.to_string().contains("a private one looks the same without a token"), "{error}");
    github.repository("fetchd/app");
    assert_eq!(poll(&*fetcher_, None).unwrap_err().kind(), Kind::NotFound);
    let error = poll(&*fetcher(&github, &[("tag", "v*")]), None).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("has no release (yet) with a version"), "{error}");
}

#[test]
fn a_private_repository_is_seen_with_its_token() {
    let github = github();
    github.make_private("fetchd/app");
    github.token("hunter2");
    github.strangers_token("hunter3");
    let (_directory, token) = token_file("hunter2");
    assert_eq!(tag(&*fetcher(&github, &[("token_file", &token)])), "v1.0.0");
    assert_eq!(poll(&*fetcher(&github, &[]), None).unwrap_err().kind(), Kind::NotFound);
    let (_directory, token) = token_file("hunter3");
    let error = poll(&*fetcher(&github, &[("token_file", &token)]), None).unwrap_err();
    assert!(error.to_string().contains("with a token that may not read it"), "{error}");
}

#[test]
fn a_github_enterprise_server_is_asked_below_its_prefix() {
    let github = GitHub::start_enterprise();
    github.release("fetchd/app", "v1.0.0").asset("app", APP).publish();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    assert_eq!(read(&*fetcher, &release, "app"), APP.as_bytes());
    assert_eq!(github.requests()[0].path, "/api/v3/repos/fetchd/app/releases/latest");
    assert!(github.requests()[1].path.starts_with("/api/v3/repos/fetchd/app/releases/assets/"));
}

#[test]
fn an_asset_that_is_not_uploaded_is_shown_and_does_not_open() {
    let github = GitHub::start();
    let release = github.release("fetchd/app", "v1.0.0");
    release.open_asset("app").starter_asset("old").asset("app.minisig", "signature").publish();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    let handles: Vec<_> = release.assets.iter().map(|asset| asset.handle.is_some()).collect();
    assert_eq!(handles, [false, false, true]);
    let error = super::broken(&*fetcher, &release, "app");
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().ends_with("the asset `app` is not uploaded yet"), "{error}");
    assert_eq!(github.requests().len(), 1);
    github.replace_asset("fetchd/app", "v1.0.0", "app", APP);
    assert!(!unchanged(&*fetcher, &release));
}

#[test]
fn an_asset_with_an_impossible_name_is_left_out() {
    let github = GitHub::start();
    github.release("fetchd/app", "v1.0.0").asset("../app", "x").asset("a\\b", "x").asset("app", APP).publish();
    let names: Vec<_> = offered(&*fetcher(&github, &[])).assets.into_iter().map(|asset| asset.name).collect();
    assert_eq!(names, [name("app")]);
}

#[test]
fn without_digests_a_release_is_offered_all_the_same() {
    let github = github();
    github.without_digests();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    assert_eq!(release.assets[0].digest, None);
    assert_eq!(read(&*fetcher, &release, "app"), APP.as_bytes());
}

#[test]
fn a_release_survives_json_and_opens_in_another_process() {
    let github = github();
    let release = offered(&*fetcher(&github, &[]));
    let text = serde_json::to_string(&release).unwrap();
    let release: Release = serde_json::from_str(&text).unwrap();
    assert_eq!(read(&*fetcher(&github, &[]), &release, "app"), APP.as_bytes());
}

#[test]
fn answers_that_are_not_githubs_are_errors() {
    let github = github();
    let latin = b"{\"id\":1,\"tag_name\":\"\xff\"}".to_vec();
    let numbers = br#"{"id":99999999999999999999999999,"size":1e999}"#.to_vec();
    let nulls = br#"{"id":null,"tag_name":null,"assets":null}"#.to_vec();
    let answers = [hostile::wrong_types(), hostile::deep(), hostile::clipped(), latin, numbers, nulls];
    for answer in answers.into_iter().chain([b"".to_vec(), b"null".to_vec(), b"[]".to_vec(), b"<html>".to_vec()]) {
        for more in [&[][..], &[("channel", "prerelease")]] {
            github.inject(On::api("*").once(), Fault::Answer(200, answer.clone()));
            match poll(&*fetcher(&github, more), None) {
                // No release is an answer to the question for a list.
                Err(error) if answer == b"[]" && more.len() == 1 => assert_eq!(error.kind(), Kind::NotFound),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Other);
                    assert!(error.to_string().contains("the API's answer is not what GitHub describes"), "{error}");
                }
                Ok(polled) => panic!("{polled:?}"),
            }
        }
    }
}

#[test]
fn an_answer_too_large_is_an_error_that_names_the_limit() {
    let github = github();
    github.inject(On::api("*"), Fault::Answer(200, hostile::huge()));
    let error = poll(&*fetcher(&github, &[]), None).unwrap_err();
    assert!(error.to_string().contains("larger than 16,777,216 bytes"), "{error}");
}

#[test]
fn r54_an_encoded_answer_is_refused() {
    let github = github();
    github.inject(On::api("*"), Fault::Header("content-encoding", "gzip"));
    let error = poll(&*fetcher(&github, &[]), None).unwrap_err();
    assert!(error.to_string().contains("encoded as `gzip`"), "{error}");
}

#[test]
fn a_broken_answer_is_incomplete_and_a_stalled_one_ends_with_the_poll() {
    let github = github();
    github.inject(On::api("*").once(), Fault::Short);
    assert_eq!(poll(&*fetcher(&github, &[]), None).unwrap_err().kind(), Kind::Incomplete);
    github.inject(On::api("*").once(), Fault::Dropped);
    assert_eq!(poll(&*fetcher(&github, &[]), None).unwrap_err().kind(), Kind::Unreachable);
    github.inject(On::api("*").once(), Fault::Stall);
    let began = Instant::now();
    let error = poll(&*fetcher(&github, &[("timeout", "300ms")]), None).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().ends_with("the poll took longer than 300ms"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(60));
    github.inject(On::api("*").once(), Fault::Stall);
    let error = poll(&*fetcher(&github, &[("read_timeout", "200ms")]), None).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().ends_with("nothing was received for 200ms"), "{error}");
}

#[test]
fn a_port_nobody_listens_on_is_unreachable() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    drop(github);
    assert_eq!(poll(&*fetcher, None).unwrap_err().kind(), Kind::Unreachable);
    assert_eq!(open(&*fetcher, &release, "app", &Default::default()).unwrap_err().kind(), Kind::Unreachable);
}
