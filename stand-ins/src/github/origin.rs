//! The stand-in as an origin for the conformance suite.

use fetchd_fetchers::Options;
use fetchd_fetchers::conformance::{self, Contrast, Declined, Origin, Secret};
use url::Url;

use super::{Fault, GitHub, On};

const REPOSITORY: &str = "fetchd/app";

/// A [`GitHub`] whose latest release is what the suite published last.
#[derive(Debug)]
pub struct GitHubOrigin {
    github: GitHub,
    published: u64,
}

impl GitHubOrigin {
    /// Starts one.
    pub fn start() -> GitHubOrigin {
        GitHubOrigin { github: GitHub::start(), published: 0 }
    }

    /// Starts one whose API is below a path.
    pub fn start_enterprise() -> GitHubOrigin {
        GitHubOrigin { github: GitHub::start_enterprise(), published: 0 }
    }

    /// The GitHub itself.
    pub fn github(&self) -> &GitHub {
        &self.github
    }
}

impl Origin for GitHubOrigin {
    fn publish(&mut self, files: &[(&str, &[u8])]) {
        self.published += 1;
        let mut release = self.github.release(REPOSITORY, &format!("v{}.0.0", self.published));
        for (name, bytes) in files {
            release = release.asset(name, bytes);
        }
        release.publish();
    }

    fn source(&self) -> Url {
        self.github.source(REPOSITORY)
    }

    fn options(&self) -> Options {
        self.github.options()
    }

    fn inject(&mut self, fault: conformance::Fault) -> Result<(), Declined> {
        let (on, fault) = match fault {
            conformance::Fault::OpenFails => (On::storage(), Fault::Status(500)),
            conformance::Fault::Short => (On::storage(), Fault::Short),
            conformance::Fault::ReadError => (On::storage(), Fault::Reset),
            conformance::Fault::Stall => (On::storage(), Fault::Stall),
            conformance::Fault::Missing => (On::api("*"), Fault::Status(404)),
            conformance::Fault::Forbidden => (On::api("*"), Fault::Status(403)),
            conformance::Fault::Throttled(wait) => (On::api("*"), Fault::SecondaryLimit(Some(wait))),
            conformance::Fault::NoValidators => {
                self.github.inject(On::storage(), Fault::NoValidators);
                (On::api("*"), Fault::NoValidators)
            }
            _ => return Err(Declined("the stand-in does not know this fault")),
        };
        self.github.inject(on, fault);
        Ok(())
    }

    fn clear(&mut self) {
        self.github.clear();
    }

    fn open_bodies(&self) -> Result<usize, Declined> {
        Ok(self.github.open_bodies())
    }

    fn secret(&self) -> Result<Secret, Declined> {
        let token = "ghp_hunter2InATokenFile";
        self.github.token(token);
        Ok(Secret { options: self.github.options_with(token), texts: vec![token.to_owned()] })
    }

    fn contrast(&mut self) -> Result<Contrast, Declined> {
        self.github.make_private(REPOSITORY);
        self.github.token("ghp_right");
        Ok(Contrast { works: self.github.options_with("ghp_right"), fails: self.github.options_with("ghp_wrong") })
    }
}
