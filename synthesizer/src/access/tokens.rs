//! Bearer tokens by name, from a file that holds only their hashes. A token is random and long, so
//! one SHA-256 is enough.

use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::{caller::Caller, callers::Callers};

/// Most lines that name a token: each call compares with all of them.
const MOST: usize = 1000;
/// Longest name, in bytes.
const NAME: usize = 63;

type Hash = [u8; 32];

/// The tokens of a file.
pub(crate) struct Tokens(Vec<(Hash, Caller)>);

/// Why a tokens file cannot be used. Names lines, never what they hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokensError {
    /// Not text.
    #[error("the tokens file is not UTF-8")]
    Text,
    /// A line that is none.
    #[error(
        "line {0} of the tokens file is wrong; write name:HASH, where name is of letters, digits, `.`, `_` and `-`, at most 63, and \
         HASH is what `printf %s TOKEN | sha256sum` prints"
    )]
    Line(usize),
    /// The hash of nothing: the token was missing where the line was made.
    #[error(
        "line {0} of the tokens file holds the hash of an empty token; set TOKEN before `printf %s \"$TOKEN\" | sha256sum`"
    )]
    Empty(usize),
    /// More than can be compared with for each call.
    #[error("the tokens file has more than 1000 tokens")]
    TooMany,
}

impl Tokens {
    /// Reads lines of `name:hash`, blank lines and comments. A name may have several, of which any
    /// will do, so that a token can be replaced without a gap.
    pub(super) fn parse(file: &[u8], callers: &Callers) -> Result<Self, TokensError> {
        let text = std::str::from_utf8(file).map_err(|_| TokensError::Text)?;
        let mut tokens = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = entry(line).ok_or(TokensError::Line(index + 1))?;
            if hash == Hash::from(Sha256::digest(b"")) {
                return Err(TokensError::Empty(index + 1));
            }
            if tokens.len() == MOST {
                return Err(TokensError::TooMany);
            }
            tokens.push((hash, callers.named(&format!("token:{name}"))));
        }
        Ok(Self(tokens))
    }

    /// Whose token it is. Takes the same time for all tokens, known or not.
    pub(super) fn find(&self, token: &[u8]) -> Option<Caller> {
        let hash: Hash = Sha256::digest(token).into();
        let mut found = u32::MAX;
        for (index, (known, _)) in (0_u32..).zip(&self.0) {
            found.conditional_assign(&index, known.ct_eq(&hash));
        }
        let (_, caller) = self.0.get(usize::try_from(found).ok()?)?;
        Some(caller.clone())
    }
}

fn entry(line: &str) -> Option<(&str, Hash)> {
    let (name, hex) = line.split_once(':')?;
    let (name, hex) = (name.trim(), hex.trim());
    let is_name = !name.is_empty()
        && name.len() <= NAME
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !is_name || hex.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some((name, hash))
}

#[cfg(test)]
mod tests {
    use super::super::caller_quota::Limits;
    use super::*;
    use langop_dsl::hash::sha256_hex;

    fn parse(text: &str) -> Result<Tokens, TokensError> {
        let limits = Limits {
            calls: 1,
            bytes: 1 << 20,
            requests_per_minute: None,
            tokens: None,
        };
        Tokens::parse(text.as_bytes(), &Callers::new(limits))
    }

    #[test]
    fn finds_whose_token_it_is() {
        let hash = |token: &str| sha256_hex(token.as_bytes());
        let (old, new, other) = (hash("old"), hash("new"), hash("other").to_uppercase());
        let file = format!("# ours\n\na.b-c_1:{old}\r\n a.b-c_1 : {new}\nother:{other}");
        let tokens = parse(&file).unwrap();
        let name = |token: &str| {
            tokens
                .find(token.as_bytes())
                .map(|caller| caller.name().to_owned())
        };
        for token in ["old", "new"] {
            assert_eq!(name(token).as_deref(), Some("token:a.b-c_1"));
        }
        assert_eq!(name("other").as_deref(), Some("token:other"));
        for unknown in ["", "ol", "oldx", &old] {
            assert_eq!(name(unknown), None, "{unknown}");
        }
        assert!(parse("").unwrap().find(b"").is_none());
    }

    #[test]
    fn a_wrong_line_is_named_and_not_shown() {
        let hash = "ab".repeat(32);
        let long = "n".repeat(NAME + 1);
        for line in [
            "secret",
            "secret:",
            "secret:secret",
            &format!(":{hash}"),
            &format!("a b:{hash}"),
            &format!("{long}:{hash}"),
            &format!("a:{hash}0"),
            &format!("a:{}", "zz".repeat(32)),
        ] {
            let error = parse(&format!("# first\n{line}\n")).err().unwrap();
            assert_eq!(error, TokensError::Line(2), "{line}");
            assert!(!error.to_string().contains("secret"));
        }
        let empty = format!("a:{hash}\nb:{}\n", sha256_hex(b""));
        assert_eq!(parse(&empty).err(), Some(TokensError::Empty(2)));
        let many = format!("a:{hash}\n").repeat(MOST + 1);
        assert_eq!(parse(&many).err(), Some(TokensError::TooMany));
    }
}
