//! `verify`: whether the stored code of an agent comes from the synthesizer, from what is in the
//! cluster and the public keys at hand. `judge` and `text` are pure, `command` reads.

pub(crate) mod command;
mod judge;
mod text;

#[cfg(test)]
mod tests;
