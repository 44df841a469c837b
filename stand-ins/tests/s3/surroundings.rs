//! What a process finds around it: credentials, a region, a proxy. Each case is a process of its own,
//! since the environment belongs to the whole process.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fetchd_fetchers::conformance::scripted::{ScriptedOrigin, Step};
use fetchd_fetchers::{Registry, parse_source};
use tempfile::TempDir;

use crate::support::{options, run, whole_text};

const SOURCE: &str = "FETCHD_TEST_SOURCE";
const THIS: &str = "surroundings::a_poll_in_the_surroundings_of_this_process";

/// What the cases run in a process of their own. In this one it asks a port where nobody listens.
#[test]
fn a_poll_in_the_surroundings_of_this_process() {
    let nobody = "s3://releases/app?endpoint=http://127.0.0.1:1&unsigned=true".to_owned();
    let source = parse_source(&std::env::var(SOURCE).unwrap_or(nobody)).unwrap();
    let fetcher = Registry::builtin().open(&source, &options(&[])).unwrap();
    let end = match run(fetcher.poll(None)) {
        Ok(_) => "polled".to_owned(),
        Err(error) => {
            assert!(!whole_text(&error).contains("hunter2"), "{}", whole_text(&error));
            format!("{:?}: {error}", error.kind())
        }
    };
    std::io::stdout().write_all(format!("<<{end}>>").as_bytes()).unwrap();
}

/// How a poll of `source` ends where nothing is around but `home` and `variables`.
fn poll(source: &str, home: &Path, variables: &[(&str, &str)]) -> String {
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", THIS, "--nocapture", "--test-threads=1"])
        .env_clear()
        .env("HOME", home)
        .env(SOURCE, source)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let end = text.split_once("<<").and_then(|(_, rest)| rest.split_once(">>"));
    end.unwrap_or_else(|| panic!("the poll panicked: {text}")).0.to_owned()
}

/// A server with one object, and the source that names it.
fn server() -> (ScriptedOrigin, String, TempDir) {
    let origin = ScriptedOrigin::start();
    origin.put("/releases/app", b"the artifact");
    let source = format!("s3://releases/app?endpoint=http://{}", origin.address());
    (origin, source, tempfile::tempdir().unwrap())
}

/// Who signed the last request for the object.
fn signer(origin: &ScriptedOrigin) -> String {
    let request = origin.requests().into_iter().rfind(|request| request.path.starts_with("/releases/")).unwrap();
    let signed = request.header("authorization").expect("it is signed").to_owned();
    signed.split_once("Credential=").unwrap().1.split(',').next().unwrap().to_owned()
}

const ALONE: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");

#[test]
fn without_credentials_the_places_looked_at_are_named() {
    let (origin, source, home) = server();
    let end = poll(&source, home.path(), &[ALONE]);
    assert_eq!(
        end,
        "Denied: `s3://releases/app`: no credentials found: neither options, environment, profile, web identity, \
         container nor instance metadata hold any; for a public bucket set `unsigned`"
    );
    assert!(origin.requests().is_empty());
}

#[test]
fn metadata_that_does_not_answer_holds_nothing_up() {
    let (origin, source, home) = server();
    origin.script_every("/latest/api/token", vec![Step::Stall(Duration::from_secs(3600))]);
    let endpoint = format!("http://{}", origin.address());
    let began = Instant::now();
    let end = poll(&source, home.path(), &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint)]);
    assert!(end.starts_with("Denied: "), "{end}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!(origin.requests().len(), 1, "metadata is asked for once");
}

#[test]
fn keys_come_from_the_environment_and_the_region_of_an_endpoint_is_us_east_1() {
    let (origin, source, home) = server();
    let keys = [ALONE, ("AWS_ACCESS_KEY_ID", "AKENV"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];
    assert_eq!(poll(&source, home.path(), &keys), "polled");
    assert!(signer(&origin).starts_with("AKENV/") && signer(&origin).contains("/us-east-1/s3/"), "{}", signer(&origin));
    let regional = [&keys[..], &[("AWS_REGION", "eu-west-1"), ("AWS_SESSION_TOKEN", "hunter2-token")]].concat();
    assert_eq!(poll(&source, home.path(), &regional), "polled");
    assert!(signer(&origin).contains("/eu-west-1/s3/"), "{}", signer(&origin));
    assert_eq!(origin.requests().last().unwrap().header("x-amz-security-token"), Some("hunter2-token"));
    // The options come first.
    let end = poll(&format!("{source}&region=eu-north-1"), home.path(), &regional);
    assert_eq!((end.as_str(), signer(&origin).contains("/eu-north-1/s3/")), ("polled", true));
}

#[test]
fn an_endpoint_of_the_environment_is_addressed_by_path() {
    let (origin, _, home) = server();
    let endpoint = format!("http://{}", origin.address());
    for variable in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"] {
        let end = poll("s3://releases/app?unsigned=true", home.path(), &[ALONE, (variable, &endpoint)]);
        assert_eq!(end, "polled", "{variable}");
    }
}

