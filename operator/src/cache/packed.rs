//! What is held of a hundred thousand objects between two looks at them: JSON, compressed beside
//! the texts that most of them have in common. A few kilobytes as types, a few hundred bytes so.
//!
//! Must not know what it holds.

use std::{fmt, marker::PhantomData};

use lz4_flex::block::{compress_with_dict, decompress_into_with_dict};
use serde::{Serialize, de::DeserializeOwned};

/// What an agent and its children say in one way or another. A text that differs costs room, and
/// nothing else.
static COMMON: &[u8] = include_bytes!("common.json");

/// A value at rest.
pub(crate) struct Packed<T> {
    bytes: Box<[u8]>,
    /// Of its JSON.
    length: u32,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Packed<T> {
    /// `None` for what is no JSON, or longer than 4 GiB.
    pub(crate) fn new(value: &T) -> Option<Self> {
        let json = serde_json::to_vec(value).ok()?;
        let packed = Self {
            bytes: compress_with_dict(&json, COMMON).into_boxed_slice(),
            length: u32::try_from(json.len()).ok()?,
            of: PhantomData,
        };
        debug_assert_eq!(
            serde_json::to_vec(&packed.unpack()).ok(),
            Some(json),
            "what is packed is what was"
        );
        Some(packed)
    }

    /// The value that was packed.
    #[expect(
        clippy::expect_used,
        reason = "the bytes are of `new`, and every type that is packed reads what it writes"
    )]
    pub(crate) fn unpack(&self) -> T {
        let mut json = vec![0; self.json_length()];
        decompress_into_with_dict(&self.bytes, &mut json, COMMON).expect("what was compressed");
        serde_json::from_slice(&json).expect("what was written")
    }
}

impl<T> Packed<T> {
    /// How long its JSON is, in bytes.
    pub(crate) fn json_length(&self) -> usize {
        self.length as usize
    }
}

/// Whether the JSON is the same.
impl<T> PartialEq for Packed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.bytes == other.bytes
    }
}

impl<T> fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_same_after_its_rest() {
        for value in [String::new(), "ü".repeat(100_000), "agent".into()] {
            let packed = Packed::new(&value).unwrap();
            assert_eq!(packed.unpack(), value);
            assert!(packed == Packed::new(&value).unwrap());
            assert_eq!(packed.json_length(), value.len() + 2);
        }
        assert!(Packed::new(&1) != Packed::new(&2));
    }
}
