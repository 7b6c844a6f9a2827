//! Stub.
pub mod instructions;
