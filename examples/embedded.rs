//! The program of `tests/embed`: every way to have fetchd inside, with the standard library alone.
//!
//! Its first argument says which way; its settings come from the environment, its version from the end of its file.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the tests read what it prints")]

use std::error::Error;
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fetchd::agent::{Outcome, UpdateEvent};
use fetchd::demo::trailer::{self, Fault, Trailer};
use fetchd::embed::{Updating, check};
use fetchd::service::{Notify, Socket};
use fetchd::verify::Verdict;
use fetchd::{Process, RestartDecision, SelfUpdate, Service, ServiceContext, Updater};
use rustix::process::Signal;

fn main() -> ExitCode {
    // Whoever logs before anything else is no worse off.
    println!("INFO starting up, library 7.7.7");
    eprintln!("WARN nothing is configured yet");
    let trailer = trailer::own().expect("the program can read its own file");
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("updater") => with_process(|process| updater(process, &words, &trailer)),
        Some("self-update") => with_process(|process| self_update(process, &words, &trailer)),
        _ => service(&words, trailer),
    }
}

/// The file that follows a flag.
fn file(words: &[String], flag: &str) -> Option<PathBuf> {
    value(words, flag).map(PathBuf::from)
}

fn value<'a>(words: &'a [String], flag: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| word == flag)?;
    words.get(at + 1).map(String::as_str)
}

fn has(words: &[String], flag: &str) -> bool {
    words.iter().any(|word| word == flag)
}

fn service(words: &[String], trailer: Trailer) -> ExitCode {
    if has(words, "--thread") {
        // A thread of the program's own, as a logger or a runtime has them, started too early.
        std::thread::spawn(|| {
            loop {
                std::thread::park();
            }
        });
    }
    fail_as_a_successor(words, &trailer);
    let mut service = Service::new("app").version(&trailer.version).listen("web", "127.0.0.1:0").environment();
    if value(words, "--more-from") == Some(&trailer.version) {
        service = service.listen("more", "127.0.0.1:0");
    }
    if let Some(settings) = file(words, "--config") {
        service = service.config_file(settings);
    }
    service = service.replace_supervisor(!has(words, "--stays"));
    service = service.required(has(words, "--required")).restart_after_update(!has(words, "--when-asked"));
    if has(words, "--by-others") {
        service = service.restart_by_others();
    }
    if has(words, "--hup") {
        service = service.restart_signal(Signal::HUP);
    }
    if let Some(bad) = value(words, "--refuse").map(str::to_owned) {
        service = service.check(check("own", move |candidate| {
            let version = candidate.chosen().version().map(ToString::to_string);
            Ok(if version.as_ref() == Some(&bad) { Verdict::Refuse("not this one".to_owned()) } else { Verdict::Pass })
        }));
    }
    if let Some(closed) = file(words, "--not-while") {
        service = service.before_install(move |_| if closed.exists() { Err("it is closed".into()) } else { Ok(()) });
    }
    if let Some(log) = file(words, "--events") {
        service = service.on_event(move |event| note(&log, event)).on_event(|_| panic!("a hook that panics"));
    }
    service.run(move |context| serve(context, &trailer))
}

/// What a release does that cannot follow its supervisor, though it serves well.
fn fail_as_a_successor(words: &[String], trailer: &Trailer) {
    let role = std::env::var("FETCHD_ROLE").unwrap_or_default();
    let version = Some(trailer.version.as_str());
    match role.as_str() {
        // From before there was this role.
        "supervisor-check" if value(words, "--no-role") == version => std::process::exit(64),
        "supervisor-check" if value(words, "--crash") == version => std::process::abort(),
        "supervisor-resume" if value(words, "--spoil") == version => {
            let settings = file(words, "--config").expect("it is given, too");
            std::fs::write(settings, "nonsense").expect("the settings can be written");
        }
        _ => {}
    }
}

/// One line for each event, but for polls that found nothing.
fn note(log: &PathBuf, event: &UpdateEvent) {
    let line = match event {
        UpdateEvent::Polling | UpdateEvent::Finished(Outcome::Unchanged | Outcome::UpToDate { .. }) => return,
        event => named(event),
    };
    let mut file = OpenOptions::new().create(true).append(true).open(log).expect("the log can be written");
    writeln!(file, "{line}").expect("the log can be written");
}

fn named(event: &UpdateEvent) -> String {
    match event {
        UpdateEvent::Installing { version, .. } => format!("installing {}", version.as_ref().expect("it is signed")),
        UpdateEvent::HandedOff { version, .. } => format!("handed off {}", version.as_ref().expect("it is signed")),
        UpdateEvent::Finished(outcome) => outcome.word().to_owned(),
        UpdateEvent::Refused(why) => format!("refused {}", why.code),
        UpdateEvent::Failed(why) => format!("failed {}", why.code),
        UpdateEvent::RolledBack => "rolled back".to_owned(),
        UpdateEvent::Polling => "polling".to_owned(),
        _ => "something new".to_owned(),
    }
}

