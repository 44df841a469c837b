//! A health check by URL, in a process of its own: the supervisor does no network I/O.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::process::ExitCode;
use std::time::Duration;

use url::Url;

/// Whether a process with these arguments, without its name, is such a check: started by the supervisor of the very same
/// program, about a process that it names.
pub(crate) fn asked(arguments: &[OsString]) -> Option<&OsStr> {
    match arguments {
        [command, url] if command == COMMAND && std::env::var_os("FETCHD_PID").is_some() => Some(url),
        _ => None,
    }
}

/// Asks `url` once. Exits with 0 for a 2xx answer. Whoever runs it sets the deadline.
pub(crate) fn main(url: &OsStr) -> ExitCode {
    match ask(&url.to_string_lossy()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Nobody is left to hear of an error of stderr.
            let _ = writeln!(io::stderr(), "health check of {}: {why}", url.to_string_lossy());
            ExitCode::FAILURE
        }
    }
}

fn ask(url: &str) -> Result<(), String> {
    let url = Url::parse(url).map_err(|e| e.to_string())?;
    let host = url.host_str().ok_or("the URL names no host")?;
    let port = url.port_or_known_default().unwrap_or(80);
    let address = (host.trim_matches(['[', ']']), port).to_socket_addrs().map_err(|e| e.to_string())?.next();
    let address = address.ok_or("the host has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: fetchd\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut answer = String::new();
    // The status line is in the first bytes; nothing else is looked at.
    stream.take(64).read_to_string(&mut answer).map_err(|e| e.to_string())?;
    let status = answer.split_whitespace().nth(1).unwrap_or_default();
    if answer.starts_with("HTTP/1.") && status.starts_with('2') { Ok(()) } else { Err(format!("status `{status}`")) }
}

/// The first argument of such a process.
pub(super) const COMMAND: &str = "probe";

const PATIENCE: Duration = Duration::from_secs(5);
