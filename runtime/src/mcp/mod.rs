//! Tools, reached over MCP: one connection per server, made when it is first needed, in whichever era the server speaks. [`failure`]
//! says what may be repeated (pure), [`output`] reads results (pure), [`connection`] negotiates, [`session`] notices lost sessions,
//! [`tools`] calls.

pub mod connection;
pub mod failure;
pub mod output;
mod session;
pub mod tools;
