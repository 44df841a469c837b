//! A bucket as a test sees it, past HTTP.

use std::fmt;

use bytes::Bytes;
use md5::{Digest, Md5};

use super::store::{About, New, Store, hex};
use super::sums;

/// A bucket of an [`S3Server`](super::S3Server), read and written in its memory: no request, no
/// fault, no entry in the log.
pub struct Bucket<'a> {
    store: &'a Store,
    name: &'a str,
}

impl<'a> Bucket<'a> {
    pub(super) fn new(store: &'a Store, name: &'a str) -> Bucket<'a> {
        Bucket { store, name }
    }

    /// Stores an object as an upload in one piece does, and returns its ETag without quotes. It has
    /// the checksum S3 gives by itself, a CRC64NVME.
    ///
    /// # Panics
    /// As every method here, if there is no such bucket.
    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) -> String {
        self.store_new(key, New::whole(bytes.into(), About::default(), None))
    }

    /// As [`Bucket::put`], with the SHA-256 of the object as its checksum.
    pub fn put_with_sha256(&self, key: &str, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let sums = sums::sha256(&bytes);
        self.store_new(key, New::whole(bytes, About::default(), Some(sums)))
    }

    /// As [`Bucket::put`], with the ETag of an upload in two parts: no MD5, and `-2` at its end.
    pub fn put_multipart(&self, key: &str, bytes: impl Into<Bytes>) -> String {
        let mut new = New::whole(bytes.into(), About::default(), None);
        let (one, two) = new.bytes.split_at(new.bytes.len() / 2);
        let digests = [Md5::digest(one), Md5::digest(two)].concat();
        new.etag = format!("{}-2", hex(&Md5::digest(digests)));
        self.store_new(key, new)
    }

    fn store_new(&self, key: &str, new: New) -> String {
        self.store.lock().put(self.name, key, new).expect("the bucket exists").etag.clone()
    }

    /// Removes whatever is under `prefix` and stores these objects, in one step.
    pub fn replace(&self, prefix: &str, objects: &[(String, Bytes)]) {
        let mut state = self.store.lock();
        let old = state.objects(self.name).expect("the bucket exists").map(|(key, _)| key);
        let old: Vec<String> = old.filter(|key| key.starts_with(prefix)).cloned().collect();
        for key in old {
            state.delete(self.name, &key, None).expect("the bucket exists");
        }
        for (key, bytes) in objects {
            let new = New::whole(bytes.clone(), About::default(), None);
            state.put(self.name, key, new).expect("the bucket exists");
        }
    }

    /// The bytes of an object.
    pub fn get(&self, key: &str) -> Option<Bytes> {
        let object = self.store.lock().current(self.name, key).expect("the bucket exists");
        object.map(|object| object.bytes.clone())
    }

    /// The ETag of an object, without quotes.
    pub fn etag(&self, key: &str) -> Option<String> {
        let object = self.store.lock().current(self.name, key).expect("the bucket exists");
        object.map(|object| object.etag.clone())
    }

    /// Removes an object; in a versioned bucket its older versions stay.
    pub fn remove(&self, key: &str) {
        self.store.lock().delete(self.name, key, None).expect("the bucket exists");
    }

    /// The keys of all objects, in order.
    pub fn keys(&self) -> Vec<String> {
        self.store.lock().objects(self.name).expect("the bucket exists").map(|(key, _)| key.clone()).collect()
    }

    /// The ids of the versions of a key, newest first, marks of deletion included.
    pub fn versions(&self, key: &str) -> Vec<String> {
        let state = self.store.lock();
        let versions = state.versions(self.name).expect("the bucket exists");
        versions.filter(|(known, ..)| *known == key).filter_map(|(_, version, _)| version.id.clone()).collect()
    }

    /// Multipart uploads that are neither complete nor aborted, as their keys.
    pub fn uploads(&self) -> Vec<String> {
        let state = self.store.lock();
        state.uploads.values().filter(|upload| upload.bucket == self.name).map(|upload| upload.key.clone()).collect()
    }
}

impl fmt::Debug for Bucket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).finish_non_exhaustive()
    }
}
