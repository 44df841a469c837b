//! What the demo is played with: a temporary directory, a publisher, an origin, a supervisor.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::error::DemoError;
use super::origin::Origin;
use super::trailer::{self, Trailer};
use crate::control::{self, Line, Request, Status};
use crate::publish::{ArtifactFile, NewRelease, Publisher, host_target};
use crate::spawn::{Child, Exited, Spawn};
use crate::state::{Event, Store};
use crate::trust::Format;

/// A place with everything one service needs. Dropping it ends the processes and removes the files.
#[derive(Debug)]
pub(super) struct Site {
    child: Option<Child>,
    pub(super) origin: Origin,
    publisher: Publisher,
    exe: PathBuf,
    dir: tempfile::TempDir,
    interrupted: Arc<AtomicBool>,
}

impl Site {
    /// Makes the directory, the key and release 1.0.0, published and at the program path. Starts nothing yet.
    pub(super) fn new(interrupted: Arc<AtomicBool>) -> Result<Site, DemoError> {
        let exe = std::env::current_exe().map_err(DemoError::io("find", "/proc/self/exe"))?;
        let parent = std::env::temp_dir();
        let dir = tempfile::Builder::new().prefix("fetchd-demo-").tempdir_in(&parent);
        let dir = dir.map_err(DemoError::io("make a directory in", &parent))?;
        for name in ["releases", "build", "app"] {
            let path = dir.path().join(name);
            DirBuilder::new().mode(0o755).create(&path).map_err(DemoError::io("create", &path))?;
        }
        let published = dir.path().join("releases");
        let origin = Origin::start(published.clone()).map_err(DemoError::io("listen for", &published))?;
        let publisher = Publisher::new(published)?.product(PRODUCT);
        let site = Site { child: None, origin, publisher, exe, dir, interrupted };
        let program = site.program();
        let first = Trailer::version("1.0.0");
        trailer::append(&site.exe, &program, &first).map_err(DemoError::io("write", &program))?;
        site.must_be_executable(&program)?;
        site.publish(&first)?;
        site.show()?;
        Ok(site)
    }

