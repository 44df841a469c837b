//! A command-line tool that updates itself and ends.

use std::process::{Command, Output};

use fetchd::demo::{Fault, Trailer};
use fetchd::publish::SigningKey;

use crate::bench::Embed;
use crate::site::text;

/// Runs the tool at the program path.
fn tool(embed: &Embed, arguments: &[&str]) -> Output {
    let mut words = vec!["self-update"];
    words.extend(arguments);
    embed.command(&words).output().unwrap()
}

#[track_caller]
fn ends(output: &Output, code: i32, last: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(printed.lines().last(), Some(last), "{}", text(output));
}

#[test]
fn a_tool_takes_one_release_after_the_other_and_leaves_the_rest() {
    let embed = Embed::of("embedded");
    embed.publish(&Trailer::version("1.0.0"));
    ends(&tool(&embed, &[]), 0, "up_to_date 1.0.0");
    let second = embed.publish(&Trailer::version("2.0.0"));
    ends(&tool(&embed, &["--check"]), 10, "available 2.0.0");
    ends(&tool(&embed, &[]), 0, "updated 2.0.0");
    assert_eq!(embed.at_path(), second);
    let output = Command::new(embed.site.program()).arg("--version").output().unwrap();
    ends(&output, 0, "app 2.0.0");
    ends(&tool(&embed, &["--check"]), 0, "up_to_date 2.0.0");
    let third = embed.publish(&Trailer::version("3.0.0"));
    ends(&tool(&embed, &[]), 0, "updated 3.0.0");
    assert_eq!(embed.at_path(), third);
    // An older one, signed by the same key, is put in the way.
    let (pointer, kept) = (embed.site.publisher.pointer(), embed.site.path().join("kept"));
    std::fs::copy(&pointer, &kept).unwrap();
    embed.publish(&Trailer::version("4.0.0").with_fault(Fault::Reject));
    embed.site.publisher.yank("4.0.0").unwrap();
    ends(&tool(&embed, &[]), 0, "up_to_date 3.0.0");
    std::fs::copy(&kept, &pointer).unwrap();
    tool(&embed, &[]);
    let output = tool(&embed, &[]);
    assert_eq!(output.status.code(), Some(21), "{}", text(&output));
    assert_eq!(embed.at_path(), third);
}

#[test]
fn what_another_key_signed_is_refused() {
    let embed = Embed::of("embedded");
    let first = embed.at_path();
    embed.publish(&Trailer::version("2.0.0"));
    let other = SigningKey::generate().unwrap().public().to_string();
    let output = embed.command(&["self-update"]).env("FETCHD_KEY", other).output().unwrap();
    assert_eq!(output.status.code(), Some(20), "{}", text(&output));
    assert_eq!(embed.at_path(), first);
}

#[test]
fn a_file_that_cannot_be_replaced_is_exit_40_before_anything_is_downloaded() {
    let embed = Embed::of("embedded");
    let first = embed.at_path();
    embed.publish(&Trailer::version("2.0.0"));
    let srv = embed.site.path().join("srv");
    // What lies beside the program is there already, as after an earlier update.
    ends(&tool(&embed, &["--check"]), 10, "available 2.0.0");
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    let mut words = vec!["--mount"];
    if !rustix::process::geteuid().is_root() {
        words.push("--map-root-user");
    }
    let inner = embed.command(&["self-update"]);
    let mut command = Command::new("unshare");
    command.args(words).args(["sh", "-c", script, "sh"]).arg(&srv).arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.current_dir(embed.site.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(40), "{}", text(&output));
    assert_eq!(embed.at_path(), first);
}

#[test]
fn fetchd_updates_itself_from_a_source_and_a_key_that_are_given() {
    let embed = Embed::of("fetchd");
    let (source, key) = (embed.site.source(), embed.site.publisher.public_key().to_string());
    let run = |arguments: &[&str]| {
        let mut fetchd = Command::new(embed.site.program());
        fetchd.arg("self-update").arg("--state-dir").arg(embed.site.state_dir()).args(arguments);
        fetchd.current_dir(embed.site.path()).output().unwrap()
    };
    let first = embed.at_path();
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    assert!(text(&output).contains("no source to ask is given"), "{}", text(&output));
    // A service's settings are not fetchd's.
    let file = embed.site.path().join("web.toml");
    std::fs::write(&file, format!("product = \"web\"\nsource = \"{source}\"\nkey = [\"{key}\"]\n")).unwrap();
    let output = run(&["--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    assert!(text(&output).contains("these settings are of a service"), "{}", text(&output));
    // What prints the right version may take its place.
    let next = embed.publish_example("embedded", &Trailer::version("9.0.0"));
    let given = ["--source", &source, "--key", &key];
    let output = run(&[&given[..], &["--check"]].concat());
    ends(&output, 10, "`9.0.0` is available");
    assert_eq!(embed.at_path(), first);
    let said =
        "`9.0.0` is installed instead of `0.1.0`; a supervisor that runs stays what it is until it is started again";
    ends(&run(&given), 0, said);
    assert_eq!(embed.at_path(), next);
}
