//! Cuts text to a number of bytes, between characters.

/// The longest start of `text` that has at most `limit` bytes.
pub fn clip(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_cuts_a_character() {
        for (limit, kept) in [(9, "aäb"), (4, "aäb"), (3, "aä"), (2, "a"), (1, "a"), (0, "")] {
            assert_eq!(clip("aäb", limit), kept, "{limit}");
        }
    }
}