    fn must_be_executable(&self, program: &Path) -> Result<(), DemoError> {
        let mut asked = Command::new(program);
        asked.args(["demo-service", "--version"]).env_clear().stdin(Stdio::null());
        match asked.output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(DemoError::Unexpected(format!(
                "`{} demo-service --version` ended with {}",
                program.display(),
                output.status
            ))),
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                Err(DemoError::NoExec { dir: self.dir.path().to_owned(), source })
            }
            Err(source) => Err(DemoError::Io { doing: "run", path: program.to_owned(), source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Leaves the directory behind when this is dropped.
    pub(super) fn keep(&mut self) {
        self.dir.disable_cleanup(true);
    }

    fn program(&self) -> PathBuf {
        self.path().join("app/web")
    }

    fn config(&self) -> PathBuf {
        self.path().join("fetchd.toml")
    }

    fn log(&self) -> PathBuf {
        self.path().join("supervisor.log")
    }

    /// Starts `fetchd run`, this same program, as anybody would: with a configuration file.
    pub(super) fn start(&mut self) -> Result<(), DemoError> {
        let text = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
        let config = format!(
            "program = [{}, \"demo-service\", \"--name\", \"web\"]\n\
             product = \"{PRODUCT}\"\nstate_dir = {}\nlisten = [\"web=127.0.0.1:0\"]\n\
             source = \"{}\"\nkey = [\"{}\"]\n\
             interval = \"200ms\"\njitter = \"0%\"\n\
             smoke_args = [\"demo-service\", \"--version\"]\n\
             ready_deadline = \"1500ms\"\nwatch = \"1s\"\nlog = \"json\"\n",
            text(&self.program()),
            text(&self.path().join("state")),
            self.origin.source(),
            self.publisher.public_key(),
        );
        fs::write(self.config(), config).map_err(DemoError::io("write", self.config()))?;
        let log = OpenOptions::new().create(true).append(true).open(self.log());
        let log = log.map_err(DemoError::io("create", self.log()))?;
        let errors = log.try_clone().map_err(DemoError::io("open", self.log()))?;
        let args = ["run".into(), "--config".into(), self.config().into_os_string()];
        let mut fetchd = Spawn::new(&self.exe, args);
        fetchd.env = environment();
        fetchd.cwd = Some(self.path().to_owned());
        fetchd.fds = vec![(OwnedFd::from(log), 1), (OwnedFd::from(errors), 2)];
        // Out of reach of the terminal's Ctrl-C, which is for the demo; it cleans up.
        fetchd.session = true;
        fetchd.death_signal = Some(Signal::TERM);
        let child = fetchd.spawn().map_err(|e| DemoError::io("start", &self.exe)(io::Error::other(e)))?;
        self.child = Some(child);
        Ok(())
    }

    /// The supervisor's process id, as the kernel knows it.
    pub(super) fn supervisor(&self) -> u32 {
        self.child.as_ref().map_or(0, |child| child.pid().as_raw_pid().cast_unsigned())
    }

    /// Signs a release into the directory. Nobody sees it before [`Site::show`]. Returns its artifact.
    pub(super) fn publish(&self, trailer: &Trailer) -> Result<PathBuf, DemoError> {
        publish(&self.publisher, &self.exe, &self.path().join("build"), trailer)
    }

    /// The same with a key that nobody trusts. Returns what it would have the pointer show.
    pub(super) fn publish_as_a_stranger(&self, trailer: &Trailer) -> Result<Vec<u8>, DemoError> {
        let stranger = Publisher::new(self.path().join("stranger"))?.product(PRODUCT);
        let artifact = publish(&stranger, &self.exe, &self.path().join("build"), trailer)?;
        let name = artifact.file_name().unwrap_or_default();
        let public = self.path().join("releases").join(name);
        fs::rename(&artifact, &public).map_err(DemoError::io("move", &artifact))?;
        Ok(stranger.document()?)
    }

    /// Shows what was published last.
    pub(super) fn show(&self) -> Result<(), DemoError> {
        self.origin.show(self.publisher.document()?);
        Ok(())
    }

    /// What the supervisor says of itself.
    pub(super) fn status(&self) -> Result<Status, DemoError> {
        match control::ask(&control::path(&self.path().join("state")), &Request::Status, PATIENCE, |_| {})? {
            Line::Status(status) => Ok(*status),
            other => Err(DemoError::Unexpected(format!("the supervisor answered `{other:?}`"))),
        }
    }

    /// What happened so far.
    pub(super) fn history(&self) -> Vec<Event> {
        // Before the first event there may be no state directory.
        Store::read_only(&self.path().join("state")).and_then(|store| store.history(usize::MAX)).unwrap_or_default()
    }

    /// Looks until `look` finds something.
    pub(super) fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&Site) -> Option<T>) -> Result<T, DemoError> {
        let begun = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(DemoError::Interrupted);
            }
            if let Some(Ok(Some(ended))) = self.child.as_mut().map(Child::try_wait) {
                return Err(DemoError::Unexpected(format!("{what}: the supervisor ended with {ended}")));
            }
            if begun.elapsed() > PATIENCE {
                return Err(DemoError::Never { what: what.to_owned(), waited: PATIENCE });
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Where the service is reached.
    pub(super) fn address(&mut self) -> Result<SocketAddr, DemoError> {
        let status = self.wait("the service starts", |site| {
            site.status().ok().filter(|status| status.service.generations.iter().any(|g| g.phase == "serving"))
        })?;
        let address = status.service.listeners.first().and_then(|(_, address)| address.parse().ok());
        address.ok_or_else(|| DemoError::Unexpected("the supervisor listens nowhere".to_owned()))
    }

    /// Whether a part of an artifact lies in the worker's directory.
    pub(super) fn has_part(&self) -> bool {
        let Ok(staging) = fs::read_dir(self.path().join("app/.fetchd/web/staging")) else { return false };
        let parts = staging.flatten().filter(|entry| entry.path().extension().is_some_and(|ending| ending == "part"));
        parts.filter_map(|entry| entry.metadata().ok()).any(|part| part.len() > 0)
    }

    /// The supervisor's worker, by what the kernel shows of it.
    pub(super) fn worker(&self) -> Option<Pid> {
        children(self.supervisor()).into_iter().find(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == b"FETCHD_ROLE=worker")
        })
    }

    /// `fetchd COMMAND`, as an operator types it.
    pub(super) fn operator(&self, command: &str) -> Result<Output, DemoError> {
        let mut fetchd = Command::new(&self.exe);
        fetchd.arg(command).arg("--config").arg(self.config());
        fetchd.env_clear().envs(environment()).current_dir(self.path()).stdin(Stdio::null());
        fetchd.output().map_err(DemoError::io("start", &self.exe))
    }

    /// The lines of the supervisor's log.
    pub(super) fn log_lines(&self) -> Vec<serde_json::Map<String, serde_json::Value>> {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The end of the supervisor's log, for people.
    pub(super) fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(readable).collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// SIGTERM, as a service manager sends it, and the wait for the supervisor's end.
    pub(super) fn stop(&mut self) -> Result<Exited, DemoError> {
        if let Some(child) = &self.child {
            child.kill(Signal::TERM).map_err(DemoError::io("stop", &self.exe))?;
        }
        let mut child = self.child.take();
        let ended = self.wait("the supervisor ends", |_| child.as_mut()?.try_wait().ok()?);
        if ended.is_err() {
            self.child = child;
        }
        ended
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // With its supervisor gone the service would drain; nobody waits for that here.
        let orphans = children(child.pid().as_raw_pid().cast_unsigned());
        for pid in std::iter::once(child.pid()).chain(orphans) {
            // One that has ended meanwhile is what is wanted.
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = child.wait();
    }
}

/// Makes the binary of a release and publishes it.
fn publish(publisher: &Publisher, exe: &Path, build: &Path, trailer: &Trailer) -> Result<PathBuf, DemoError> {
    let path = build.join(format!("web-{}", trailer.version));
    trailer::append(exe, &path, trailer).map_err(DemoError::io("write", &path))?;
    let version = semver::Version::parse(&trailer.version)
        .map_err(|_| DemoError::Unexpected(format!("`{}` is not a version", trailer.version)))?;
    let artifact = ArtifactFile { target: host_target(), path: path.clone(), format: Some(Format::Raw), entry: None };
    let release = NewRelease::new(version, vec![artifact]);
    let published = publisher.change(|options| options.release = Some(release))?;
    fs::remove_file(&path).map_err(DemoError::io("remove", &path))?;
    published.artifacts.into_iter().next().ok_or_else(|| DemoError::Unexpected("nothing was published".to_owned()))
}

/// A line of the log without what only programs want. What is no JSON is the service's own.
fn readable(line: &str) -> String {
    let Ok(fields) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line) else {
        return line.to_owned();
    };
    let field = |name: &str| fields.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let time = field("timestamp").get(11..23).unwrap_or_default();
    let error = if field("error").is_empty() { String::new() } else { format!(": {}", field("error")) };
    let code = if field("code").is_empty() { String::new() } else { format!(" [{}]", field("code")) };
    format!("{time} {:<5} {:<18} {}{error}{code}", field("level"), field("event"), field("message"))
}

