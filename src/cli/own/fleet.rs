//! What the commands of `fetchd fleet` take.

use std::net::SocketAddr;

use clap::{Arg, ArgAction, Command, value_parser};

use super::{file, switch, text};

pub(super) fn add(command: Command, verb: &str) -> Command {
    match verb {
        "fleet doctor" => command
            .arg(store())
            .arg(
                text("need", "FEATURE", "Fail unless the store can do this")
                    .action(ArgAction::Append)
                    .value_parser(feature)
                    .long_help(
                        "Fail with `fleet.store_lacks` unless the store can do what this needs: `fetch`, `evidence`, \
                         `one-operator`, `operators`, `stewards` or `leases`.",
                    ),
            )
            .arg(switch("dry-run", "Try everything, and write no caps.json")),
        "fleet status" => command
            .arg(store())
            .arg(fleet_key())
            .arg(switch("watch-rollout", "Go on, and print every change").long("watch"))
            .arg(
                file("html", "FILE", "Write the page as one file that needs nothing beside it, and print nothing")
                    .conflicts_with_all(["watch-rollout", "prometheus", "json"]),
            )
            .arg(
                switch("prometheus", "Print metrics in Prometheus's text format")
                    .conflicts_with_all(["watch-rollout", "json"]),
            ),
        "fleet serve" => command
            .arg(store())
            .arg(fleet_key())
            .arg(
                text("page-listen", "ADDRESS", "Where the page is")
                    .long("listen")
                    .value_parser(value_parser!(SocketAddr))
                    .default_value("127.0.0.1:8088"),
            )
            .arg(switch("listen-anyway", "Let others reach the page too, though it has no password"))
            .arg(
                text("page-host", "NAME", "Another name that browsers call it by, with its port: `fleet.example.com`")
                    .long("host")
                    .action(ArgAction::Append)
                    .long_help(
                        "Another value of the header `Host` that is answered: the name behind a proxy, say. A request with \
                         any other name is refused, so that a page elsewhere whose name is made to point here reads \
                         nothing.",
                    ),
            ),
        #[cfg(feature = "fleet")]
        _ => super::rollout::add(command, verb),
        #[cfg(not(feature = "fleet"))]
        _ => command,
    }
}

/// Whose word counts about rollouts.
fn fleet_key() -> Arg {
    text("fleet-key", "KEY", "A public key that may sign the rollout, or its file")
        .action(ArgAction::Append)
        .required(true)
}

/// Where the fleet is.
pub(super) fn store() -> Arg {
    text("store", "URL", "The bucket of the fleet: s3://BUCKET/PREFIX [env: FETCHD_FLEET_STORE]").long_help(
        "The bucket of the fleet, as `s3://BUCKET/PREFIX?region=REGION`. The options are those of an S3 source, in the \
         URL's query; credentials come from the environment or a profile, as for other tools of AWS. [env: \
         FETCHD_FLEET_STORE]",
    )
}

#[cfg(feature = "fleet")]
fn feature(text: &str) -> Result<crate::fleet::Feature, String> {
    let known = crate::fleet::Feature::ALL;
    known.into_iter().find(|feature| feature.name() == text).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|feature| feature.name()).collect();
        format!("not one of {}", names.join(", "))
    })
}

#[cfg(not(feature = "fleet"))]
fn feature(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}
