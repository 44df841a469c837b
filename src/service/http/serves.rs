//! What a server asks of the service behind it, said once.

use std::error::Error;

use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};

/// A service that a [`Server`](super::Server) can answer requests with.
///
/// It is implemented for everything that has these bounds, and there is nothing in it to implement: a
/// `hyper::service::service_fn`, or a tower service such as an `axum::Router` through
/// `hyper_util::service::TowerToHyperService`.
pub trait Serves<B>:
    Service<Request<Incoming>, Response = Response<B>, Future: Send, Error: Into<Box<dyn Error + Send + Sync>>>
    + Clone
    + Send
    + 'static
{
}

impl<S, B> Serves<B> for S
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
{
}

/// The body of an answer that a [`Server`](super::Server) can send.
///
/// As [`Serves`], it is implemented for everything that has these bounds.
pub trait Content: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static {}

impl<B> Content for B
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
}
