//! A server that updates itself: overseer's example, on this library.
//!
//! Settings come from the environment, as `docs/embedding.md` shows: `FETCHD_SOURCE`, `FETCHD_KEY`, `FETCHD_LISTEN`.
#![allow(clippy::print_stderr, reason = "a server's log")]

use std::convert::Infallible;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fetchd::demo::trailer;
use fetchd::service::http::{Server, run_until_drained};
use fetchd::{Service, ServiceContext};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};

fn main() -> ExitCode {
    // A program of your own says `env!("CARGO_PKG_VERSION")`. This one reads it from the end of its own file, so that its
    // next release needs no compiler.
    let version = trailer::own().map(|trailer| trailer.version).unwrap_or_default();
    Service::new("my-app").version(&version).listen("web", ":5001").environment().run(program)
}

fn program(mut context: ServiceContext) -> Result<(), Box<dyn Error>> {
    let id = context.digest().map_or_else(|| "not supervised".to_owned(), |digest| digest[..8].to_owned());
    let name = Arc::new(format!("app#{} ({id})", context.version().unwrap_or("0")));
    let listeners = context.listeners();
    for listener in &listeners {
        eprintln!("{name} of generation {:?} listens on {}", context.generation(), listener.address()?);
    }
    let hello = {
        let name = Arc::clone(&name);
        service_fn(move |request| hello(Arc::clone(&name), request))
    };
    let server = Server::new(listeners);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let summary = runtime.block_on(run_until_drained(context.into_inherited(), server, hello))?;
    eprintln!("{name} exits after {} requests", summary.requests);
    Ok(())
}

/// `/?d=2s` answers after two seconds.
async fn hello(name: Arc<String>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let query = request.uri().query().unwrap_or_default();
    let delay = query.strip_prefix("d=").and_then(|delay| delay.strip_suffix('s')?.parse().ok()).unwrap_or(0.0);
    tokio::time::sleep(Duration::try_from_secs_f64(delay).unwrap_or_default()).await;
    Ok(Response::new(Full::from(format!("{name} says hello\n"))))
}
