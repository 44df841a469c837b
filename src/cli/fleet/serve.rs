//! `fetchd fleet serve`.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::ArgMatches;

use super::open::Opened;
use super::status::Looked;
use crate::cli::{Failed, Out};
use crate::digest::Sha256;
use crate::failure::{Exit, Reported, chain};
use crate::rollout::serve::{Feed, Order, Site, Source, serve as serve_site};
use crate::rollout::{Change, Effect, GOOD_FOR, Proposal, View};
use crate::service::{Inherited, ListenError, Listener};

/// The store is asked at most this often, however many look.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The name of the listener, for whoever hands one down.
const LISTENER: &str = "fleet";

/// Serves the page until SIGTERM or SIGINT.
pub(super) fn serve(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let mut inherited = Inherited::take().map_err(|error| cannot(&error))?;
    let address = matches.get_one::<SocketAddr>("page-listen").copied();
    let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8088)));
    let opened = Opened::new(matches, false)?;
    if !address.ip().is_loopback() && !matches.get_flag("listen-anyway") {
        return Err(Failed::Usage {
            message: format!("{address} can be reached by others, and the page has no password"),
            hint: "listen on 127.0.0.1 behind a proxy that asks for one, or say `--listen-anyway`".to_owned(),
        }
        .into());
    }
    let listeners = inherited.listen_or_bind(LISTENER, &address.to_string()).map_err(|error| unlistened(&error))?;
    let bound: Vec<SocketAddr> = listeners.iter().filter_map(address_of).collect();
    let mut hosts: Vec<String> = bound.iter().flat_map(names).collect();
    let named = matches.get_many::<String>("page-host").unwrap_or_default();
    hosts.extend(named.map(|host| host.to_ascii_lowercase()));
    let token = if opened.keys.is_empty() { None } else { Some(random()?) };
    let watched = Watched { looked: Looked::new(opened), shown: None };
    let feed = Feed::start(LOOK_EVERY, watched).map_err(|error| cannot(&error))?;
    // Behind `#` it is sent to nobody: the page's script keeps it, and shows its buttons.
    let secret = token.as_ref().map(|token| format!("#{token}")).unwrap_or_default();
    for address in &bound {
        if out.json() {
            out.object(&serde_json::json!({ "listening": format!("http://{address}/{secret}") }));
        } else {
            out.line(format!("listening on http://{address}/{secret}"));
        }
    }
    serve_site(inherited, listeners, Site { feed, hosts, token }).map_err(|error| cannot(&error))?;
    Ok(Exit::Done)
}

/// The rollout that is looked at, and the change that somebody was shown and has not confirmed.
#[derive(Debug)]
struct Watched {
    looked: Looked,
    shown: Option<(String, Proposal)>,
}

impl Source for Watched {
    fn look(&mut self) -> Result<View, Reported> {
        self.looked.look()
    }

    fn propose(&mut self, order: &Order) -> Result<(String, Vec<String>), Reported> {
        let change = match order {
            Order::Pause => Change::Pause,
            Order::Resume { ack } => Change::Resume { ack: ack.clone(), exclude: Vec::new() },
            Order::Abort => Change::Abort,
        };
        let proposal = Proposal::change(&mut self.looked.opened.desk(), &change, GOOD_FOR)?;
        let id = random()?;
        let lines = proposal.effect.lines();
        self.shown = Some((id.clone(), proposal));
        Ok((id, lines))
    }

    fn confirm(&mut self, id: &str) -> Result<String, Reported> {
        // Once, and what was shown: whatever has changed meanwhile makes the write fail.
        let Some((_, proposal)) = self.shown.take().filter(|(shown, _)| shown == id) else {
            return Err(Failed::Usage {
                message: "this is not the change that was shown last".to_owned(),
                hint: "look at it once more".to_owned(),
            }
            .into());
        };
        let keys = self.looked.opened.keys.clone();
        let done = proposal.write(&mut self.looked.opened.desk(), &keys)?;
        Ok(Effect::line(&done.head))
    }
}

/// 64 hexadecimal digits that nobody guesses.
fn random() -> Result<String, Reported> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| cannot(&error))?;
    Ok(Sha256::of(&random).to_string())
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

/// An address that is taken, or is not this machine's, is a mistake in the command.
fn unlistened(error: &ListenError) -> Reported {
    let ListenError::Bind { address, source } = error else { return cannot(error) };
    let message = match source.kind() {
        ErrorKind::AddrInUse => format!("`{address}` is taken: another program listens there"),
        ErrorKind::AddrNotAvailable => format!("`{address}` is no address of this machine"),
        _ => return cannot(error),
    };
    let hint = "give another with `--listen ADDRESS:PORT`; port 0 is any that is free".to_owned();
    Reported { code: "fleet.serve".to_owned(), exit: Exit::Usage, message, hint: Some(hint) }
}

fn cannot(error: &(dyn std::error::Error + 'static)) -> Reported {
    Reported {
        code: "fleet.serve".to_owned(),
        exit: Exit::Install,
        message: format!("the page cannot be served: {}", chain(error)),
        hint: Some("another address can be given with `--listen`".to_owned()),
    }
}
