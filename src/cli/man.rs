//! `fetchd man`.

use std::fs;
use std::path::PathBuf;

use clap::{ArgMatches, Command};
use clap_mangen::Man;

use super::{Failed, Out, args, unwritable};
use crate::failure::{Exit, Reported};

pub(super) fn print(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let mut root = args::command();
    // Fills in the names of nested commands: `fetchd-config-show`.
    root.build();
    if let Some(dir) = matches.get_one::<PathBuf>("dir") {
        fs::create_dir_all(dir).map_err(unwritable(dir))?;
        for command in pages(&root) {
            let man = page(command);
            let path = dir.join(man.get_filename());
            fs::write(&path, render(&man)?).map_err(unwritable(&path))?;
        }
        return Ok(Exit::Done);
    }
    let mut command = &root;
    for name in matches.get_many::<String>("command").into_iter().flatten() {
        command = command.find_subcommand(name).ok_or_else(|| Failed::Usage {
            message: format!("there is no command `{name}`"),
            hint: "`fetchd --help` lists them".to_owned(),
        })?;
    }
    out.bytes(&render(&page(command))?);
    Ok(Exit::Done)
}

/// `command` and all commands below it that are shown.
fn pages(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().filter(|below| !below.is_hide_set()).flat_map(pages);
    std::iter::once(command).chain(below).collect()
}

fn page(command: &Command) -> Man {
    Man::new(command.clone()).source(concat!("fetchd ", env!("CARGO_PKG_VERSION"))).manual("fetchd")
}

fn render(man: &Man) -> Result<Vec<u8>, Reported> {
    let mut text = Vec::new();
    man.render(&mut text).map_err(|source| Failed::Output { source })?;
    Ok(text)
}
