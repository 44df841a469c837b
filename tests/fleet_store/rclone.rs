//! rclone's S3 server, which takes every condition and looks at none.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fetchd_stand_ins::s3::{ACCESS_KEY, SECRET_KEY};
use tempfile::TempDir;
use url::Url;

const READY: Duration = Duration::from_secs(60);

/// One of a directory of its own, until dropped.
pub(crate) struct Rclone {
    child: Child,
    endpoint: String,
    // Last: what it serves.
    _directory: TempDir,
}

impl Rclone {
    /// Starts one with a bucket `fleet`, and waits until it says where it listens.
    pub(crate) fn start() -> Rclone {
        let directory = TempDir::with_prefix("rclone-").unwrap();
        let (served, log) = (directory.path().join("served"), directory.path().join("log"));
        fs::create_dir_all(served.join("fleet")).unwrap();
        let output = File::create(&log).unwrap();
        let child = Command::new(find())
            .args(["serve", "s3", "--config", "/dev/null", "--addr", "127.0.0.1:0"])
            .args(["--auth-key", &format!("{ACCESS_KEY},{SECRET_KEY}")])
            .arg(&served)
            .env("HOME", directory.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut rclone = Rclone { child, endpoint: String::new(), _directory: directory };
        let until = Instant::now() + READY;
        while rclone.endpoint.is_empty() {
            let said = fs::read_to_string(&log).unwrap();
            let ended = rclone.child.try_wait().unwrap().is_some();
            assert!(Instant::now() < until && !ended, "rclone does not listen: {said}");
            let address = said.split_once("[http://").and_then(|(_, rest)| rest.split_once("/]"));
            rclone.endpoint = address.map(|(address, _)| format!("http://{address}")).unwrap_or_default();
            std::thread::sleep(Duration::from_millis(20));
        }
        rclone
    }

    pub(crate) fn source(&self) -> Url {
        let mut url = Url::parse("s3://fleet/web").unwrap();
        url.query_pairs_mut().append_pair("endpoint", &self.endpoint).append_pair("region", "us-east-1");
        url
    }
}

impl Drop for Rclone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ci/python/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain([installed]).map(|place| place.join("rclone"));
    places.find(|program| program.is_file()).expect("`rclone` is there: `tests/all` installs it")
}