#[test]
fn keys_and_region_come_from_a_profile() {
    let (origin, source, home) = server();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let file = |name: &str, text: &str| std::fs::write(home.path().join(".aws").join(name), text).unwrap();
    file("credentials", "[web]\naws_access_key_id = AKWEB\naws_secret_access_key = hunter2\n");
    file("config", "[profile web]\nregion = eu-south-2\n");
    for (source, variables) in
        [(format!("{source}&profile=web"), vec![ALONE]), (source.clone(), vec![ALONE, ("AWS_PROFILE", "web")])]
    {
        assert_eq!(poll(&source, home.path(), &variables), "polled");
        assert!(
            signer(&origin).starts_with("AKWEB/") && signer(&origin).contains("/eu-south-2/"),
            "{}",
            signer(&origin)
        );
    }
    let end = poll(&format!("{source}&profile=nobody"), home.path(), &[ALONE]);
    assert!(end.starts_with("Denied: `s3://releases/app`: "), "{end}");
}

#[test]
fn keys_come_from_the_container() {
    let (origin, source, home) = server();
    let keys = r#"{"AccessKeyId":"AKECS","SecretAccessKey":"hunter2","Token":"hunter2-token","Expiration":"2999-01-01T00:00:00Z"}"#;
    origin.put("/credentials", keys);
    origin.require_header("/credentials", "authorization", "let-me-in");
    let uri = format!("http://{}/credentials", origin.address());
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let-me-in"),
        ALONE,
    ];
    assert_eq!(poll(&source, home.path(), &variables), "polled");
    assert!(signer(&origin).starts_with("AKECS/"), "{}", signer(&origin));
    assert_eq!(origin.requests().len(), 2, "credentials are asked for once");
}

#[test]
fn keys_and_region_come_from_the_instance() {
    let (origin, source, home) = server();
    let raw = |path: &str, text: &str| {
        let head = format!(
            "HTTP/1.1 200 X\r\nConnection: close\r\nx-aws-ec2-metadata-token-ttl-seconds: 600\r\nContent-Length: {}",
            text.len()
        );
        origin.script_every(path, vec![Step::Raw(format!("{head}\r\n\r\n{text}").into_bytes())]);
    };
    raw("/latest/api/token", "a-token");
    let keys = r#"{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"AKEC2","SecretAccessKey":"hunter2","Token":"hunter2-token","Expiration":"2999-01-01T00:00:00Z","LastUpdated":"2026-01-01T00:00:00Z","AccountId":"1"}"#;
    for folder in ["security-credentials", "security-credentials-extended"] {
        raw(&format!("/latest/meta-data/iam/{folder}/"), "web");
        raw(&format!("/latest/meta-data/iam/{folder}/web"), keys);
    }
    let endpoint = format!("http://{}", origin.address());
    assert_eq!(poll(&source, home.path(), &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint)]), "polled");
    assert!(signer(&origin).starts_with("AKEC2/"), "{}", signer(&origin));
}

#[test]
fn a_web_identity_is_exchanged_for_keys() {
    let (origin, source, home) = server();
    let token = home.path().join("token");
    std::fs::write(&token, "hunter2-identity").unwrap();
    let answer = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
        <AccessKeyId>AKSTS</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey><SessionToken>hunter2-token</SessionToken>\
        <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
        </AssumeRoleWithWebIdentityResponse>";
    // Meanwhile the request's body is read.
    let pause = Step::Stall(Duration::from_millis(100));
    let head = format!("HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", answer.len());
    origin.script_every("/", vec![pause.clone(), Step::Raw(format!("{head}{answer}").into_bytes())]);
    let endpoint = format!("http://{}", origin.address());
    let variables = [
        ALONE,
        ("AWS_ENDPOINT_URL_STS", endpoint.as_str()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/web"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
    ];
    assert_eq!(poll(&source, home.path(), &variables), "polled");
    assert!(signer(&origin).starts_with("AKSTS/"), "{}", signer(&origin));
    // Refused: nothing of the identity is shown, and nothing is tried again.
    origin.clear_requests();
    origin.script_every(
        "/",
        vec![pause, Step::Raw(b"HTTP/1.1 403 X\r\nConnection: close\r\nContent-Length: 7\r\n\r\nhunter2".to_vec())],
    );
    let end = poll(&source, home.path(), &variables);
    assert_eq!(end, "Denied: `s3://releases/app`: credentials are configured and could not be loaded");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn without_any_region_it_is_misconfigured() {
    let (_, _, home) = server();
    let keys = [ALONE, ("AWS_ACCESS_KEY_ID", "AKENV"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];
    let end = poll("s3://releases/app", home.path(), &keys);
    let words = "no region is configured: set the option `region`, or `AWS_REGION`";
    assert_eq!(end, format!("Misconfigured: `s3://releases/app`: {words}"));
}

#[test]
fn a_proxy_of_the_environment_is_used() {
    let (origin, _, home) = server();
    let proxy = format!("http://{}", origin.address());
    let source = "s3://releases/app?endpoint=http://s3.example.com&unsigned=true";
    origin.script_every("http://s3.example.com/releases/app", vec![Step::Status(404)]);
    for variable in ["HTTP_PROXY", "ALL_PROXY"] {
        origin.clear_requests();
        let end = poll(source, home.path(), &[ALONE, (variable, &proxy)]);
        assert!(end.starts_with("NotFound: "), "{variable}: {end}");
        assert_eq!(origin.requests()[0].path, "http://s3.example.com/releases/app");
    }
    let direct = format!("s3://releases/app?endpoint={proxy}&unsigned=true");
    let variables = [ALONE, ("HTTP_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", "127.0.0.1")];
    assert_eq!(poll(&direct, home.path(), &variables), "polled");
}
