//! `run`, `history`, `logs`, `suspend` and `resume`: runs of agents, those that were and those to
//! come. `past` and `lines` are pure, `command`, `log` and `suspend` read and write.

pub(crate) mod command;
mod lines;
pub(crate) mod log;
mod past;
pub(crate) mod suspend;

#[cfg(test)]
mod tests;
