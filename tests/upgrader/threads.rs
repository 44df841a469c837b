//! The example on plain threads, plain and over TLS: slow and fast requests across two handoffs, each answered by the process
//! that accepted it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::process::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::chain::{connections, end_all, put_bytes, running};
use crate::processes::signal;
use crate::site::{FETCHD, PATIENCE, Site, wait_until};

const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fetchers/tests/http/tls");

/// The example with both listeners.
struct Server<'a> {
    site: &'a Site,
    first: Child,
    web: SocketAddr,
    tls: SocketAddr,
}

impl<'a> Server<'a> {
    fn start(site: &'a Site) -> Server<'a> {
        let built = Path::new(FETCHD).parent().unwrap().join("examples/direct-handoff");
        assert!(built.is_file(), "`{}` is missing; run `cargo build --examples`", built.display());
        put_bytes(&site.program(), &fs::read(built).unwrap(), 0o755);
        let mut command = Command::new(site.program());
        command.arg("127.0.0.1:0").arg(pid_file(site)).arg("127.0.0.1:0");
        command.args([format!("{TLS}/server.pem"), format!("{TLS}/server.key")]);
        let mut first = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
        let mut address = |name: &str| {
            let line = lines.next().unwrap().unwrap();
            line.strip_prefix(&format!("{name} on ")).unwrap_or_else(|| panic!("{line}")).parse().unwrap()
        };
        let (web, tls) = (address("web"), address("tls"));
        let server = Server { site, first, web, tls };
        wait_until("it serves", || pid_file(site).exists());
        server
    }

    fn pid(&self) -> u32 {
        fs::read_to_string(pid_file(self.site)).unwrap().trim().parse().unwrap()
    }

    /// How many connections to `address` each process of the chain has accepted and not closed.
    fn holders(&self, address: SocketAddr) -> BTreeMap<u32, usize> {
        running(self.site.path()).into_iter().map(|pid| (pid, connections(pid, address.port()))).collect()
    }

    #[track_caller]
    fn switch(&self) -> u32 {
        let before = self.pid();
        signal(before, Signal::USR2);
        wait_until("the successor serves", || self.pid() != before);
        self.pid()
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        end_all(self.site.path());
        let _ = self.first.wait();
    }
}

fn pid_file(site: &Site) -> PathBuf {
    site.path().join("app.pid")
}

/// The process that answers a request which takes `ms`.
fn ask(mut stream: impl Read + Write, ms: u64) -> io::Result<u32> {
    write!(stream, "GET /{ms} HTTP/1.1\r\nHost: test\r\n\r\n")?;
    stream.flush()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let pid = answer.trim_end().rsplit_once("pid ").and_then(|(_, pid)| pid.parse().ok());
    pid.ok_or_else(|| io::Error::other(format!("no answer: `{answer}`")))
}

/// A request over one of the two kinds of connection.
type Ask = fn(SocketAddr, u64) -> io::Result<u32>;

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn plain(address: SocketAddr, ms: u64) -> io::Result<u32> {
    ask(connect(address)?, ms)
}

fn encrypted(address: SocketAddr, ms: u64) -> io::Result<u32> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(format!("{TLS}/ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    ask(StreamOwned::new(connection, connect(address)?), ms)
}

#[test]
fn slow_and_fast_requests_across_two_handoffs_are_answered_by_the_process_that_accepted_them() {
    let site = Site::empty();
    let server = Server::start(&site);
    let ways: [(SocketAddr, Ask); 2] = [(server.web, plain), (server.tls, encrypted)];
    let mut slow = Vec::new();
    let mut serving = server.pid();
    assert_eq!(ways.map(|(address, ask)| ask(address, 0).unwrap()), [serving, serving], "before anything");
    for handoffs in 0..2 {
        for (address, ask) in ways {
            // No more than the slow ones: a client over TLS has its answer before the connection is closed.
            let open = || server.holders(address).into_values().sum::<usize>();
            wait_until("the fast ones are over", || open() <= handoffs);
            let before = server.holders(address);
            let request = std::thread::spawn(move || ask(address, 8000));
            let mut accepted = None;
            wait_until("the slow one is accepted", || {
                let now = server.holders(address);
                accepted = now.into_iter().find(|(pid, open)| *open > before.get(pid).copied().unwrap_or(0));
                accepted.is_some()
            });
            slow.push((accepted.unwrap().0, request));
        }
        let successor = server.switch();
        assert_ne!(successor, serving);
        serving = successor;
        for (address, ask) in ways {
            // The parent hears of its pause a moment later than the successor of `go`.
            wait_until("a fast one is answered by the successor", || ask(address, 0).unwrap() == serving);
        }
    }
    for (accepted, slow) in slow {
        assert_eq!(slow.join().unwrap().unwrap(), accepted, "a slow one, accepted before a handoff");
    }
    assert_eq!(ways.map(|(address, ask)| ask(address, 0).unwrap()), [serving, serving]);
}
