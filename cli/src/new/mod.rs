//! `new`: the manifest of an agent, from flags or from a person's answers. `draft` writes it and
//! has `lint` judge it, `questions` asks; both are pure. `command` has the terminal and the file.

pub(crate) mod command;
mod draft;
mod questions;

#[cfg(test)]
mod tests;
