//! `preview`, `approve` and `reject`: what waits for a person, and that person's answer. `waiting`
//! and `text` are pure, `command` reads and writes.

pub(crate) mod command;
mod text;
mod waiting;

#[cfg(test)]
mod tests;
