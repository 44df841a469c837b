//! Buckets and objects behind one lock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use md5::{Digest, Md5};
use s3s::dto::{Checksum, ETag, Metadata};
use s3s::{S3Result, s3_error};

use super::sums::{self, Sums};

/// Every operation is one step under this lock, so the store is linearizable.
#[derive(Clone, Default)]
pub(super) struct Store(Arc<Mutex<State>>);

impl Store {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub(super) struct State {
    buckets: BTreeMap<String, Bucket>,
    pub(super) uploads: BTreeMap<String, Upload>,
    serial: u64,
}

#[derive(Default)]
struct Bucket {
    versioned: bool,
    objects: BTreeMap<String, Vec<Version>>,
}

/// One state of a key: an object or, in a versioned bucket, the mark of a deletion.
pub(super) struct Version {
    pub(super) id: Option<String>,
    pub(super) object: Option<Arc<Object>>,
}

/// What stays with an object besides its bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub(super) content_type: Option<String>,
    pub(super) metadata: Option<Metadata>,
    /// The MD5 of the key the client encrypts with, which every reader must show again.
    pub(super) key_md5: Option<String>,
}

pub(super) struct Object {
    pub(super) bytes: Bytes,
    /// Without quotes.
    pub(super) etag: String,
    pub(super) modified: SystemTime,
    pub(super) about: About,
    pub(super) version: Option<String>,
    /// No two objects have the same, not even with the same bytes.
    pub(super) serial: u64,
    sums: OnceLock<Sums>,
}

impl Object {
    pub(super) fn etag(&self) -> ETag {
        ETag::Strong(self.etag.clone())
    }

    /// As uploaded; else a CRC64NVME of the whole, which S3 computes by itself.
    pub(super) fn sums(&self) -> &Sums {
        self.sums.get_or_init(|| Sums::whole(sums::crc64nvme(&self.bytes)))
    }
}

/// An object that is not stored yet.
pub(super) struct New {
    pub(super) bytes: Bytes,
    pub(super) etag: String,
    pub(super) about: About,
    pub(super) sums: Option<Sums>,
}

impl New {
    /// With the ETag of a single upload: the MD5 of the bytes.
    pub(super) fn whole(bytes: Bytes, about: About, sums: Option<Checksum>) -> New {
        New { etag: hex(&Md5::digest(&bytes)), bytes, about, sums: sums.map(Sums::whole) }
    }
}

/// A multipart upload under way.
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) about: About,
    pub(super) algorithm: Option<String>,
    /// Whether the checksum is one of the whole object rather than of the parts' checksums.
    pub(super) whole: bool,
    pub(super) parts: BTreeMap<i32, Part>,
}

pub(super) struct Part {
    pub(super) bytes: Bytes,
    pub(super) md5: [u8; 16],
    pub(super) sums: Checksum,
}

impl State {
    pub(super) fn add_bucket(&mut self, name: &str, versioned: bool) {
        self.buckets.insert(name.to_owned(), Bucket { versioned, ..Bucket::default() });
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn bucket(&self, name: &str) -> S3Result<&Bucket> {
        self.buckets.get(name).ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))
    }

    fn bucket_mut(&mut self, name: &str) -> S3Result<&mut Bucket> {
        self.buckets.get_mut(name).ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))
    }

    pub(super) fn check_bucket(&self, name: &str) -> S3Result<()> {
        self.bucket(name).map(drop)
    }

    /// The object a plain read of `key` shows.
    pub(super) fn current(&self, bucket: &str, key: &str) -> S3Result<Option<Arc<Object>>> {
        Ok(self.bucket(bucket)?.objects.get(key).and_then(|versions| versions.last()?.object.clone()))
    }

    /// What a read of `key` finds, or why it finds nothing.
    pub(super) fn find(&self, bucket: &str, key: &str, version: Option<&str>) -> S3Result<Arc<Object>> {
        let versions = self.bucket(bucket)?.objects.get(key);
        let Some(wanted) = version else {
            let current = versions.and_then(|versions| versions.last()?.object.clone());
            return current.ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."));
        };
        let found = versions.into_iter().flatten().find(|version| version.id.as_deref().unwrap_or("null") == wanted);
        match found {
            Some(Version { object: Some(object), .. }) => Ok(object.clone()),
            Some(_) => Err(s3_error!(MethodNotAllowed, "The specified version is the mark of a deletion.")),
            None => Err(s3_error!(NoSuchVersion, "The specified version does not exist.")),
        }
    }

    /// Makes `new` what `key` shows.
    pub(super) fn put(&mut self, bucket: &str, key: &str, new: New) -> S3Result<Arc<Object>> {
        let serial = self.next_serial();
        let bucket = self.bucket_mut(bucket)?;
        let version = bucket.versioned.then(|| format!("version-{serial}"));
        let object = Arc::new(Object {
            bytes: new.bytes,
            etag: new.etag,
            modified: SystemTime::now(),
            about: new.about,
            version: version.clone(),
            serial,
            sums: new.sums.map(OnceLock::from).unwrap_or_default(),
        });
        let versions = bucket.objects.entry(key.to_owned()).or_default();
        if !bucket.versioned {
            versions.clear();
        }
        versions.push(Version { id: version, object: Some(object.clone()) });
        Ok(object)
    }

    /// Removes `key`, or one version of it; in a versioned bucket marks it as deleted. Returns the
    /// version removed or made, and whether that is a mark.
    pub(super) fn delete(
        &mut self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> S3Result<(Option<String>, bool)> {
        let serial = self.next_serial();
        let bucket = self.bucket_mut(bucket)?;
        if let Some(wanted) = version {
            let versions = bucket.objects.entry(key.to_owned()).or_default();
            versions.retain(|version| version.id.as_deref().unwrap_or("null") != wanted);
            bucket.objects.retain(|_, versions| !versions.is_empty());
            return Ok((Some(wanted.to_owned()), false));
        }
        if bucket.versioned {
            let id = Some(format!("version-{serial}"));
            bucket.objects.entry(key.to_owned()).or_default().push(Version { id: id.clone(), object: None });
            return Ok((id, true));
        }
        bucket.objects.remove(key);
        Ok((None, false))
    }

    /// Every object that plain reads show, by key.
    pub(super) fn objects(&self, bucket: &str) -> S3Result<impl Iterator<Item = (&String, &Arc<Object>)>> {
        let objects = self.bucket(bucket)?.objects.iter();
        Ok(objects.filter_map(|(key, versions)| Some((key, versions.last()?.object.as_ref()?))))
    }

    /// Every version of every key, newest first.
    pub(super) fn versions(&self, bucket: &str) -> S3Result<impl Iterator<Item = (&String, &Version, bool)>> {
        let objects = self.bucket(bucket)?.objects.iter();
        Ok(objects.flat_map(|(key, versions)| {
            versions.iter().rev().enumerate().map(move |(age, version)| (key, version, age == 0))
        }))
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
