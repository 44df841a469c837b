//! The words that options take, for the test that the table of settings names them all.

use super::signal::{RECIPES, SIGNALS};
use super::systemd::VERBS;

pub(crate) fn verbs() -> Vec<&'static str> {
    VERBS.to_vec()
}

pub(crate) fn recipes() -> Vec<&'static str> {
    RECIPES.iter().map(|(name, _)| *name).collect()
}

pub(crate) fn signals() -> Vec<&'static str> {
    SIGNALS.iter().map(|(name, _)| *name).collect()
}
