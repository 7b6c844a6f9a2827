//! What counts as the same instructions: the text with its line ends normalised, and its hash.
//! Operator and synthesizer both use this, so that their hashes agree.

use crate::hash::sha256_hex;

/// Line ends (CRLF, CR) as LF: the same text saved on another system is the same text.
pub fn normalise(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// SHA-256 of the normalised text, lower-case hex.
pub fn hash(text: &str) -> String {
    sha256_hex(normalise(text).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_do_not_matter() {
        assert_eq!(hash("a\r\nb\rc"), hash("a\nb\nc"));
        assert_ne!(hash("a\nb"), hash("a\n\nb"));
        assert_eq!(
            hash(""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
