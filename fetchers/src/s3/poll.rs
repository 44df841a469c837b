//! One conditional request: what the object is now.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::ChecksumType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};

use super::S3Fetcher;
use super::error::{refusal, status};
use super::mark::Mark;
use super::requests::Requests;
use crate::error::{FetchError, Kind};
use crate::fetcher::{Asset, Polled, Release, Revision};
use crate::options::grouped;
use crate::{DOCUMENT_LIMIT, is_document};

impl S3Fetcher {
    pub(super) async fn poll_now(&self, since: Option<&Revision>) -> Result<Polled, FetchError> {
        let known = since.map(Mark::parse).unwrap_or_default();
        let requests = Requests::prepare(&self.settings).await?;
        let release = if is_document(self.settings.key()) {
            let asked = requests
                .get(&self.settings, self.settings.key())
                .set_version_id(self.settings.version_id.clone())
                .set_if_none_match(known.etag.clone());
            match asked.send().await {
                Ok(answer) => self.document(answer).await?,
                Err(error) => return self.unchanged(&known, &error),
            }
        } else {
            match requests.head(&self.settings).set_if_none_match(known.etag.clone()).send().await {
                Ok(answer) => self.object(&answer),
                Err(error) => return self.unchanged(&known, &error),
            }
        };
        // Servers that ignore conditions exist.
        let unchanged = Mark::parse(&release.revision).same(&known);
        Ok(if unchanged { Polled::Unchanged } else { Polled::Offers(release) })
    }

    /// A 304 is an error to the SDK, with an ETag in it or without.
    fn unchanged<E>(&self, known: &Mark, error: &SdkError<E, HttpResponse>) -> Result<Polled, FetchError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match status(error) {
            Some(304) if known.etag.is_some() => Ok(Polled::Unchanged),
            Some(304) => Err(self.error(Kind::Other, "answers `not modified` to a request without a condition")),
            _ => Err(refusal(self.settings.url(), error)),
        }
    }

    fn object(&self, answer: &HeadObjectOutput) -> Release {
        let mark = Mark::of(answer.e_tag(), answer.version_id());
        let digest = digest(answer.checksum_sha256(), answer.checksum_type());
        self.release(&mark, answer.content_length().and_then(|size| u64::try_from(size).ok()), digest, None)
    }

    async fn document(&self, answer: GetObjectOutput) -> Result<Release, FetchError> {
        let mut mark = Mark::of(answer.e_tag(), answer.version_id());
        let too_large = || {
            let limit = grouped(DOCUMENT_LIMIT);
            self.error(Kind::TooLarge, format!("is larger than {limit} bytes, the most a document may have"))
        };
        let announced = answer.content_length().and_then(|size| u64::try_from(size).ok());
        if announced.is_some_and(|size| size > DOCUMENT_LIMIT) {
            return Err(too_large());
        }
        let mut body = answer.body;
        let mut bytes = BytesMut::new();
        while let Some(chunk) = self.settings.chunk(self.settings.url(), &mut body).await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > DOCUMENT_LIMIT {
                return Err(too_large());
            }
        }
        if announced.is_some_and(|size| size != bytes.len() as u64) {
            return Err(self.error(Kind::Incomplete, "is not as long as announced"));
        }
        mark.add_digest(&bytes);
        Ok(self.release(&mark, Some(bytes.len() as u64), None, Some(bytes.freeze())))
    }

    fn release(&self, mark: &Mark, size: Option<u64>, digest: Option<String>, document: Option<Bytes>) -> Release {
        let asset = Asset { name: self.name.clone(), size, digest, handle: None };
        Release { revision: mark.revision(), label: None, assets: vec![asset], document }
    }
}

/// `sha256:…`, if the server shows the digest of the whole object and not one of its parts' digests.
fn digest(base64: Option<&str>, of: Option<&ChecksumType>) -> Option<String> {
    if of.is_some_and(|of| *of != ChecksumType::FullObject) {
        return None;
    }
    let bytes = STANDARD.decode(base64?).ok().filter(|bytes| bytes.len() == 32)?;
    Some(format!("sha256:{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_NOTHING: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    #[test]
    fn a_checksum_of_the_whole_object_is_its_digest() {
        let expected = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(Some(OF_NOTHING), None).as_deref(), Some(expected));
        assert_eq!(digest(Some(OF_NOTHING), Some(&ChecksumType::FullObject)).as_deref(), Some(expected));
    }

    #[test]
    fn a_checksum_of_checksums_is_no_digest() {
        assert_eq!(digest(Some(&format!("{OF_NOTHING}-2")), None), None);
        assert_eq!(digest(Some(OF_NOTHING), Some(&ChecksumType::Composite)), None);
        for bad in ["", "AAAA", "not base64", "-1"] {
            assert_eq!(digest(Some(bad), None), None, "{bad}");
        }
        assert_eq!(digest(None, None), None);
    }
}
