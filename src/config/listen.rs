//! Addresses to listen on, as they are written.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::effective::absolute;

/// A socket to hold for the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The name the service finds it by, in `LISTEN_FDNAMES`.
    pub name: Option<String>,
    /// Where it listens.
    pub address: Address,
}

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `:8080`: every address of the machine. To be bound as `[::]` for both families, or as
    /// `0.0.0.0` where the machine has no IPv6.
    Any(u16),
    /// One address, and only its own family: `127.0.0.1:8080`, `[::]:8080`.
    Tcp(SocketAddr),
    /// A socket in the file system; absolute.
    Unix(PathBuf),
    /// Datagrams on one address: `udp:127.0.0.1:53`, `udp:[::1]:53`.
    Udp(SocketAddr),
}

/// The text is not an address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address to listen on: {why}")]
pub struct BadListen {
    text: String,
    why: &'static str,
}

impl Listen {
    /// Reads `[name=]address`; a relative socket path is relative to `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Listen, BadListen> {
        let bad = |why| BadListen { text: text.to_owned(), why };
        // An `=` in a socket's path is none that ends a name.
        let (name, address) = match text.split_once('=') {
            Some((name, address)) if !name.contains(['/', ':']) => (Some(name), address),
            _ => (None, text),
        };
        if let Some(name) = name
            && (name.is_empty() || name.len() > 255 || !name.chars().all(|c| c.is_ascii_graphic()))
        {
            return Err(bad("a name is 1 to 255 printable ASCII characters"));
        }
        let address = address.trim();
        let address = if let Some(path) = address.strip_prefix("unix:") {
            let path = absolute(base, Path::new(path));
            match path.as_os_str().len() {
                _ if address == "unix:" => return Err(bad("the path is missing")),
                _ if address.starts_with("unix:@") => return Err(bad("abstract sockets are not supported")),
                // sun_path holds 108 bytes with the final NUL.
                108.. => return Err(bad("a socket's path has at most 107 bytes")),
                _ => Address::Unix(path),
            }
        } else if let Some(address) = address.strip_prefix("udp:") {
            // One socket for every address would answer from whichever the kernel picks.
            Address::Udp(address.parse().map_err(|_| bad("write `udp:127.0.0.1:53` or `udp:[::1]:53`"))?)
        } else if let Some(port) = address.strip_prefix(':') {
            Address::Any(port.parse().map_err(|_| bad("the port is a number from 0 to 65535"))?)
        } else {
            Address::Tcp(address.parse().map_err(|_| bad(FORMS))?)
        };
        Ok(Listen { name: name.map(str::to_owned), address })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Any(port) => write!(f, ":{port}"),
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Udp(address) => write!(f, "udp:{address}"),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}={}", self.address),
            None => self.address.fmt(f),
        }
    }
}

const FORMS: &str =
    "write `:8080`, `127.0.0.1:8080`, `[::1]:8080`, `unix:/path` or `udp:127.0.0.1:53`; host names are not looked up";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_and_shows_itself() {
        for text in [
            ":8080",
            "127.0.0.1:8080",
            "[::]:80",
            "[::1]:0",
            "unix:/run/web.sock",
            "web=:8080",
            "a=unix:/x=y",
            "dns=udp:[::1]:53",
        ] {
            let listen = Listen::parse(text, Path::new("/base")).unwrap();
            assert_eq!(listen.to_string(), text);
        }
        let listen = Listen::parse("web=unix:./s", Path::new("/base")).unwrap();
        assert_eq!(listen.name.as_deref(), Some("web"));
        assert_eq!(listen.address, Address::Unix(PathBuf::from("/base/s")));
        let listen = Listen::parse("unix:/a=b", Path::new("/base")).unwrap();
        assert_eq!((listen.name, listen.address), (None, Address::Unix(PathBuf::from("/a=b"))));
    }

    #[test]
    fn the_rest_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "write `:8080`"),
            ("8080", "write `:8080`"),
            ("localhost:8080", "host names"),
            (":99999", "0 to 65535"),
            (":", "0 to 65535"),
            ("::1:80", "0 to 65535"),
            ("unix:", "path is missing"),
            ("udp::53", "write `udp:127.0.0.1:53`"),
            ("udp:localhost:53", "write `udp:127.0.0.1:53`"),
            ("unix:@abstract", "abstract"),
            ("=:80", "name"),
            ("a b=:80", "name"),
        ] {
            let error = Listen::parse(text, Path::new("/base")).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert!(Listen::parse(&long, Path::new("/")).is_err());
    }
}
