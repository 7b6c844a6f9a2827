//! Everything that this process writes to the API server: children, revisions of code, statuses and events, and the client through which
//! each write passes the fence. What to write is decided elsewhere.

pub(crate) mod apply;
pub(crate) mod client;
pub(crate) mod events;
pub(crate) mod ownership;
pub(crate) mod priority;
pub(crate) mod revisions;
pub(crate) mod status;
