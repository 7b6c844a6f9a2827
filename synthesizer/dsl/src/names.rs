//! The pattern of an agent's name, the same for Kubernetes objects and for code.

/// Longest name in bytes: the limit of a CronJob's name, whose Jobs append eleven characters.
pub const MAX_NAME_LENGTH: usize = 52;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a name is missing; write one such as `monitor-agent`")]
    Empty,
    /// More than [`MAX_NAME_LENGTH`] bytes.
    #[error("the name has {length} characters; write at most {MAX_NAME_LENGTH}")]
    TooLong {
        /// How many it has.
        length: usize,
    },
    /// Not `^[a-z]([-a-z0-9]*[a-z0-9])?$`.
    #[error(
        "the name must be lower-case letters, digits and `-`, start with a letter and not end with `-`; write for example `{suggestion}`"
    )]
    Pattern {
        /// A legal name near the one given.
        suggestion: String,
    },
}

/// Checks `name` against `^[a-z]([-a-z0-9]*[a-z0-9])?$` and [`MAX_NAME_LENGTH`].
pub fn agent_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_LENGTH {
        return Err(NameError::TooLong {
            length: name.chars().count(),
        });
    }
    if matches_pattern(name.as_bytes()) {
        Ok(())
    } else {
        Err(NameError::Pattern {
            suggestion: suggestion(name),
        })
    }
}

fn matches_pattern(name: &[u8]) -> bool {
    name.first().is_some_and(u8::is_ascii_lowercase)
        && name.last().is_some_and(|last| *last != b'-')
        && name
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

fn suggestion(name: &str) -> String {
    let mut legal = String::with_capacity(name.len());
    for character in name.chars() {
        match character.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9') => legal.push(letter),
            _ if legal.ends_with('-') => {}
            _ => legal.push('-'),
        }
    }
    let trimmed = legal
        .trim_start_matches(|c: char| !c.is_ascii_lowercase())
        .trim_end_matches('-');
    if trimmed.is_empty() {
        "my-agent".to_owned()
    } else {
        trimmed.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_pattern_and_nothing_else() {
        for good in ["a", "a1", "monitor-agent", "a--b", &"a".repeat(52)] {
            assert_eq!(agent_name(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "1a",
            "-a",
            "a-",
            "A",
            "a_b",
            "a.b",
            "ä",
            "a b",
            "a\n",
            &"a".repeat(53),
            "a'; system('x')",
        ] {
            assert!(agent_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn suggests_a_legal_name() {
        for bad in ["Monitor Agent", "1st", "-", "_x_", "ÄÖ", "a'; system('x')"] {
            let Err(NameError::Pattern { suggestion }) = agent_name(bad) else {
                panic!("{bad} was accepted")
            };
            assert_eq!(agent_name(&suggestion), Ok(()), "{bad} -> {suggestion}");
        }
    }
}
