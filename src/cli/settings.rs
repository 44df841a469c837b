//! Settings as flags: from the table to clap, and from clap to a layer.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};

use crate::config::setting::{Kind, Places, Preset, Setting};
use crate::config::{self, ConfigError, Effective, Given, Host, Layer, Origin};

/// Adds to `command` the flags of all settings for which `takes` holds.
pub(super) fn add(mut command: Command, takes: impl Fn(&Setting) -> bool) -> Command {
    for setting in config::settings().filter(|setting| takes(setting)) {
        command = command.arg(argument(setting));
    }
    command
}

/// Reads flags, environment and file.
pub fn load(matches: &ArgMatches) -> Result<Effective, ConfigError> {
    load_text(matches, None)
}

/// The same with `text` in place of what the file contains.
pub(super) fn load_text(matches: &ArgMatches, text: Option<&str>) -> Result<Effective, ConfigError> {
    let file = matches.get_one::<PathBuf>(FILE);
    Effective::load_text(flags(matches), file.map(PathBuf::as_path), text, Host::here()?)
}

/// The same with values that nobody else has a say in.
pub(super) fn load_with<const N: usize>(
    matches: &ArgMatches,
    insists: [(&str, Given); N],
) -> Result<Effective, ConfigError> {
    let mut layer = flags(matches);
    for (setting, given) in insists.into_iter().filter_map(|(key, given)| Some((config::find(key)?, given))) {
        layer.set(setting, given, Origin::Program);
    }
    Effective::load(layer, matches.get_one::<PathBuf>(FILE).map(PathBuf::as_path), Host::here()?)
}

fn flags(matches: &ArgMatches) -> Layer {
    let mut layer = Layer::default();
    for setting in config::settings() {
        // A command without this flag answers with an error, which means the same as no value.
        let Ok(Some(values)) = matches.try_get_many::<String>(setting.key) else { continue };
        let mut values: Vec<String> = values.cloned().collect();
        let several = matches!(setting.kind, Kind::List | Kind::Table) || setting.places == Places::Arguments;
        let given = match values.pop() {
            Some(only) if !several => Given::Text(only),
            Some(last) => {
                values.push(last);
                Given::List(values)
            }
            None => continue,
        };
        layer.set(setting, given, Origin::Flag);
    }
    layer
}

fn argument(setting: &Setting) -> Arg {
    let arg = Arg::new(setting.key).value_name(setting.value_name).help_heading(setting.group.title());
    if setting.places == Places::Arguments {
        // No hyphen values: a flag with a typing error before the program is not to become the program.
        return Arg::new(setting.key)
            .value_name(setting.value_name)
            .help(setting.doc)
            .long_help(format!("{}. {}", setting.doc, setting.long))
            .num_args(1..)
            .trailing_var_arg(true)
            .value_hint(ValueHint::CommandWithArguments);
    }
    let default = setting.default_text().replace('`', "");
    let mut long = format!("{}.", setting.doc);
    if !setting.long.is_empty() {
        long = format!("{long} {}", setting.long);
    }
    long = format!("{long}\n\n[default: {default}]");
    if setting.places == Places::All {
        long = format!("{long} [env: {}] [file: {}]", setting.variable(), setting.key);
    }
    let short = match setting.default {
        Preset::Derived(_) => setting.doc.to_owned(),
        Preset::Value(_) | Preset::Words(_) => format!("{} [default: {default}]", setting.doc),
    };
    let arg = arg.long(setting.flag()).help(short).long_help(long);
    match setting.kind {
        Kind::Bool => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::List | Kind::Table => arg.action(ArgAction::Append),
        Kind::Choice(words) => arg.value_parser(PossibleValuesParser::new(words)).hide_possible_values(true),
        Kind::Argv => arg.allow_hyphen_values(true),
        Kind::Path => arg.value_hint(ValueHint::AnyPath),
        _ => arg,
    }
}

/// The id of the flag that names the configuration file.
pub(super) const FILE: &str = "config-file";
