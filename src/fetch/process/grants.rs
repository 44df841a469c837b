//! What one worker needs to open, worked out by the supervisor.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Settings;
use super::live::Duty;
use crate::fetch::confine::Plan;
use crate::fetch::job::Source;
use crate::fetch::wire::Request;

/// What names, connections and dynamic linking need. Not all of `/etc` and `/usr`: there may be keys in the one, and
/// our own directories in the other.
const SYSTEM: [&str; 32] = [
    "/dev/null",
    "/dev/urandom",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/gnu/store",
    "/lib",
    "/lib64",
    "/nix/store",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/pki",
    "/usr/share/zoneinfo",
    "/var/lib/ca-certificates",
    "/sys/devices/system/cpu/online",
];

/// A plan, and which files its paths meant when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) plan: Plan,
    /// Device and inode of every path: a rule covers the file that was there, not the name.
    meant: Vec<(u64, u64)>,
}

/// What a worker for `request` may open. `staging` is `None` where nothing is downloaded.
pub(super) fn granted(request: &Request, duty: Duty, staging: Option<&Path>, settings: &Settings) -> Granted {
    let mut write = Vec::new();
    let mut read: Vec<PathBuf> = Vec::new();
    // One that unpacks is handed its two files open, and opens nothing.
    if duty == Duty::Network {
        write.extend(staging.map(Path::to_owned));
        read.extend(SYSTEM.iter().map(PathBuf::from));
        read.extend(settings.read.iter().cloned());
        read.extend(named_by_variables(settings));
        match request {
            Request::Poll(job) => read.extend(of_source(&job.source, &[])),
            Request::Sibling(job) => read.extend(of_source(&job.source, &[])),
            Request::Download(job) => read.extend(of_source(&job.source, &job.urls)),
            Request::Extract(_) => {}
            #[cfg(feature = "deltas")]
            Request::Patch(_) => {}
            #[cfg(feature = "fleet")]
            Request::Store(job) => read.extend(of_source(&job.source, &[])),
        }
    }
    #[cfg(debug_assertions)]
    write.extend(of_tests(settings));
    let mut meant = Vec::new();
    for paths in [&mut write, &mut read] {
        *paths = paths.iter().filter_map(|path| path.canonicalize().ok()).collect();
        paths.sort();
        // What lies below another one needs no rule of its own.
        paths.dedup_by(|path, before| path.starts_with(before));
        meant.extend(paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|meta| (meta.dev(), meta.ino())));
    }
    let plan = Plan {
        harden: settings.harden,
        network: duty == Duty::Network,
        write,
        read,
        memory: settings.memory,
        file_size: None,
        own_user: settings.user.is_some(),
    };
    Granted { plan, meant }
}

/// Certificates and credentials that variables name.
fn named_by_variables(settings: &Settings) -> Vec<PathBuf> {
    let home = value("HOME", settings).map(PathBuf::from);
    let mut paths = Vec::new();
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().chain(settings.inherit.iter().map(String::as_str)) {
        let Some(value) = value(name, settings) else { continue };
        match name {
            "SSL_CERT_DIR" => paths.extend(std::env::split_paths(&value)),
            "HOME" => paths.push(Path::new(&value).join(".aws")),
            _ if name.ends_with("_FILE") => {
                let path = PathBuf::from(super::live::anywhere(name, value));
                let at_home = path.strip_prefix("~").ok().zip(home.as_ref()).map(|(rest, home)| home.join(rest));
                paths.push(at_home.unwrap_or(path));
            }
            _ => {}
        }
    }
    paths
}

/// What a worker will find in the variable `name`.
fn value(name: &str, settings: &Settings) -> Option<OsString> {
    let set = settings.set.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    set.or_else(|| std::env::var_os(name))
}

/// The files of a source on this machine, and those that its options name.
fn of_source(source: &Source, urls: &[String]) -> Vec<PathBuf> {
    let options =
        source.options.iter().flat_map(|(name, values)| values.iter().map(move |value| (name.clone(), value.clone())));
    let in_url = source.url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned()));
    let files = options.chain(in_url).filter(|(name, value)| name.ends_with("_file") && value.starts_with('/'));
    let mut paths: Vec<PathBuf> = files.map(|(_, value)| PathBuf::from(value)).collect();
    let Some(path) = local(&source.url) else { return paths };
    paths.extend(path.parent().map(Path::to_owned));
    // Each of these may be a link that leads elsewhere.
    let mut signature = path.clone().into_os_string();
    signature.push(".minisig");
    for url in urls {
        // As the download does: an absolute one, or the name of a file beside the source.
        match url::Url::parse(url) {
            Ok(url) => paths.extend(local(&url)),
            Err(_) => paths.push(path.with_file_name(url)),
        }
    }
    paths.extend([path, signature.into()]);
    paths
}

fn local(url: &url::Url) -> Option<PathBuf> {
    if url.scheme() == "file" { url.to_file_path().ok() } else { None }
}

/// The directories of the files with which tests steer a worker.
#[cfg(debug_assertions)]
fn of_tests(settings: &Settings) -> Vec<PathBuf> {
    let files = ["FETCHD_TEST_CHECKPOINT_FILE", "FETCHD_TEST_WORKER_FILE"];
    let files = files.into_iter().filter_map(|name| value(name, settings));
    files.filter_map(|file| Path::new(&file).parent().map(Path::to_owned)).collect()
}
