//! The rules that every fetcher keeps, with signatures.

use fetchd_fetchers::Options;
use fetchd_fetchers::conformance::{Contrast, Declined, Fault, Origin, Secret};
use fetchd_stand_ins::s3::{self, RELEASES, Refusal, S3Server, SECRET_KEY, When};
use url::Url;

use crate::support::options;

/// An [`S3Server`] that `s3:` reads.
struct S3Origin {
    server: S3Server,
    /// Half of the object's size.
    half: u64,
}

impl S3Origin {
    fn start() -> S3Origin {
        S3Origin { server: S3Server::start(), half: 0 }
    }

    fn with(&self, more: &[(&str, &str)]) -> Options {
        let mut all = self.options();
        all.extend(options(more));
        all
    }
}

impl Origin for S3Origin {
    fn publish(&mut self, files: &[(&str, &[u8])]) {
        let objects: Vec<_> = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec().into())).collect();
        self.server.bucket(RELEASES).replace("", &objects);
        self.half = files.first().map_or(0, |(_, bytes)| bytes.len() as u64 / 2);
    }

    fn source(&self) -> Url {
        self.server.source("app")
    }

    fn options(&self) -> Options {
        let mut all = self.server.options();
        all.extend(options(&[("proxy", "none")]));
        all
    }

    fn inject(&mut self, fault: Fault) -> Result<(), Declined> {
        self.clear();
        let fault = match fault {
            Fault::OpenFails => s3::Fault::Refuse(Refusal::InternalError),
            Fault::Short => s3::Fault::Truncate(self.half),
            Fault::ReadError => s3::Fault::Reset(self.half),
            Fault::Stall => s3::Fault::Stall(self.half),
            Fault::Missing => s3::Fault::Refuse(Refusal::NoSuchKey),
            Fault::Forbidden => s3::Fault::Refuse(Refusal::AccessDenied),
            Fault::Throttled(wait) => s3::Fault::Refuse(Refusal::SlowDown(Some(wait))),
            Fault::NoValidators => s3::Fault::NoValidators,
            _ => return Err(Declined("the server cannot be made to")),
        };
        self.server.inject(fault, When::any().key("app"));
        Ok(())
    }

    fn clear(&mut self) {
        self.server.clear();
    }

    fn open_bodies(&self) -> Result<usize, Declined> {
        Ok(self.server.connections())
    }

    fn secret(&self) -> Result<Secret, Declined> {
        let token = "hunter2-of-a-session";
        let texts = vec![SECRET_KEY.to_owned(), token.to_owned()];
        Ok(Secret { options: self.with(&[("session_token", token)]), texts })
    }

    fn contrast(&mut self) -> Result<Contrast, Declined> {
        Ok(Contrast { works: self.options(), fails: self.with(&[("secret_access_key", "another")]) })
    }
}

fetchd_fetchers::conformance_tests!(s3_rules, S3Origin::start);
