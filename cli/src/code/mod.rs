//! `code`, `revisions`, `diff`, `pin` and `unpin`: which code there is, what it may do, and which of
//! it runs. `stored` and `powers` are pure, `command` reads and writes.

pub(crate) mod command;
mod powers;
pub(crate) mod stored;
mod text;

#[cfg(test)]
mod tests;
