//! The agent language: what checked agent code says ([`AgentDefinition`]), the one schedule
//! dialect, names, and the shapes of secrets that belong in no text.
//!
//! With the feature `parse` also the front end: Ruby syntax in, a definition or diagnostics out,
//! and renaming by position. The crate runs no agent code, does no I/O and reads no clock: whoever
//! needs "now" passes it.

mod clean;
mod definition;
pub mod hash;
pub mod instructions;
mod names;
mod render;
mod schedule;
pub mod secrets;

#[cfg(feature = "parse")]
mod diagnostic;
#[cfg(feature = "parse")]
mod parse;
#[cfg(feature = "parse")]
mod rename;
#[cfg(feature = "parse")]
mod source;

pub use clean::{clean, is_hidden};
pub use definition::{
    Action, AgentDefinition, Constraints, ITEM_KEY, MAX_ITEMS, MAX_ITERATIONS, Mode, RESULT_KEY,
    Schedule, Step, UnknownMode, Value, ValueError,
};
pub use names::{MAX_NAME_LENGTH, NameError, agent_name};
pub use render::render;
pub use schedule::{
    Calendar, CronSchedule, MAX_CRONS, MAX_DURATION_SECONDS, ScheduleError, ScheduleErrorKind,
    Which, cron_for_every, format_duration, parse_duration, shortest_distance,
};

#[cfg(feature = "parse")]
pub use diagnostic::{Diagnostic, DiagnosticCode, Severity};
#[cfg(feature = "parse")]
pub use parse::{
    MAX_CODE_BYTES, MAX_DIAGNOSTICS, MAX_VALUE_DEPTH, Offer, OfferedOperation, OfferedTool, Parsed,
    misfit, parse, parse_bytes,
};
#[cfg(feature = "parse")]
pub use rename::{RenameError, agent_name_span, rename};
