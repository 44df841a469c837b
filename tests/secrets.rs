//! A secret of a source is in no log, no error, no answer, no file that fetchd writes and no process's arguments, whatever
//! happens to the source: everything that a run leaves behind is searched for it.

#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

#[path = "support/site.rs"]
mod site;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fetchd::demo::Trailer;
use fetchd::publish::{Publisher, host_target};
use fetchd_fetchers::conformance::scripted::{ScriptedOrigin, Step};
use fetchd_stand_ins::github::{Fault as GitHubFault, GitHub, On};
use fetchd_stand_ins::s3::{ACCESS_KEY, Fault, Refusal, S3Server, SECRET_KEY, When};
use site::{FETCHD, Site, text};

const TOKEN: &str = "ghp_hunter2ThatNobodyMaySee";
const HEADER: &str = "hunter2-in-a-header-file";
const WRONG: &str = "hunter3-which-is-wrong";
const REPOSITORY: &str = "acme/app";

type Show<'a> = Box<dyn Fn(&Path, &str) + 'a>;

/// A source with a secret, and what its place can be made to do.
struct Case<'a> {
    name: &'a str,
    url: String,
    /// Lines of `[source.options]`.
    options: String,
    /// The same with another secret, which the source refuses.
    wrong: String,
    environment: Vec<(&'a str, &'a str)>,
    secrets: Vec<&'a str>,
    signature: &'a str,
    /// How often the whole run says that the secret travels unencrypted.
    warned: usize,
    /// Shows what is in a directory.
    show: Show<'a>,
    deny: Box<dyn Fn() + 'a>,
}

impl Case<'_> {
    fn run(&self) {
        let site = Site::new();
        let config = |name: &str, options: &str| {
            let path = site.path().join(name);
            let key = site.publisher.public_key();
            let (state, signature) = (site.state_dir(), self.signature);
            let text = format!(
                "product = \"app\"\nstate_dir = \"{}\"\nkey = [\"{key}\"]\nsignature = \"{signature}\"\ninterval = \"200ms\"\n\
                 jitter = \"0%\"\nwatch = \"300ms\"\nlisten = [\"web=127.0.0.1:0\"]\nlog_level = \"trace\"\n\
                 [source]\nurl = \"{}\"\n[source.options]\n{options}\n",
                state.display(),
                self.url
            );
            fs::write(&path, text).unwrap();
            path
        };
        let (right, wrong) = (config("right.toml", &self.options), config("wrong.toml", &self.wrong));
        let fetchd = |config: &Path, arguments: &[&str]| {
            let mut fetchd = Command::new(FETCHD);
            fetchd.args(&arguments[..1]).arg("--config").arg(config).args(&arguments[1..]);
            fetchd.envs(self.environment.iter().copied()).current_dir(site.path()).env_remove("RUST_LOG");
            fetchd.stdin(Stdio::null());
            fetchd
        };
        let program = site.program();
        let program = program.to_str().unwrap();
        self.publish(&site, "1.1.0", &site.publisher);
        let mut supervised = site.supervise(fetchd(&right, &["run", "--", program]));
        let arguments = RefCell::new(Vec::new());
        supervised.wait("the release serves", |status| {
            arguments.borrow_mut().extend(arguments_of_family(status.pid));
            status.updates.version.as_deref() == Some("1.1.0")
        });
        self.publish(&site, "1.2.0", &Publisher::new(site.path().join("stranger")).unwrap());
        supervised.wait_for_event("release.refused", "");
        (self.deny)();
        supervised.wait_for_event("fetch.failed", "");

        let arguments = arguments.into_inner();
        let mut outputs: Vec<(String, Output)> = Vec::new();
        for asked in [&["status"][..], &["status", "--json"], &["history"], &["history", "--json"], &["config", "show"]]
        {
            let mut command = Command::new(FETCHD);
            command.args(asked).arg("--config").arg(&right).envs(self.environment.iter().copied());
            outputs.push((asked.join(" "), command.stdin(Stdio::null()).output().unwrap()));
        }
        for config in [&right, &wrong] {
            for asked in [&["check", "--log-level", "trace", "--", program][..], &["apply", "--", program]] {
                outputs.push((asked[0].to_owned(), fetchd(config, asked).output().unwrap()));
            }
        }
        assert!(outputs.iter().any(|(_, output)| !output.status.success()), "the source refuses at the end");
        let log = supervised.log();
        assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log says everything:\n{log}");
        assert_eq!(supervised.stop().code(), Some(0), "{}", self.name);

        assert_eq!(log.matches("unencrypted").count(), self.warned, "once, not at each poll: {log}");
        let mut searched = 0;
        for secret in self.secrets.iter().chain([&WRONG]) {
            assert!(!log.contains(secret), "{}: the log has the secret:\n{log}", self.name);
            for (command, output) in &outputs {
                assert!(!text(output).contains(secret), "{}: `{command}` prints it: {}", self.name, text(output));
            }
            for line in &arguments {
                assert!(!line.contains(secret), "{}: arguments of a process: {line}", self.name);
            }
            for path in files(site.path()) {
                // Where the operator put it.
                if path == right || path == wrong || path.ends_with("header") {
                    continue;
                }
                let found = fs::read(&path).unwrap_or_default();
                let found = found.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{}: it is in {}", self.name, path.display());
                searched += 1;
            }
        }
        assert!(searched > 10 && !arguments.is_empty(), "{searched} files were searched");
    }

    fn publish(&self, site: &Site, version: &str, publisher: &Publisher) {
        let directory = site.path().join(format!("show-{version}"));
        fs::create_dir(&directory).unwrap();
        let publisher = publisher.clone().dir(&directory);
        let binary = site.binary(&Trailer::version(version));
        match self.signature {
            "bundle" => drop(publisher.publish(version, &binary).unwrap()),
            _ => drop(publisher.publish_bound(&format!("app-{}", host_target()), version, &binary).unwrap()),
        }
        (self.show)(&directory, version);
    }
}

