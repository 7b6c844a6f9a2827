//! Asks a person at a terminal; nobody else can answer. The one place that reads standard input.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::failure::Failure;

/// Whether a person says yes.
///
/// # Errors
/// If nobody is there to ask.
pub(crate) fn is_confirmed(question: &str) -> Result<bool, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::told(
            "this asks first, and there is no terminal to ask at",
            "write --yes to do it without being asked",
        ));
    }
    let mut stderr = anstream::stderr().lock();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        assert!(["y\n", " Yes \n"].into_iter().all(is_yes));
        assert!(!["", "\n", "no", "yep", "suspend"].into_iter().any(is_yes));
    }
}
