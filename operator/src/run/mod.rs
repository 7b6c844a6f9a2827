//! The process: start and end ([`operator`]), the loop of each kind ([`runner`]), health, metrics
//! and traces.

pub(crate) mod admin;
pub(crate) mod backoff;
pub(crate) mod metrics;
pub(crate) mod operator;
pub(crate) mod outcome;
pub(crate) mod readiness;
pub(crate) mod resolver;
pub(crate) mod runner;
pub(crate) mod steps;
pub(crate) mod telemetry;
pub(crate) mod undecodable;
