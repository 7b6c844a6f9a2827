//! What is held of a hundred thousand objects between two looks at them: JSON, its uids and
//! digests as bytes, compressed beside the texts that most objects have in common. A few kilobytes
//! as types, a few hundred bytes so.
//!
//! Must not know what it holds.

use std::{fmt, marker::PhantomData};

use lz4_flex::block::{compress_with_dict, decompress_into_with_dict};
use serde::{Serialize, de::DeserializeOwned};

/// What an agent and its children say in one way or another. A text that differs costs room, and
/// nothing else.
static COMMON: &[u8] = include_bytes!("common.jsonl");

/// A value at rest.
pub(crate) struct Packed<T> {
    bytes: Box<[u8]>,
    /// Their length before they were compressed.
    folded: u32,
    /// That of the JSON.
    length: u32,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Packed<T> {
    /// `None` for what is no JSON, or longer than 4 GiB.
    pub(crate) fn new(value: &T) -> Option<Self> {
        let json = serde_json::to_vec(value).ok()?;
        let folded = fold(&json);
        let packed = Self {
            bytes: compress_with_dict(&folded, COMMON).into_boxed_slice(),
            folded: u32::try_from(folded.len()).ok()?,
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
        let mut folded = vec![0; self.folded as usize];
        decompress_into_with_dict(&self.bytes, &mut folded, COMMON).expect("what was compressed");
        let json = unfold(&folded, self.json_length());
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

/// Before the bytes of a uid. JSON has no such character: it writes them as escapes.
const UID: u8 = 1;
/// Before the bytes of hexadecimal digits, and their number.
const DIGITS: u8 = 2;
/// Fewer digits gain nothing worth a look.
const FEWEST_DIGITS: usize = 12;
/// Digits of a uid between its dashes (RFC 9562).
const UID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
const UID_LENGTH: usize = 36;

/// JSON with two hexadecimal digits in one byte wherever there are many: what no compression finds,
/// since they are as good as random.
fn fold(json: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some((first, after)) = rest.split_first() {
        if let Some(uid) = uid(rest) {
            folded.push(UID);
            folded.extend(uid);
            rest = &rest[UID_LENGTH..];
            continue;
        }
        let digits = rest.iter().map_while(|byte| digit(*byte)).count();
        let pairs = (digits / 2).min(usize::from(u8::MAX));
        match u8::try_from(pairs) {
            Ok(number) if digits >= FEWEST_DIGITS => {
                folded.extend([DIGITS, number]);
                folded.extend(bytes_of(&rest[..2 * pairs]));
                rest = &rest[2 * pairs..];
            }
            _ if digits > 0 => {
                folded.extend(&rest[..digits]);
                rest = &rest[digits..];
            }
            _ => {
                folded.push(*first);
                rest = after;
            }
        }
    }
    folded
}

/// The bytes of the uid that a text begins with.
fn uid(text: &[u8]) -> Option<Vec<u8>> {
    let mut digits = Vec::with_capacity(32);
    let mut rest = text.get(..UID_LENGTH)?;
    for (nth, group) in UID_GROUPS.into_iter().enumerate() {
        if nth > 0 {
            rest = rest.strip_prefix(b"-")?;
        }
        let (own, others) = rest.split_at_checked(group)?;
        digits.extend_from_slice(own);
        rest = others;
    }
    let are_digits = digits.iter().all(|byte| digit(*byte).is_some());
    are_digits.then(|| bytes_of(&digits).collect())
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

fn bytes_of(digits: &[u8]) -> impl Iterator<Item = u8> {
    let pairs = digits.as_chunks::<2>().0.iter();
    pairs.filter_map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
}

/// The JSON of that length which was folded.
fn unfold(folded: &[u8], length: usize) -> Vec<u8> {
    let mut json = Vec::with_capacity(length);
    let mut rest = folded.iter().copied();
    while let Some(byte) = rest.next() {
        match byte {
            UID => {
                for (nth, group) in UID_GROUPS.into_iter().enumerate() {
                    if nth > 0 {
                        json.push(b'-');
                    }
                    json.extend(rest.by_ref().take(group / 2).flat_map(digits_of));
                }
            }
            DIGITS => {
                let pairs = usize::from(rest.next().unwrap_or_default());
                json.extend(rest.by_ref().take(pairs).flat_map(digits_of));
            }
            other => json.push(other),
        }
    }
    json
}

fn digits_of(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]
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

    #[test]
    fn digits_take_half_of_their_room() {
        let digest = "0f".repeat(32);
        let uid = "97749e64-0d4e-4ddd-9e7f-df46eabfd212";
        for (text, room) in [
            (uid.to_owned(), 17),
            (digest.clone(), 34),
            // One is left over, and the next is a letter.
            (format!("{digest}az"), 36),
            (format!("00-{digest}-{uid}-01"), 3 + 34 + 1 + 17 + 3),
            // Its first digits are not known to be its own; its last are enough for themselves.
            (format!("abc{uid}"), 3 + 24 + 2 + 6),
            ("0".repeat(600), 2 + 255 + 2 + 45),
            (uid.to_uppercase(), 36),
            (format!("{}é", &uid[..35]), 35 + 2),
            ("\u{1}\u{2}deadbeef".to_owned(), 16),
        ] {
            let json = serde_json::to_vec(&text).unwrap();
            let folded = fold(&json);
            assert_eq!(folded.len(), room + 2, "{text}");
            assert_eq!(unfold(&folded, json.len()), json, "{text}");
        }
    }
}
