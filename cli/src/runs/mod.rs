//! `run`, `history`, `logs`, `suspend` and `resume`: runs of agents, those that were and those to
//! come. `past` and `lines` are pure, `command` and `log` read and write.

pub(crate) mod command;
mod lines;
pub(crate) mod log;
mod past;

#[cfg(test)]
mod tests;
