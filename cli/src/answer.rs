//! What a command has to say, and how the program ends.

use crate::failure::Exit;

/// A command's answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// For standard output.
    pub(crate) text: String,
    /// For standard error: what is beside the point of a pipe.
    pub(crate) notes: String,
    pub(crate) exit: Exit,
}

impl Answer {
    pub(crate) fn fine(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            notes: String::new(),
            exit: Exit::Fine,
        }
    }
}
