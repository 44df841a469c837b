//! SeaweedFS: a real S3 server, in a process of its own.
//!
//! The second opinion on what [`s3`](crate::s3) promises, by a program that others wrote and run.
//! `tests/all` installs it; without it [`Seaweed::start`] fails and says so.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fetchd_fetchers::Options;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use url::Url;

use crate::s3::{ACCESS_KEY, PUBLIC, REGION, RELEASES, SECRET_KEY, VERSIONED};

/// Time for the server to answer: it takes 1 s, and ten times that on a busy machine.
const READY: Duration = Duration::from_secs(60);
/// A port may be taken between our look and the server's; then others are tried.
const TRIES: usize = 3;

/// Why SeaweedFS does not run.
#[derive(Debug, thiserror::Error)]
pub enum SeaweedError {
    /// The program is not there.
    #[error("`weed` is neither in PATH nor in `{}`: `tests/all` installs it", .0.display())]
    NotInstalled(PathBuf),
    /// The process could not be started, or its directory not be made.
    #[error("SeaweedFS could not be started")]
    Io(#[from] io::Error),
    /// It ended, or did not answer in time.
    #[error("SeaweedFS did not answer within {} s; its last words: {last}", READY.as_secs())]
    NotReady {
        /// The end of its log.
        last: String,
    },
}

/// SeaweedFS 4.48 on loopback with a directory of its own. It knows [`ACCESS_KEY`] and has the
/// buckets [`RELEASES`], [`VERSIONED`] (whose versioning a test turns on) and [`PUBLIC`]. Dropping it
/// kills and reaps it.
#[derive(Debug)]
pub struct Seaweed {
    port: u16,
    filer: String,
    program: PathBuf,
    // In the order of dropping: the gateway before what is behind it, the directory last.
    gateways: Vec<Running>,
    server: Running,
    directory: TempDir,
}

impl Seaweed {
    /// Starts one and waits until it answers.
    pub fn start() -> Result<Seaweed, SeaweedError> {
        let program = find()?;
        let mut failure = None;
        for _ in 0..TRIES {
            match Seaweed::try_start(&program) {
                Err(error @ SeaweedError::NotReady { .. }) => failure = Some(error),
                other => return other,
            }
        }
        Err(failure.unwrap_or(SeaweedError::NotReady { last: String::new() }))
    }

