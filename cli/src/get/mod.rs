//! `get`: one screen of a namespace. `rows` is pure, `read` asks.

pub(crate) mod read;
mod rows;
mod text;

#[cfg(test)]
mod tests;
