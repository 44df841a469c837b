//! A service whose supervisor could not be started: better without updates than not at all.

use super::context::ServiceContext;
use super::process::Process;
use super::settings::Settings;
use crate::config::Listen;
use crate::daemon::setup;
use crate::failure::{Exit, Reported, chain};
use crate::service::{Inherited, Listener};

/// The context of this very process, with its sockets bound here where `passed` does not hold them.
pub(super) fn context(
    settings: &Settings,
    process: &Process,
    passed: Vec<Listener>,
) -> Result<ServiceContext, Reported> {
    // What the environment or the file says counts here too, unless that is what is wrong.
    let settings_at_hand = settings.effective(process).or_else(|_| settings.bare())?;
    let base = settings_at_hand.base("listen");
    let listens = settings_at_hand.list("listen").iter().map(|text| Listen::parse(text, base));
    let listens = listens.collect::<Result<Vec<_>, _>>().map_err(|bad| failure("start.listen", &bad))?;
    let mut passed: Vec<Option<Listener>> = passed.into_iter().map(Some).collect();
    let mut listeners = Vec::new();
    for (name, address) in setup::named(&settings.product, &listens) {
        let found = passed.iter_mut().find(|known| known.as_ref().is_some_and(|known| known.name() == name));
        match found.and_then(Option::take) {
            Some(listener) => listeners.push(listener),
            None => listeners.push(bind(&name, &address.to_string())?),
        }
    }
    listeners.extend(passed.into_iter().flatten());
    let inherited = Inherited::alone(listeners).map_err(|e| failure("start.notify", &e))?;
    Ok(ServiceContext::new(inherited, process, settings.version.as_deref()))
}

fn bind(name: &str, address: &str) -> Result<Listener, Reported> {
    let bound = match address.strip_prefix(':') {
        // Both families by one socket, or IPv4 on a machine that has nothing else.
        Some(port) => {
            Listener::bind(name, &format!("[::]:{port}")).or_else(|_| Listener::bind(name, &format!("0.0.0.0:{port}")))
        }
        None => Listener::bind(name, address),
    };
    bound.map_err(|e| failure("start.listen", &e))
}

fn failure(code: &str, error: &(dyn std::error::Error + 'static)) -> Reported {
    Reported { code: code.to_owned(), exit: Exit::Usage, message: chain(error), hint: None }
}
