//! Redirects: of a renamed repository, and hostile ones.

use fetchd_fetchers::Kind;
use fetchd_fetchers::conformance::scripted::ScriptedOrigin;
use fetchd_stand_ins::github::{Fault, GitHub, On};

use super::{APP, broken, fetcher, github, offered, poll, read, tag, token_file};

#[test]
fn a_renamed_repository_is_followed_with_its_token() {
    for github in [GitHub::start(), GitHub::start_enterprise()] {
        github.release("fetchd/app", "v1.0.0").asset("app", APP).publish();
        github.make_private("fetchd/app");
        github.rename("fetchd/app", "fetchd/program");
        github.token("hunter2");
        let (_directory, token) = token_file("hunter2");
        for more in [&[][..], &[("tag", "v{version}")]] {
            let options: Vec<_> = more.iter().copied().chain([("token_file", token.as_str())]).collect();
            let fetcher = fetcher(&github, &options);
            let release = offered(&*fetcher);
            assert_eq!(read(&*fetcher, &release, "app"), APP.as_bytes());
        }
    }
}

#[test]
fn the_page_asked_for_is_not_lost_in_a_redirect() {
    let github = GitHub::start();
    github.release("fetchd/app", "v9.0.0").publish();
    for number in 0..100 {
        github.release("fetchd/app", &format!("v1.0.{number}")).publish();
    }
    github.rename("fetchd/app", "fetchd/program");
    assert_eq!(tag(&*fetcher(&github, &[("tag", "v{version}")])), "v9.0.0");
    let asked: Vec<_> = github.requests().into_iter().map(|request| request.query).collect();
    assert_eq!(asked[1], "per_page=100&page=1");
    assert_eq!(asked[3], "per_page=100&page=2");
}

#[test]
fn r56_the_api_does_not_redirect_to_another_origin() {
    let (github, away) = (github(), ScriptedOrigin::start());
    github.token("hunter2");
    let (_directory, token) = token_file("hunter2");
    github.inject(On::api("*"), Fault::Redirect(301, away.url("/repos/x/y").to_string().into_bytes()));
    let error = poll(&*fetcher(&github, &[("token_file", &token)]), None).unwrap_err();
    assert_eq!(error.kind(), Kind::Other);
    assert!(error.to_string().ends_with("the API redirects to another origin, which is refused"), "{error}");
    assert!(away.requests().is_empty());
}

#[test]
fn r57_a_loop_ends() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    github.clear_requests();
    github.inject(On::api("*"), Fault::Loop);
    let error = poll(&*fetcher, None).unwrap_err();
    assert!(error.to_string().ends_with("the API redirects more than 5 times"), "{error}");
    assert_eq!(github.requests().len(), 6);
    let error = broken(&*fetcher, &release, "app");
    assert!(error.to_string().ends_with("redirects more than 10 times"), "{error}");
}

#[test]
fn r58_a_hostile_location_is_an_error() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    for location in [&b"http://\xff\xfe/"[..], b"\xff", b"http://[", b"file:///etc/passwd", b"//", b"http:///:99999"] {
        github.inject(On::api("*").times(2), Fault::Redirect(302, location.to_vec()));
        assert_eq!(poll(&*fetcher, None).unwrap_err().kind(), Kind::Other, "{location:?}");
        assert_eq!(broken(&*fetcher, &release, "app").kind(), Kind::Other, "{location:?}");
    }
}

#[test]
fn r58_a_location_that_no_request_can_name_is_an_error() {
    let github = github();
    let long = [github.api().as_str().as_bytes(), &b"x".repeat(70_000)].concat();
    for location in [long, format!("{}%", github.api()).into_bytes(), format!("{}^|`{{\"<", github.api()).into_bytes()]
    {
        github.inject(On::api("*").once(), Fault::Redirect(302, location));
        assert!(poll(&*fetcher(&github, &[]), None).is_err());
    }
}
