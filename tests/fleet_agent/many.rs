//! A fleet of real agents.
