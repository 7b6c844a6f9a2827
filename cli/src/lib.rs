//! The kubectl plugin `kubectl langop`: commands for people about agents and what they use.
//!
//! `world` reads from and writes to the API server as kubectl's user, `program` owns streams and
//! exit codes, and everything between them is pure: facts in, findings and texts out, a module for
//! each command. It must not do what the user may not, and never asks for a Secret's content.

mod answer;
mod approval;
mod args;
mod code;
mod complete;
mod cost;
mod facts;
mod failure;
mod get;
mod kind;
mod lint;
mod new;
mod program;
mod runs;
mod schedule;
mod trace;
mod ui;
mod verify;
mod why;
mod world;

#[cfg(test)]
mod tests;

pub use program::{kubectl_complete_langop, kubectl_langop};
