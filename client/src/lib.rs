//! What every client of a synthesizer does in the same way: chooses a replica, makes its endpoint,
//! shows its credentials, and reads files again when they change.
//!
//! Must not depend on Kubernetes, nor know where addresses come from.

pub mod credentials;
pub mod endpoint;
pub mod pool;
pub mod watched;
