//! A server of threads, with the standard library alone: `fetchd run --listen web=:8080 -- service-std`.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::thread;
use std::time::Duration;

use fetchd::service::blocking::{Server, Stream};
use fetchd::service::{Connection, Inherited, Next};

fn main() -> Result<(), Box<dyn Error>> {
    // It may print, log and parse whatever it likes before it looks at what it inherited.
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("service-std {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let mut inherited = Inherited::take()?;
    let listeners = inherited.listen_or_bind("web", "127.0.0.1:8080")?;
    let summary = Server::new(inherited, listeners)?.drain_on_signals()?.serve(|stream, connection| {
        // An error is the client's affair: it has gone, or talks nonsense.
        thread::spawn(move || drop(serve(&stream, &connection)));
    })?;
    println!("left after {:?}, {} connections were cut", summary.took, summary.aborted);
    Ok(())
}

/// Just enough HTTP/1.1 for requests without a body.
fn serve(stream: &Stream, connection: &Connection) -> io::Result<()> {
    stream.set_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(stream);
    loop {
        // What the client sent ahead is in the buffer, and the socket says nothing of it.
        if reader.buffer().is_empty() && connection.wait(stream)? == Next::Leave {
            return Ok(());
        }
        let Some(request) = line(&mut reader)? else { return Ok(()) };
        let mut close = false;
        while let Some(header) = line(&mut reader)?.filter(|header| !header.is_empty()) {
            close |= header.eq_ignore_ascii_case("connection: close");
        }
        if let Some(ms) = request.split(' ').nth(1).and_then(|path| path.strip_prefix("/slow?ms=")) {
            thread::sleep(Duration::from_millis(ms.parse().unwrap_or(0)));
        }
        close |= connection.is_draining();
        let body = format!("{{\"version\":\"{}\",\"pid\":{}}}\n", env!("CARGO_PKG_VERSION"), std::process::id());
        let word = if close { "close" } else { "keep-alive" };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: {word}\r\n\r\n", body.len());
        let mut writer = stream;
        writer.write_all((head + &body).as_bytes())?;
        if close {
            return Ok(());
        }
    }
}

/// The next line without its end; `None` at the end of the stream.
fn line(reader: &mut BufReader<&Stream>) -> io::Result<Option<String>> {
    let mut line = String::new();
    reader.take(8192).read_line(&mut line)?;
    Ok(line.ends_with('\n').then(|| line.trim_end().to_owned()))
}
