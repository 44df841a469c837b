//! Octocrab on the connections that every fetcher over HTTP uses.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};

/// Octocrab over `client`. It starts a task on the runtime at hand, which ends with it.
///
/// Its own `build_with_reqwest` would send `User-Agent: octocrab` beside the one configured, and
/// put the base's path before paths that do not begin with it, those of redirects too. The service
/// below does neither: a request goes out as it is built. There is neither retry nor cache in it.
pub(super) fn octocrab(client: reqwest::Client) -> Octocrab {
    let built: Result<Octocrab, Infallible> =
        OctocrabBuilder::new_empty().with_service(Transport(client)).with_auth(AuthState::None).build();
    match built {
        Ok(octocrab) => octocrab,
        Err(never) => match never {},
    }
}

/// One request, one answer.
#[derive(Clone)]
struct Transport(reqwest::Client);

impl tower_service::Service<::http::Request<OctoBody>> for Transport {
    type Response = ::http::Response<reqwest::Body>;
    type Error = reqwest::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, reqwest::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), reqwest::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ::http::Request<OctoBody>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move {
            let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap))?;
            client.execute(request).await.map(Into::into)
        })
    }
}

/// The error of reqwest's that is underneath, if it is one.
pub(super) fn underneath(error: octocrab::Error) -> Result<reqwest::Error, octocrab::Error> {
    match error {
        octocrab::Error::Service { source, backtrace } => match source.downcast() {
            Ok(error) => Ok(*error),
            Err(source) => Err(octocrab::Error::Service { source, backtrace }),
        },
        other => Err(other),
    }
}
