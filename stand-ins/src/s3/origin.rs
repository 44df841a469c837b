//! The server as an origin, for the conformance suite.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fetchd_fetchers::Options;
use fetchd_fetchers::conformance::{Contrast, Declined, Fault as Wanted, Origin, Secret};
use url::Url;

use super::{Fault, RELEASES, Refusal, S3Server, SECRET_KEY, When};

/// What a session token looks like; the server takes any.
const SESSION_TOKEN: &str = "IQoJb3JpZ2luX2VjFETCHDsession";

/// An [`S3Server`] that `s3:` reads, at `s3://releases/<prefix>/app`.
#[derive(Debug)]
pub struct S3Origin {
    server: S3Server,
    prefix: String,
    /// Half of the object's size.
    half: u64,
}

impl S3Origin {
    /// Starts one.
    ///
    /// # Panics
    /// If no port of 127.0.0.1 can be bound.
    pub fn start() -> S3Origin {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let prefix = format!("channel-{}/", COUNT.fetch_add(1, Ordering::Relaxed));
        S3Origin { server: S3Server::start(), prefix, half: 0 }
    }

    /// The server behind it.
    pub fn server(&self) -> &S3Server {
        &self.server
    }

    fn with_secret(&self, secret: &str) -> Options {
        let mut options = self.options();
        options.insert("secret_access_key".to_owned(), vec![secret.to_owned()]);
        options
    }
}

impl Origin for S3Origin {
    fn publish(&mut self, files: &[(&str, &[u8])]) {
        let objects: Vec<(String, Bytes)> = files
            .iter()
            .map(|(name, bytes)| (format!("{}{name}", self.prefix), Bytes::copy_from_slice(bytes)))
            .collect();
        self.server.bucket(RELEASES).replace(&self.prefix, &objects);
        self.half = files.first().map_or(0, |(_, bytes)| bytes.len() as u64 / 2);
    }

    fn source(&self) -> Url {
        self.server.source(&format!("{}app", self.prefix))
    }

    fn options(&self) -> Options {
        self.server.options()
    }

    fn inject(&mut self, fault: Wanted) -> Result<(), Declined> {
        let fault = match fault {
            Wanted::OpenFails => Fault::Refuse(Refusal::InternalError),
            Wanted::Short => Fault::Truncate(self.half),
            Wanted::ReadError => Fault::Reset(self.half),
            Wanted::Stall => Fault::Stall(self.half),
            Wanted::Missing => Fault::Refuse(Refusal::NoSuchKey),
            Wanted::Forbidden => Fault::Refuse(Refusal::AccessDenied),
            Wanted::Throttled(wait) => Fault::Refuse(Refusal::SlowDown(Some(wait))),
            Wanted::NoValidators => Fault::NoValidators,
            _ => return Err(Declined("this origin does not know the fault")),
        };
        self.server.inject(fault, When::any().key(&format!("{}app", self.prefix)));
        Ok(())
    }

    fn clear(&mut self) {
        self.server.clear();
    }

    fn open_bodies(&self) -> Result<usize, Declined> {
        Ok(self.server.bodies())
    }

    fn secret(&self) -> Result<Secret, Declined> {
        let options = Options::from([("session_token".to_owned(), vec![SESSION_TOKEN.to_owned()])]);
        Ok(Secret { options, texts: vec![SECRET_KEY.to_owned(), SESSION_TOKEN.to_owned()] })
    }

    fn contrast(&mut self) -> Result<Contrast, Declined> {
        Ok(Contrast { works: self.options(), fails: self.with_secret("not-the-secret-of-this-key") })
    }
}
