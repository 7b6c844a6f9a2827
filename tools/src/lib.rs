//! Reference MCP tool servers, and the adapter that serves stdio servers over HTTP.
//!
//! A tool is a [`toolbox::Toolbox`]: operations and what they do. [`server`] serves one in both
//! eras of the protocol; [`arguments`] reads what callers send. [`filesystem`], [`web`] and
//! [`email`] are the tools, [`adapter`] serves somebody else's.

pub mod adapter;
pub mod arguments;
pub mod email;
pub mod filesystem;
pub mod server;
pub mod settings;
pub mod toolbox;
pub mod web;
