//! The boards. Each has one question, and at most [`MAX_OPEN`] panels that are seen at once.

mod agents;
mod operator;
mod synthesis;

use crate::grafana::Board;

/// More is not looked at.
pub const MAX_OPEN: usize = 8;

/// All boards.
pub fn all() -> Vec<Board> {
    vec![agents::board(), synthesis::board(), operator::board()]
}
