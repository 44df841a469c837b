//! Wraps the program's service: counts what is in flight, and says `Connection: close` while draining.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::Service;
use hyper::{Request, Response, StatusCode, Version};
use pin_project_lite::pin_project;

use super::server::Shared;
use super::stream::{Activity, InFlight};

/// The program's service on one connection.
#[derive(Debug)]
pub(super) struct Answering<S> {
    inner: S,
    shared: Arc<Shared>,
    activity: Arc<Activity>,
}

impl<S> Answering<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>, activity: Arc<Activity>) -> Answering<S> {
        Answering { inner, shared, activity }
    }
}

impl<S, B> Service<Request<Incoming>> for Answering<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    type Response = Response<Counted<B>>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
        let in_flight = Some(InFlight::begin(&self.activity));
        Answer { inner: self.inner.call(request), shared: Arc::clone(&self.shared), in_flight }
    }
}

pin_project! {
    /// A response on its way.
    pub(super) struct Answer<F> {
        #[pin]
        inner: F,
        shared: Arc<Shared>,
        in_flight: Option<InFlight>,
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Counted<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        // After a switch of protocols the header belongs to the other protocol; HTTP/2 has no such
        // header and leaves by GOAWAY.
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if this.shared.is_draining() && !switches && response.version() <= Version::HTTP_11 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let in_flight = this.in_flight.take();
        Poll::Ready(Ok(response.map(|inner| Counted { inner, _in_flight: in_flight })))
    }
}

pin_project! {
    /// A response's body; the request is in flight until it is dropped.
    pub(super) struct Counted<B> {
        #[pin]
        inner: B,
        _in_flight: Option<InFlight>,
    }
}

impl<B: Body> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
