//! temporary
use super::shell::Shell;
use fetchd::fleet::HostId;
use fetchd_stand_ins::s3::{ACCESS_KEY, S3Server, SECRET_KEY};
use std::fs;
use std::process::Command;

#[test]
#[ignore]
fn guide() {
    let (shell, server) = (tempfile::tempdir().unwrap(), S3Server::start());
    let dir = shell.path().to_owned();
    let names = fetchd::fleet::Names::new("fleet", "web", "stable").unwrap();
    let run = |line: &str| {
        let args: Vec<String> = shlex(line);
        let out = Command::new(env!("CARGO_BIN_EXE_fetchd"))
            .current_dir(&dir)
            .env_clear()
            .args(&args)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("FETCHD_PRODUCT", "web")
            .env("FETCHD_KEY", "release.pub")
            .env("FETCHD_FLEET_STORE", server.source("fleet").as_str())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        println!(
            "$ fetchd {line}\n{}{}(exit {:?})\n",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr),
            out.status.code()
        );
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let publish = |version: &str, more: &str| {
        let mut bytes = fs::read("/bin/true").unwrap();
        bytes.extend_from_slice(version.as_bytes());
        fs::write(dir.join("web"), bytes).unwrap();
        let text = run(&format!(
            "fleet publish --secret-key release.key --release {version} {more} x86_64-unknown-linux-gnu=web"
        ));
        text.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    run("keygen --no-password");
    run("fleet init --make-key --no-password");
    run("fleet doctor");
    run("fleet init --fleet-key rollout.pub");
    let first = publish("1.4.1", "--bounds default");
    let second = publish("1.4.2", "--bounds default --rollback-to 1.4.1");
    for n in 0..200 {
        let host = HostId::named(&format!("web-{n}"));
        let ring = if n < 3 { "0" } else { "1" };
        let az = ["a", "b", "c"][n % 3];
        server.put(
            &names.inventory("0", host),
            format!("{{\"host\":\"{host}\",\"name\":\"web-{n}\",\"labels\":{{\"ring\":\"{ring}\",\"az\":\"{az}\"}}}}")
                .into_bytes(),
        );
    }
    run(&format!("fleet start --rollout-key rollout.key --release {second} --plan fast --yes"));
    run(&format!(
        "fleet start --rollout-key rollout.key --release {second} --ring canary,host=web-0,host=web-1 --lease {{az}}:2 --window 'mon,tue,wed,thu 06:00-16:00' --dry-run"
    ));
    run(&format!("fleet start --rollout-key rollout.key --release {second} --dry-run"));
    run(&format!("fleet start --rollout-key rollout.key --release {second} --yes"));
    let rollout = "r-".to_owned();
    let keys = server.keys();
    let plan = keys.iter().find(|key| key.contains("/ro/r-")).unwrap();
    let rollout = plan.split('/').find(|part| part.starts_with(&rollout)).unwrap().to_owned();
    run("fleet explain --fleet-key rollout.pub web-17");
    run("fleet steward --once --fleet-key rollout.pub");
    run("fleet explain --fleet-key rollout.pub web-17");
    run("fleet status --fleet-key rollout.pub");
    run("fleet pause --rollout-key rollout.key --yes");
    run("fleet pause --rollout-key rollout.key --yes");
    run("fleet resume --rollout-key rollout.key --yes");
    run("fleet promote --rollout-key rollout.key --yes");
    run("fleet pin --rollout-key rollout.key --yes web-9");
    let early: Vec<HostId> =
        (0..200).map(|n| HostId::named(&format!("web-{n}"))).filter(|host| host.position(&second) < 0.03).collect();
    for (n, host) in early.iter().enumerate() {
        let report = |text: &str| server.put(&names.evidence(&rollout, "0", *host, &text.parse().unwrap()), &b"{}"[..]);
        report("1-s-r0k0");
        report(if n < 4 { "1-b-handoff.exited" } else { "1-o" });
    }
    run("fleet steward --once --fleet-key rollout.pub");
    run("fleet hosts --fleet-key rollout.pub");
    let text = run("fleet resume --rollout-key rollout.key --yes");
    let _ = text;
    let latch = server.get(&names.latch(&rollout, 0)).unwrap();
    let sha = fetchd::digest::Sha256::of(&latch).to_string();
    run(&format!("fleet resume --rollout-key rollout.key --ack {} --dry-run", &sha[..12]));
    run(&format!("fleet rollback --rollout-key rollout.key --to {first} --yes"));
    run("fleet abort --rollout-key rollout.key --yes");
    run("fleet gc --fleet-key rollout.pub --older 1s --dry-run");
    let _ = Shell::new;
}

fn shlex(line: &str) -> Vec<String> {
    let (mut all, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => all.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    all.push(word);
    all
}
