//! Asks a person on the terminal. Where there is none, nobody agrees by silence.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::failure::Failure;

/// Shows the text and asks whether to go on.
pub(crate) fn confirm(text: &str, verb: &str) -> Result<bool, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::told(
            format!("nobody can be asked whether to {verb}"),
            "look at it by `kubectl langop preview`, and then add --yes",
        ));
    }
    let mut terminal = anstream::stderr().lock();
    write!(terminal, "{text}\n{verb}? [y/N] ")?;
    terminal.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