/// Cuts a file in half.
pub(super) fn cut(path: &Path) -> Result<(), DemoError> {
    let file = OpenOptions::new().write(true).open(path).map_err(DemoError::io("open", path))?;
    let length = file.metadata().map_err(DemoError::io("open", path))?.len();
    file.set_len(length / 2).map_err(DemoError::io("cut", path))
}

/// Turns a bit in the middle of a file.
pub(super) fn damage(path: &Path) -> Result<(), DemoError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(DemoError::io("open", path))?;
    let middle = file.metadata().map_err(DemoError::io("open", path))?.len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).map_err(DemoError::io("read", path))?;
    file.write_all_at(&[byte[0] ^ 1], middle).map_err(DemoError::io("write", path))
}

/// The processes whose parent is `parent`.
fn children(parent: u32) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |number: &i32| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        // The name stands in parentheses and may hold any character; state and parent follow it.
        let parent_of = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        parent_of == Some(parent)
    };
    numbers.filter(is_child).filter_map(Pid::from_raw).collect()
}

/// Nothing of the caller's that changes what fetchd does: no proxy, no setting, no activation.
fn environment() -> Vec<(OsString, OsString)> {
    let wanted = ["PATH", "HOME", "TMPDIR", "RUST_BACKTRACE"];
    wanted.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))).collect()
}

const PRODUCT: &str = "web";

/// How long any one thing may take.
const PATIENCE: Duration = Duration::from_secs(60);

const GLANCE: Duration = Duration::from_millis(10);

/// How many lines of the log are shown when something goes wrong.
const TAIL: usize = 20;
