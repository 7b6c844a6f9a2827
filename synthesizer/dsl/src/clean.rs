//! Texts of others as people may be shown them: nothing in them moves a cursor, reorders what
//! stands beside it, or hides.

/// `text` on one line, with a space for every character that is not seen or that changes how others
/// are seen: control characters, line ends included, and those of [`is_hidden`].
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() || is_hidden(c) {
                ' '
            } else {
                c
            }
        })
        .collect()
}

/// Whether a character has no width, breaks lines unseen, or turns the direction of a text.
#[must_use]
pub const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_stays_and_the_rest_becomes_spaces() {
        assert_eq!(clean("prêt à 9 h – „gut“ 准备"), "prêt à 9 h – „gut“ 准备");
        for hidden in [
            '\u{1b}', '\r', '\n', '\t', '\u{7f}', '\u{9b}', '\u{202e}', '\u{200b}', '\u{2066}',
            '\u{feff}',
        ] {
            assert_eq!(clean(&format!("a{hidden}b")), "a b", "{hidden:?}");
        }
    }
}
