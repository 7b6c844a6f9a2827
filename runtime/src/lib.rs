//! The reference agent runtime. It runs what the agent language says, and is the only program of
//! this project that calls tools.
//!
//! Read in this order: [`env`] and [`code`] (what is to be done), [`engine`] (what comes next,
//! pure: no I/O, no clock, no randomness), [`mcp`] and [`model`] (how tools and models are
//! reached), [`run`] (one run: the engine's orders carried out), [`resident`] (runs again and
//! again), [`serve`] (runs that somebody asks for), [`termination`] (what is told at the end).

pub mod checkpoint;
pub mod code;
pub mod deadline;
pub mod due;
pub mod engine;
pub mod env;
pub mod http;
pub mod mcp;
pub mod metrics;
pub mod model;
pub mod outcome;
pub mod process;
pub mod program;
pub mod random;
pub mod resident;
pub mod run;
pub mod serve;
pub mod telemetry;
pub mod termination;
pub mod tokens;
pub mod trace;
