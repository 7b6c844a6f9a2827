//! `cost`: tokens of synthesis and of runs, by agent and namespace, and what they cost by the user's
//! own prices. `account` is pure, `command` reads.

mod account;
pub(crate) mod command;

#[cfg(test)]
mod tests;
