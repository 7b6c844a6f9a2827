//! What comes next in a run, decided without I/O, clock or randomness. [`workflow`] orders steps,
//! [`chat_loop`] orders the turns of a model that pursues objectives, with [`functions`] as its
//! names for tools; [`results`], [`items`] and [`verdict`] read what comes back, [`prompt`] words
//! what is asked.

pub mod chat_loop;
pub mod functions;
pub mod items;
mod order;
pub mod prompt;
pub mod results;
pub mod verdict;
pub mod workflow;
