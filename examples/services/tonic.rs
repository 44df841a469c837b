//! A gRPC server on tonic: `fetchd run --listen grpc=:8080 -- service-tonic`.
//!
//! `tonic::transport` has no drain that knows of connections without a first byte, so tonic's service runs on
//! `fetchd::service::http`. The service is written by hand where others have one made from a `.proto`: one
//! unary call, `/example.About/Get`, whose messages are plain text.
#![allow(clippy::print_stdout)]

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _};
use fetchd::service::Inherited;
use fetchd::service::http::{self, Server};
use hyper_util::service::TowerToHyperService;
use tokio::time::sleep;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{Context, Pin, Poll, Service, http as messages};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("service-tonic {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    // Before the runtime is built: it starts threads.
    let inherited = Inherited::take()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(inherited))
}

async fn run(mut inherited: Inherited) -> Result<(), Box<dyn Error>> {
    let server = Server::new(inherited.listen_or_bind("grpc", "127.0.0.1:8080")?);
    let routes = TowerToHyperService::new(Routes::new(About).prepare());
    let summary = http::run_until_drained(inherited, server, routes).await?;
    println!("left after {:?}, {} connections were cut", summary.took, summary.aborted);
    Ok(())
}

/// Tells which process answers, after as many milliseconds as the request asks for.
#[derive(Debug, Clone)]
struct About;

impl UnaryService<String> for About {
    type Response = String;
    type Future = Answer<Result<Response<String>, Status>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        Box::pin(async move {
            sleep(Duration::from_millis(request.get_ref().parse().unwrap_or(0))).await;
            let about = format!("{{\"version\":\"{}\",\"pid\":{}}}\n", env!("CARGO_PKG_VERSION"), std::process::id());
            Ok(Response::new(about))
        })
    }
}

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Service<messages::Request<Body>> for About {
    type Response = messages::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: messages::Request<Body>) -> Self::Future {
        Box::pin(async move {
            match request.uri().path() {
                "/example.About/Get" => Ok(Grpc::new(Text).unary(About, request).await),
                _ => Ok(Status::unimplemented("there is `Get` and nothing else").into_http()),
            }
        })
    }
}

impl NamedService for About {
    const NAME: &'static str = "example.About";
}

/// Messages are text.
#[derive(Debug, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Text;
    type Decoder = Text;

    fn encoder(&mut self) -> Text {
        Text
    }

    fn decoder(&mut self) -> Text {
        Text
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        String::from_utf8(bytes.into()).map(Some).map_err(|_| Status::invalid_argument("the message is not text"))
    }
}
