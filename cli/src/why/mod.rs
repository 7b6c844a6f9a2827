//! `why`: what keeps an object from being as its spec says. `gather` asks the API server for all
//! that may matter; the walk over it is pure: `agent` and `service` are tables of checks, in the
//! order in which one thing follows from another, and the first that fails ends the walk.

mod advice;
mod agent;
mod assemble;
mod diagnosis;
mod event;
mod facts;
mod finding;
pub(crate) mod gather;
mod object;
mod pod;
mod reference;
mod service;
mod synthesis;
mod text;
mod workload;

#[cfg(test)]
mod tests;
