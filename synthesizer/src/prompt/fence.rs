//! Keeps data apart from what we say: each piece between tags that carry an id which no piece
//! holds, so that no content can close its own tag or open another. The id is made from the
//! content, so that equal requests give equal prompts.

use std::{borrow::Cow, fmt::Write as _};

use langop_dsl::hash::sha256_hex;

/// Hex digits of an id.
const DIGITS: usize = 12;

/// Data under a name.
pub(super) struct Piece<'a> {
    name: &'static str,
    content: Cow<'a, str>,
}

impl<'a> Piece<'a> {
    pub(super) fn new(name: &'static str, content: impl Into<Cow<'a, str>>) -> Self {
        Self {
            name,
            content: content.into(),
        }
    }
}

/// The pieces between their tags, after the line that names the id.
pub(super) fn message(pieces: &[Piece<'_>]) -> String {
    let id = id(pieces);
    let mut text = format!("The ID is {id}.\n\n");
    for Piece { name, content } in pieces {
        let content = content.trim_end_matches('\n');
        // Writing to a String cannot fail.
        let _ = write!(text, "<{name}-{id}>\n{content}\n</{name}-{id}>\n\n");
    }
    text
}

/// Digits that no piece holds. Who writes a piece cannot know them: they depend on all pieces, that
/// one included.
fn id(pieces: &[Piece<'_>]) -> String {
    let mut hash = sha256_hex(
        pieces
            .iter()
            .flat_map(|piece| [piece.name, "\0", piece.content.as_ref(), "\0"])
            .collect::<String>()
            .as_bytes(),
    );
    while is_held(&hash[..DIGITS], pieces) {
        hash = sha256_hex(hash.as_bytes());
    }
    hash.truncate(DIGITS);
    hash
}

/// Also where it is written in capitals, which a reader may take for the same.
fn is_held(id: &str, pieces: &[Piece<'_>]) -> bool {
    let id = id.as_bytes();
    pieces.iter().any(|piece| {
        let content = piece.content.as_bytes();
        content
            .windows(id.len())
            .any(|window| window.eq_ignore_ascii_case(id))
    })
}

/// Code in a Markdown fence longer than any run of backticks inside, so that the code cannot close
/// it (`CommonMark` 4.5). For what stands as the model's own answer, which is to look as answers
/// do.
pub(super) fn markdown(code: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}ruby\n{}\n{fence}\n", code.trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_held_is_not_taken() {
        let first = sha256_hex(b"x");
        assert!(is_held(
            "abcdef012345",
            &[Piece::new("a", "…ABCDEF012345…")]
        ));
        assert!(!is_held(&first[..DIGITS], &[Piece::new("a", "x")]));
        let pieces = [Piece::new("a", "x"), Piece::new("b", "y")];
        assert_eq!(id(&pieces).len(), DIGITS);
        assert_ne!(
            id(&pieces),
            id(&[Piece::new("a", "xy"), Piece::new("b", "")])
        );
    }

    #[test]
    fn backticks_do_not_close_a_fence_of_backticks() {
        assert_eq!(markdown("a\n````\nb"), "`````ruby\na\n````\nb\n`````\n");
    }
}
