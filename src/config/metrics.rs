//! Where this host is measured.

use std::net::SocketAddr;

use super::effective::Effective;
use super::error::ConfigError;
use super::listen::{Address, Listen};

/// Where this host is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// The address: TCP or a unix socket.
    pub address: Address,
}

impl Metrics {
    /// Whether it matters not by which name it is asked: who reaches it is let in by other means.
    pub fn answers_to_any_name(&self) -> bool {
        !matches!(&self.address, Address::Tcp(address) if address.ip().is_loopback())
    }
}

pub(super) fn metrics(settings: &Effective) -> Result<Option<Metrics>, ConfigError> {
    let Some(text) = settings.text("metrics").filter(|text| *text != "off") else { return Ok(None) };
    let base = settings.base("metrics");
    let wrong = |message: String| settings.wrong("metrics", message);
    let Listen { name, address } = Listen::parse(text, base).map_err(|error| wrong(error.to_string()))?;
    if name.is_some() {
        return Err(wrong(format!("`{text}` has a name, and nobody asks for it")));
    }
    let (local, port) = match &address {
        Address::Unix(_) => (true, None),
        Address::Tcp(at) => (at.ip().is_loopback(), Some(at.port())),
        Address::Any(port) => (false, Some(*port)),
        Address::Udp(_) => {
            return Err(wrong(format!("`{text}` is for datagrams, and metrics are asked for over HTTP")));
        }
    };
    if !local && !settings.on("metrics_anyway") {
        let own = SocketAddr::from(([127, 0, 0, 1], port.unwrap_or_default()));
        let hint =
            format!("write `{own}`, behind a proxy that asks who somebody is; or insist with `metrics_anyway = true`");
        return Err(
            wrong(format!("`{text}` can be reached from other machines, and there is no password")).hinted(&hint)
        );
    }
    let served = settings.list("listen").iter().filter_map(|text| Listen::parse(text, settings.base("listen")).ok());
    if port != Some(0) && served.into_iter().any(|listen| listen.address == address) {
        return Err(wrong(format!("`{address}` is one of the service's own addresses, `listen`")));
    }
    Ok(Some(Metrics { address }))
}
