//! `fetchd fleet serve`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::ArgMatches;

use super::super::{Failed, Out};
use super::looked::Looked;
use crate::failure::{Exit, Reported};
use crate::rollout::serve::{Feed, Site, serve as serve_site};
use crate::service::{Inherited, Listener};

/// The store is asked at most this often, however many look.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The name of the listener, for whoever hands one down.
const LISTENER: &str = "fleet";

/// Serves the page until SIGTERM or SIGINT.
pub(crate) fn serve(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let mut inherited = Inherited::take().map_err(|error| cannot(&error))?;
    let address = matches.get_one::<SocketAddr>("page-listen").copied();
    let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8088)));
    let mut looked = Looked::of(matches)?;
    if !address.ip().is_loopback() && !matches.get_flag("listen-anyway") {
        return Err(Failed::Usage {
            message: format!("{address} can be reached by others, and the page has no password"),
            hint: "listen on 127.0.0.1 behind a proxy that asks for one, or say `--listen-anyway`".to_owned(),
        }
        .into());
    }
    let listeners = inherited.listen_or_bind(LISTENER, &address.to_string()).map_err(|error| cannot(&error))?;
    let bound: Vec<SocketAddr> = listeners.iter().filter_map(address_of).collect();
    let mut hosts: Vec<String> = bound.iter().flat_map(names).collect();
    let named = matches.get_many::<String>("page-host").unwrap_or_default();
    hosts.extend(named.map(|host| host.to_ascii_lowercase()));
    let feed = Feed::start(LOOK_EVERY, move || looked.look()).map_err(|error| cannot(&error))?;
    for address in &bound {
        if out.json() {
            out.object(&serde_json::json!({ "listening": format!("http://{address}/") }));
        } else {
            out.line(format!("listening on http://{address}/"));
        }
    }
    serve_site(inherited, listeners, Site { feed, hosts }).map_err(|error| cannot(&error))?;
    Ok(Exit::Done)
}

fn address_of(listener: &Listener) -> Option<SocketAddr> {
    listener.address().ok()?.to_string().parse().ok()
}

/// What a browser calls an address in `Host`. An address that stands for every one of the machine has no name of its own.
fn names(address: &SocketAddr) -> Vec<String> {
    let port = address.port();
    let mut names = vec![address.to_string()];
    if address.ip().is_loopback() {
        names.push(format!("localhost:{port}"));
    }
    if port == 80 {
        names.push(match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
    }
    names
}

fn cannot(error: &dyn std::error::Error) -> Reported {
    Reported {
        code: "fleet.serve".to_owned(),
        exit: Exit::Install,
        message: format!("the page cannot be served: {error}"),
        hint: None,
    }
}
