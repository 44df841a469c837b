//! Conditions of the program's own, from a closure.

use std::error::Error;
use std::fmt;

use crate::verify::{Check, Checked, Verdict};

/// A [`Check`] that is a closure.
pub struct Checking<F> {
    name: String,
    check: F,
}

impl<F> fmt::Debug for Checking<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Checking").field(&self.name).finish()
    }
}

/// A check called `name`: what [`Check`] says of its method holds for `check`.
pub fn check<F>(name: &str, check: F) -> Checking<F>
where
    F: Fn(&Checked<'_>) -> Result<Verdict, Box<dyn Error + Send + Sync>> + Send + Sync,
{
    Checking { name: name.to_owned(), check }
}

impl<F> Check for Checking<F>
where
    F: Fn(&Checked<'_>) -> Result<Verdict, Box<dyn Error + Send + Sync>> + Send + Sync,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, candidate: &Checked<'_>) -> Result<Verdict, Box<dyn Error + Send + Sync>> {
        (self.check)(candidate)
    }
}
