//! The worker of a supervisor: this very program in another role, and perhaps as another user.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::setup::own_program;
use crate::config::{self, Config};
use crate::failure::{Exit, Reported};
use crate::fetch::{ProcessWorker, Settings, User, Worker};
use crate::install::Install;

/// A worker that downloads into `install`'s staging, which is given to its user.
pub fn worker_process(config: &Config, install: &Install) -> Result<Box<dyn Worker>, Reported> {
    let settings = settings(config)?;
    let user = settings.user;
    install.give_staging(user.map(|user| (user.uid, user.gid)))?;
    if let Some(user) = user {
        traversable(install.staging(), user)?;
    }
    Ok(Box::new(ProcessWorker::new(own_program()?, install.staging(), settings)))
}

/// A worker that only looks, and writes nothing.
pub fn polling_worker(config: &Config) -> Result<Box<dyn Worker>, Reported> {
    Ok(Box::new(ProcessWorker::polling(own_program()?, settings(config)?)))
}

fn settings(config: &Config) -> Result<Settings, Reported> {
    let reached = config.source.as_ref().map(config::Source::reached);
    let scheme = reached.as_ref().map_or("", |url| url.scheme());
    let settings = Settings {
        memory: config.worker.memory,
        inherit: fetchd_fetchers::variables(scheme).iter().map(|name| (*name).to_owned()).collect(),
        harden: config.worker.hardening,
        user: config.worker.user.as_deref().map(user).transpose()?,
        file_size: Some(config.download.max_size),
        ..Settings::default()
    };
    #[cfg(debug_assertions)]
    let settings = impatient_if_asked(settings);
    Ok(settings)
}

/// Tests of a worker that falls silent need not wait as long as an operator would.
#[cfg(debug_assertions)]
fn impatient_if_asked(settings: Settings) -> Settings {
    let asked = std::env::var("FETCHD_TEST_WORKER_SILENCE_MS").ok().and_then(|ms| ms.parse().ok());
    let silence = asked.map_or(settings.silence, std::time::Duration::from_millis);
    Settings { silence, ..settings }
}

/// The user that `wanted` names, which this process can become only as root.
fn user(wanted: &str) -> Result<User, Reported> {
    let wrong = |message: String, hint: &str| Reported {
        code: "worker.user".to_owned(),
        exit: Exit::Usage,
        message,
        hint: Some(hint.to_owned()),
    };
    let own = rustix::process::geteuid();
    if !own.is_root() {
        let own = own.as_raw();
        let message =
            format!("`worker.user` is `{wanted}`, and only root can start a worker as another user, not user {own}");
        return Err(wrong(message, "leave `worker.user` out, or run fetchd as root"));
    }
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = known.lines().find_map(|line| listed(line, wanted));
    // A number needs no entry.
    let user = user.or_else(|| wanted.parse().ok().map(|id| User { uid: id, gid: id }));
    match user {
        None => Err(wrong(
            format!("`worker.user` is `{wanted}`, which `/etc/passwd` does not know"),
            "create the user, for example with `useradd --system`, or give its number",
        )),
        Some(User { uid: 0, .. }) => Err(wrong(
            format!("`worker.user` is `{wanted}`, which is root itself"),
            "name a user of its own, or leave `worker.user` out",
        )),
        Some(user) => Ok(user),
    }
}

/// A line of the file, if it is about `wanted`, a name or a number.
fn listed(line: &str, wanted: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let uid = fields.nth(1)?;
    let gid = fields.next()?;
    (name == wanted || uid == wanted).then(|| Some(User { uid: uid.parse().ok()?, gid: gid.parse().ok()? }))?
}

/// Refuses a staging directory that `user` could not reach.
fn traversable(staging: &Path, user: User) -> Result<(), Reported> {
    for above in staging.ancestors().skip(1) {
        let Ok(meta) = fs::metadata(above) else { continue };
        let may = match meta.uid() {
            uid if uid == user.uid => 0o100,
            _ if meta.gid() == user.gid => 0o010,
            _ => 0o001,
        };
        if meta.mode() & may == 0 {
            return Err(Reported {
                code: "worker.user".to_owned(),
                exit: Exit::Usage,
                message: format!(
                    "the worker's user {} may not pass through `{}`, which is above its staging directory",
                    user.uid,
                    above.display()
                ),
                hint: Some(format!("`chmod o+x {}`, or keep the program elsewhere", above.display())),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_by_number() {
        let line = "www-data:x:33:34:www-data:/var/www:/usr/sbin/nologin";
        assert_eq!(listed(line, "www-data"), Some(User { uid: 33, gid: 34 }));
        assert_eq!(listed(line, "33"), Some(User { uid: 33, gid: 34 }));
        assert_eq!(listed(line, "www"), None);
        assert_eq!(listed("broken", "broken"), None);
    }
}
