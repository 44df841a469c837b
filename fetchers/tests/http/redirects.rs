//! Redirects: where they lead, and what goes along.

use fetchd_fetchers::conformance::scripted::{ScriptedOrigin, Step};
use fetchd_fetchers::{Kind, Start};

use super::{fetcher, name, offered, open, poll};

#[test]
fn a_redirect_is_followed_and_the_name_stays() {
    for status in [301, 302, 303, 307, 308] {
        let origin = ScriptedOrigin::start();
        origin.put("/store/1.2.0", "app");
        origin.script_every("/app", vec![Step::Status(status), Step::header("Location", "store/1.2.0")]);
        let fetcher = fetcher(&origin, "/app", &[]);
        let release = offered(&*fetcher);
        assert_eq!(release.assets[0].name, name("app"));
        assert_eq!(open(&*fetcher, &release, "app", &Start::default()).unwrap().1.unwrap(), b"app");
        assert_eq!(origin.requests()[1].method, "HEAD");
    }
}

#[test]
fn r56_secrets_do_not_follow_to_another_origin() {
    let (home, away) = (ScriptedOrigin::start(), ScriptedOrigin::start());
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "hunter2-bearer\n").unwrap();
    home.script("/app", vec![Step::Redirect("/again".to_owned())]);
    home.script("/again", vec![Step::Redirect(away.url("/app").into())]);
    away.script("/app", vec![Step::Redirect(home.url("/back").into())]);
    home.put("/back", "app");
    let token = token.to_str().unwrap();
    let options = [("header", "X-Api-Key: hunter2"), ("header", "Cookie: a=hunter2"), ("bearer_file", token)];
    offered(&*fetcher(&home, "/app", &options));

    let sent = |request: &fetchd_fetchers::conformance::scripted::Request| {
        ["authorization", "x-api-key", "cookie"].map(|name| request.header(name).map(str::to_owned))
    };
    let all = ["Bearer hunter2-bearer", "hunter2", "a=hunter2"].map(|value| Some(value.to_owned()));
    let [app, again, back] = &home.requests()[..] else { panic!("{:?}", home.requests()) };
    assert_eq!((sent(app), sent(again)), (all.clone(), all));
    assert_eq!(sent(&away.requests()[0]), [None, None, None]);
    // The way back was chosen by another origin, so nothing is sent there either.
    assert_eq!(sent(back), [None, None, None]);
    assert!(!format!("{:?}{:?}", away.requests(), back).contains("hunter2"));
}

#[test]
fn user_information_of_the_url_is_a_secret_as_well() {
    let (home, away) = (ScriptedOrigin::start(), ScriptedOrigin::start());
    away.put("/app", "app");
    home.script("/app", vec![Step::Redirect(away.url("/app").into())]);
    let mut url = home.url("/app");
    url.set_username("ann").unwrap();
    url.set_password(Some("hunter2")).unwrap();
    let fetcher = fetchd_fetchers::Registry::builtin().open(&url, &super::options(&[])).unwrap();
    offered(&*fetcher);
    assert_eq!(home.requests()[0].header("authorization"), Some("Basic YW5uOmh1bnRlcjI="));
    assert_eq!(away.requests()[0].header("authorization"), None);
    assert!(!format!("{fetcher:?}").contains("hunter2"));
}

#[test]
fn r57_a_loop_ends() {
    let origin = ScriptedOrigin::start();
    origin.script_every("/app", vec![Step::Redirect("/app".to_owned())]);
    let error = poll(&*fetcher(&origin, "/app", &[]), None).unwrap_err();
    assert!(error.to_string().ends_with("redirects more than 10 times"), "{error}");
    assert_eq!(origin.requests().len(), 11);
}

#[test]
fn r58_a_hostile_location_is_an_error() {
    for location in [&b"http://\xff\xfe/"[..], b"\xff", b"http://[", b"", b"file:///etc/passwd", b"//"] {
        let origin = ScriptedOrigin::start();
        let answer = [b"HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: ", location, b"\r\n\r\n"].concat();
        origin.script_every("/app", vec![Step::Raw(answer)]);
        assert_eq!(poll(&*fetcher(&origin, "/app", &[]), None).unwrap_err().kind(), Kind::Other, "{location:?}");
    }
}

#[test]
fn a_redirect_to_nowhere_is_an_error() {
    let origin = ScriptedOrigin::start();
    origin.script_every("/app", vec![Step::Status(302)]);
    let error = poll(&*fetcher(&origin, "/app", &[]), None).unwrap_err();
    assert!(error.to_string().ends_with("redirects without saying where to"), "{error}");
}

#[test]
fn an_error_names_the_source_and_not_where_it_led() {
    let (home, away) = (ScriptedOrigin::start(), ScriptedOrigin::start());
    home.script("/app", vec![Step::Redirect(away.url("/gone?sig=hunter2").into())]);
    let error = poll(&*fetcher(&home, "/app", &[]), None).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().starts_with(&format!("`{}`", home.url("/app"))), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
}