fn serve(mut context: ServiceContext, trailer: &Trailer) -> Result<ExitCode, Box<dyn Error>> {
    match trailer.fault {
        Some(Fault::ExitBeforeReady) => return Ok(ExitCode::from(3)),
        Some(Fault::Reject) => context.reject("the schema is too new")?,
        _ => {}
    }
    let draining = context.draining()?;
    let names = format!("{:?}", context.names());
    let Some(Socket::Tcp(listener)) = context.listener("web").map(fetchd::service::Listener::into_socket) else {
        return Err("there is no listener `web`".into());
    };
    let about = Arc::new(format!(
        "version {}\ngeneration {:?}\ndigest {:?}\nnames {names}\nprogram {}\nsupervised {}\npid {}\nage {}\n",
        context.version().unwrap_or("none"),
        context.generation(),
        context.digest(),
        context.program().display(),
        context.is_supervised(),
        std::process::id(),
        context.started_at().elapsed()?.as_secs(),
    ));
    if !context.is_supervised() {
        println!("listening on {}", listener.local_addr()?);
    }
    context.extend(Duration::from_secs(60))?;
    context.ready()?;
    if trailer.fault == Some(Fault::CrashAfterReady) {
        // Long enough to be switched to.
        std::thread::sleep(Duration::from_millis(200));
        std::process::exit(9);
    }
    std::thread::scope(|scope| {
        while let Some((stream, _)) = draining.accept(&listener)? {
            let (about, notify) = (Arc::clone(&about), context.notify().clone());
            // A client that breaks off is no failure of the server.
            scope.spawn(move || answer(stream, &about, &notify).ok());
        }
        drop(listener);
        Ok(ExitCode::SUCCESS)
    })
}

fn answer(stream: TcpStream, about: &str, notify: &Notify) -> Result<(), Box<dyn Error + Send + Sync>> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(&stream).take(16 * 1024).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or("/");
    if let Some(ms) = path.strip_prefix("/slow/") {
        std::thread::sleep(Duration::from_millis(ms.parse()?));
    } else if path == "/crash" {
        std::process::exit(9);
    } else if path == "/restart" {
        notify.restart()?;
    } else if let Some(text) = path.strip_prefix("/status/") {
        notify.status(text)?;
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", about.len());
    (&stream).write_all(format!("{head}{about}").as_bytes())?;
    Ok(())
}

fn with_process(program: impl FnOnce(&Process) -> ExitCode) -> ExitCode {
    match Process::start() {
        Ok(process) => program(&process),
        Err(ended) => ended,
    }
}

/// Does what the lines of its input say, and prints what becomes of it.
fn updater(process: &Process, words: &[String], trailer: &Trailer) -> ExitCode {
    if has(words, "--version") {
        println!("app {}", trailer.version);
        return ExitCode::SUCCESS;
    }
    let decision = match value(words, "--decide") {
        Some("exit") => RestartDecision::Exit(5),
        Some("fail") => RestartDecision::Failed("the successor went away".to_owned()),
        _ => RestartDecision::Later,
    };
    let mut updater = Updater::new("app").version(&trailer.version).environment();
    if has(words, "--local") {
        updater = updater.local_worker(fetchd_fetchers::Registry::builtin());
    }
    let started = updater.start(process, move |launch| {
        println!("decide {}", launch.version.as_ref().expect("it is signed"));
        decision.clone()
    });
    let updating = match started {
        Ok(updating) => updating,
        Err(failure) => return failed(&failure),
    };
    for line in std::io::stdin().lines() {
        obey(&updating, &line.expect("the input is text"));
    }
    updating.stop();
    println!("stopped");
    ExitCode::SUCCESS
}

fn obey(updating: &Updating, line: &str) {
    let answer = match line {
        "poll" => updating.poll_now(),
        "hold" => updating.hold(Some("a test"), None),
        "unhold" => updating.unhold(),
        "back" => updating.roll_back(),
        "events" => {
            while let Some(event) = updating.next_event(Duration::ZERO) {
                println!("event {}", named(&event));
            }
            return println!("end of events");
        }
        other => return println!("what is `{other}`?"),
    };
    match answer {
        Ok(answer) => println!("answer {} {}", answer.outcome, answer.error.map(|e| e.code).unwrap_or_default()),
        Err(failure) => println!("failure {}", failure.code),
    }
}

fn self_update(process: &Process, words: &[String], trailer: &Trailer) -> ExitCode {
    if has(words, "--version") {
        println!("app {}", trailer.version);
        return ExitCode::SUCCESS;
    }
    let update = SelfUpdate::new("app").version(&trailer.version).environment();
    let result = if has(words, "--check") { update.check(process) } else { update.apply(process) };
    match result {
        Ok(outcome) => {
            println!("{} {}", outcome.word(), outcome.version().map(ToString::to_string).unwrap_or_default());
            ExitCode::from(outcome.exit().number())
        }
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &fetchd::failure::Reported) -> ExitCode {
    eprintln!("{}", fetchd::failure::report(failure));
    ExitCode::from(failure.exit.number())
}
