//! What the commands of `fetchd fleet` take.

use clap::{Arg, ArgAction, Command};

use super::{switch, text};

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
        #[cfg(feature = "fleet")]
        _ => super::rollout::add(command, verb),
        #[cfg(not(feature = "fleet"))]
        _ => command,
    }
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
