//! Tools, reached over MCP: one connection per server, made when it is first needed, in whichever
//! era the server speaks. [`failure`] says what may be repeated, [`operation`] what can be called,
//! [`output`] reads results (all three pure); [`connection`] negotiates, `session` notices lost
//! sessions, [`request`] sends one request, [`tools`] calls.

pub mod connection;
pub mod failure;
pub mod operation;
pub mod output;
pub mod request;
mod session;
pub mod tools;