/// The arguments of a process and of those it started.
fn arguments_of_family(pid: u32) -> Vec<String> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let all = children.split_whitespace().filter_map(|id| id.parse().ok()).chain([pid]);
    let line = |pid: u32| String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).ok()?).into_owned().into();
    all.filter_map(line).collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(files(&entry.path())),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

fn shown(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    files(directory).iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

#[test]
fn of_a_web_server() {
    let web = ScriptedOrigin::start();
    let secrets = tempfile::tempdir().unwrap();
    let file = |name: &str, secret: &str| {
        let path = secrets.path().join(name);
        fs::write(&path, format!("X-Key: {secret}\n")).unwrap();
        path.display().to_string()
    };
    let (right, wrong) = (file("header", HEADER), file("wrong-header", WRONG));
    let case = Case {
        name: "http",
        url: web.url("/stable.fetchd").to_string(),
        options: format!("header_file = \"{right}\"\nproxy = \"none\""),
        wrong: format!("header_file = \"{wrong}\"\nproxy = \"none\""),
        environment: vec![],
        secrets: vec![HEADER],
        signature: "bundle",
        warned: 1,
        show: Box::new(|directory, _| {
            for (name, bytes) in shown(directory) {
                web.put(&format!("/{name}"), bytes);
                web.require_header(&format!("/{name}"), "X-Key", HEADER);
            }
        }),
        deny: Box::new(|| web.script_every("/stable.fetchd", vec![Step::Status(403)])),
    };
    case.run();
}

fn s3(name: &str, options: &str, wrong: &str, environment: Vec<(&str, &str)>) {
    let server = S3Server::start();
    let case = Case {
        name,
        url: server.source("stable.fetchd").to_string(),
        options: options.to_owned(),
        wrong: wrong.to_owned(),
        environment,
        secrets: vec![SECRET_KEY],
        signature: "bundle",
        warned: 0,
        show: Box::new(|directory, _| {
            for (name, bytes) in shown(directory) {
                server.put(&name, bytes);
            }
        }),
        deny: Box::new(|| server.inject(Fault::Refuse(Refusal::AccessDenied), When::any())),
    };
    case.run();
}

#[test]
fn of_a_bucket_with_keys_in_the_file() {
    let keys =
        |secret: &str| format!("access_key_id = \"{ACCESS_KEY}\"\nsecret_access_key = \"{secret}\"\nproxy = \"none\"");
    s3("s3 with options", &keys(SECRET_KEY), &keys(WRONG), vec![]);
}

#[test]
fn of_a_bucket_with_keys_in_the_environment() {
    let environment = vec![("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
    let wrong = format!("access_key_id = \"{ACCESS_KEY}\"\nsecret_access_key = \"{WRONG}\"\nproxy = \"none\"");
    s3("s3 with variables", "proxy = \"none\"", &wrong, environment);
}

#[test]
fn of_a_private_repository() {
    let github = GitHub::start();
    github.repository(REPOSITORY);
    github.make_private(REPOSITORY);
    github.token(TOKEN);
    let secrets = tempfile::tempdir().unwrap();
    let wrong = secrets.path().join("token");
    fs::write(&wrong, WRONG).unwrap();
    let case = Case {
        name: "github",
        url: github.source(REPOSITORY).to_string(),
        options: "proxy = \"none\"".to_owned(),
        wrong: format!("token_file = \"{}\"\nproxy = \"none\"", wrong.display()),
        environment: vec![("GITHUB_TOKEN", TOKEN)],
        secrets: vec![TOKEN],
        signature: "bound",
        warned: 1,
        show: Box::new(|directory, version| {
            let mut release = github.release(REPOSITORY, &format!("v{version}"));
            for (name, bytes) in shown(directory) {
                release = release.asset(&name, bytes);
            }
            release.publish();
        }),
        deny: Box::new(|| github.inject(On::api("*"), GitHubFault::Status(403))),
    };
    case.run();
}
