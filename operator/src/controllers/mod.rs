//! One controller for each kind: dereference → validate → decide → build → apply → update status. Thin: what to want is decided in
//! `langop-desired`.

pub(crate) mod agent;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod model;
mod namespace;
mod outcome;
pub(crate) mod persona;
mod service;
pub(crate) mod tool;
