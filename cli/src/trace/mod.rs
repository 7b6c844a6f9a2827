//! `trace`: the traces of an agent's last synthesis and last run. `known` reads what objects hold
//! of them, `spans` what a backend answers, `text` shows both: all three are pure. `command` reads
//! the objects, and `backend` asks whom the user names; neither finds a backend by itself.

mod backend;
pub(crate) mod command;
mod known;
mod spans;
mod text;

#[cfg(test)]
mod tests;
