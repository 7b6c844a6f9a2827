//! Asks a person at a terminal; nobody else can answer. The one place that reads standard input.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::failure::Failure;

/// Whether somebody is there to ask.
pub(crate) fn is_anybody_there() -> bool {
    io::stdin().is_terminal()
}

/// What a person types behind the question, without its line end; `None`: there is no more.
pub(crate) fn line(question: &str) -> Result<Option<String>, Failure> {
    let mut stderr = anstream::stderr().lock();
    write!(stderr, "{question} ")?;
    stderr.flush()?;
    let mut answer = String::new();
    if io::stdin().lock().read_line(&mut answer)? == 0 {
        writeln!(stderr)?;
        return Ok(None);
    }
    Ok(Some(answer.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Whether a person says yes; `help` is what to do where nobody can.
///
/// # Errors
/// If nobody is there to ask.
pub(crate) fn is_confirmed(question: &str, help: &str) -> Result<bool, Failure> {
    if !is_anybody_there() {
        return Err(Failure::told(
            "this asks first, and there is no terminal to ask at",
            help,
        ));
    }
    let answer = line(&format!("{question} [y/N]"))?;
    Ok(answer.is_some_and(|answer| is_yes(&answer)))
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