    fn try_start(program: &Path) -> Result<Seaweed, SeaweedError> {
        let directory = TempDir::with_prefix("weed-")?;
        let path = directory.path();
        fs::write(path.join("s3.json"), identities())?;
        fs::create_dir(path.join("data"))?;
        let admin = free_pair()?;
        let [s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc] = free()?;
        let mut command = Command::new(program);
        command
            .args(["-logtostderr", "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            .args(["-admin.ui=false", "-webdav=false", "-master.telemetry=false"])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .arg(format!("-dir={}", path.join("data").display()))
            .arg(format!("-s3.config={}", path.join("s3.json").display()))
            .arg(format!("-s3.localSocket={}", path.join("s3.sock").display()))
            .arg(format!("-filer.localSocket={}", path.join("filer.sock").display()))
            // Made in this order: when the last is there, all are.
            .arg(format!("-bucket={RELEASES},{VERSIONED},{PUBLIC}"))
            .args([format!("-s3.port={s3}"), format!("-s3.port.grpc={s3_grpc}")])
            .args([format!("-master.port={master}"), format!("-master.port.grpc={master_grpc}")])
            .args([format!("-volume.port={volume}"), format!("-volume.port.grpc={volume_grpc}")])
            .args([format!("-filer.port={filer}"), format!("-filer.port.grpc={filer_grpc}")])
            .arg(format!("-admin.port={admin}"));
        let mut server = Running::spawn(command, path.join("server.log"))?;
        server.wait_until_ready(s3)?;
        Ok(Seaweed {
            port: s3,
            filer: format!("127.0.0.1:{filer}.{filer_grpc}"),
            program: program.to_owned(),
            gateways: Vec::new(),
            server,
            directory,
        })
    }

    /// Starts another S3 gateway in front of the same store, and returns its endpoint.
    ///
    /// # Panics
    /// Never: an address is the host of a URL.
    pub fn second_gateway(&mut self) -> Result<Url, SeaweedError> {
        let path = self.directory.path();
        let [port, grpc] = free()?;
        let mut command = Command::new(&self.program);
        command
            .args(["-logtostderr", "s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            .args(["-port.iceberg=0", "-port.lance=0"])
            .arg(format!("-filer={}", self.filer))
            .arg(format!("-config={}", path.join("s3.json").display()))
            .arg(format!("-localSocket={}", path.join(format!("{port}.sock")).display()))
            .args([format!("-port={port}"), format!("-port.grpc={grpc}")]);
        let mut gateway = Running::spawn(command, path.join(format!("{port}.log")))?;
        gateway.wait_until_ready(port)?;
        self.gateways.push(gateway);
        Ok(endpoint(port))
    }

    /// The id of the server's process.
    pub fn process(&self) -> u32 {
        self.server.child.id()
    }

    /// The endpoint, for a client with path-style addresses.
    pub fn endpoint(&self) -> Url {
        endpoint(self.port)
    }

    /// `s3://releases/<key>`, with endpoint and region in its query.
    ///
    /// # Panics
    /// If `key` cannot stand in a URL.
    pub fn source(&self, key: &str) -> Url {
        let mut url = Url::parse(&format!("s3://{RELEASES}/{key}")).expect("the key makes a URL");
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        url.query_pairs_mut().append_pair("endpoint", &endpoint).append_pair("region", REGION);
        url
    }

    /// The credentials, as options of a source.
    pub fn options(&self) -> Options {
        Options::from([
            ("access_key_id".to_owned(), vec![ACCESS_KEY.to_owned()]),
            ("secret_access_key".to_owned(), vec![SECRET_KEY.to_owned()]),
        ])
    }
}

/// A process and those it started, until dropped.
#[derive(Debug)]
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn spawn(mut command: Command, log: PathBuf) -> io::Result<Running> {
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        Ok(Running { child: command.spawn()?, log })
    }

    /// Until the last of the buckets is there.
    fn wait_until_ready(&mut self, port: u16) -> Result<(), SeaweedError> {
        let until = Instant::now() + READY;
        while !answers(port) {
            if Instant::now() >= until || self.child.try_wait()?.is_some() {
                let log = fs::read(&self.log).unwrap_or_default();
                let last = &log[log.len().saturating_sub(2000)..];
                return Err(SeaweedError::NotReady { last: String::from_utf8_lossy(last).into_owned() });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The child is not reaped yet, so the group is still its own.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Looks whether the public bucket is there, as anybody may.
fn answers(port: u16) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET /{PUBLIC}?list-type=2 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

fn endpoint(port: u16) -> Url {
    Url::parse(&format!("http://127.0.0.1:{port}")).expect("an address is the host of a URL")
}

/// One identity that may do everything, and nobody, who may read the public bucket.
fn identities() -> String {
    serde_json::json!({ "identities": [
        {
            "name": "releaser",
            "credentials": [{ "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY }],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
        { "name": "anonymous", "actions": [format!("Read:{PUBLIC}"), format!("List:{PUBLIC}")] },
    ] })
    .to_string()
}

fn find() -> Result<PathBuf, SeaweedError> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"));
    let installed = workspace.join("target/ci/python/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain([installed.clone()]).map(|place| place.join("weed"));
    places.find(|program| program.is_file()).ok_or(SeaweedError::NotInstalled(installed))
}

/// So many different ports that are free just now.
fn free<const N: usize>() -> io::Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// A free port whose companion 10,000 above is free too: a part of the server looks for another
/// there, whatever it is told.
fn free_pair() -> io::Result<u16> {
    let mut held = Vec::new();
    for _ in 0..1000 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let companion = port.checked_add(10_000).map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        if matches!(companion, Some(Ok(_))) {
            return Ok(port);
        }
        held.push(listener);
    }
    Err(io::ErrorKind::AddrInUse.into())
}
