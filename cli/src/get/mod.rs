//! `get`: one screen of a namespace, and with `--watch` what changes of it. `rows`, `changes` and
//! `text` are pure, `read` and `watch` ask.

mod changes;
pub(crate) mod read;
mod rows;
mod text;
pub(crate) mod watch;

#[cfg(test)]
mod tests;
