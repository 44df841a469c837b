//! The driver `signal`: a server that replaces itself when it gets a signal.

mod process;
mod recipe;
mod reload;
mod upgrade;

use std::path::PathBuf;

use super::RestartDriver;
use super::external::External;
use super::registry::{Known, Setup, SetupError};
use process::PidFile;
pub(crate) use recipe::{RECIPES, SIGNALS};
use recipe::{Recipe, named};
use reload::Reload;
use upgrade::Upgrade;

pub(super) fn make(setup: Setup) -> Result<Box<dyn RestartDriver>, SetupError> {
    let known = Known::check("signal", &setup.options, &["pid_file", "recipe", "signal"])?;
    let pid_file = PidFile(PathBuf::from(known.required("pid_file", "/run/web.pid")?));
    let wanted = known.one("recipe").unwrap_or("reload");
    let Some((_, recipe)) = RECIPES.iter().find(|(name, _)| *name == wanted) else {
        let names: Vec<&str> = RECIPES.iter().map(|(name, _)| *name).collect();
        let message = format!("`{wanted}` is not one of `{}`", names.join("`, `"));
        return Err(SetupError::Value { option: "recipe", message });
    };
    let signal = match (known.one("signal"), recipe) {
        (None, _) => None,
        (Some(_), Recipe::Upgrade(_)) => {
            let message = format!("the recipe `{wanted}` has signals of its own; leave this out");
            return Err(SetupError::Value { option: "signal", message });
        }
        (Some(name), _) => Some(named(name).ok_or_else(|| {
            let names: Vec<&str> = SIGNALS.iter().map(|(name, _)| *name).collect();
            let message = format!("`{name}` is not one of `{}`", names.join("`, `"));
            SetupError::Value { option: "signal", message }
        })?),
    };
    let program = setup.program.clone();
    Ok(match recipe {
        Recipe::Upgrade(signals) => Box::new(External::new(Upgrade::new(pid_file, program, signals), setup)),
        Recipe::Reload { signal: usual, successor, worker } => {
            let signal = signal.unwrap_or(*usual);
            Box::new(External::new(Reload::new(pid_file, program, signal, *successor, *worker), setup))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_has_its_own_signals_or_takes_one() {
        let refused = |options: &[(&str, &str)]| make(Setup::with(options)).unwrap_err().to_string();
        let file = ("pid_file", "/run/web.pid");
        for (recipe, signal) in [("reload", "USR1"), ("successor", "HUP"), ("haproxy", "USR2")] {
            make(Setup::with(&[file, ("recipe", recipe)])).unwrap();
            make(Setup::with(&[file, ("recipe", recipe), ("signal", signal)])).unwrap();
        }
        for recipe in ["nginx", "unicorn", "gunicorn"] {
            make(Setup::with(&[file, ("recipe", recipe)])).unwrap();
            let said = refused(&[file, ("recipe", recipe), ("signal", "HUP")]);
            assert!(said.contains("signals of its own"), "{said}");
        }
        assert!(refused(&[file, ("recipe", "apache")]).contains("`nginx`"));
        assert!(refused(&[file, ("signal", "KILL")]).contains("`USR2`"));
    }
}
