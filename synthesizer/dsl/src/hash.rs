//! SHA-256 in hexadecimal digits, and canonical JSON: the one text of a value. What it gives is
//! stored in clusters and caches, so its bytes must never change.
//!
//! Canonical: no white space, keys of objects sorted by bytes. Two values are equal exactly if
//! their canonical texts are, whatever order `serde_json` keeps keys in.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// SHA-256 in lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS[usize::from(nibble)];
    let mut digits = Vec::with_capacity(2 * bytes.len());
    for byte in bytes {
        digits.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    // They are ASCII. Pushed as characters they would take ten times as long.
    String::from_utf8(digits).unwrap_or_default()
}

/// SHA-256 of a value's canonical JSON, in lower-case hexadecimal digits. A value that cannot be
/// JSON (a map whose keys are no strings) counts as null.
pub fn of_json(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or(Value::Null);
    sha256_hex(&canonical_json(&value))
}

/// A value's canonical JSON.
pub fn canonical_json(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    write_canonical(value, &mut text);
    text
}

/// Appends a value's canonical JSON.
pub fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            write_sequence(out, *b"{}", entries, |out, (key, value)| {
                write_text(key, out);
                out.push(b':');
                write_canonical(value, out);
            });
        }
        Value::Array(items) => {
            write_sequence(out, *b"[]", items, |out, item| write_canonical(item, out));
        }
        Value::String(text) => write_text(text, out),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Null => out.extend_from_slice(b"null"),
    }
}

fn write_sequence<T>(
    out: &mut Vec<u8>,
    brackets: [u8; 2],
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(brackets[0]);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(brackets[1]);
}

/// Appends a string as JSON has it.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    // Neither a string nor a Vec can fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            sha256_hex(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            of_json(&json!({"b": [1, null], "a": "\n"})),
            sha256_hex(br#"{"a":"\n","b":[1,null]}"#)
        );
    }

    #[test]
    fn is_the_text_that_serde_json_writes_of_sorted_keys() {
        let value = json!({"z": {"b": 1.5, "a": -7}, "a": ["\u{1}\"\\é", true, null, u64::MAX]});
        assert_eq!(canonical_json(&value), value.to_string().as_bytes());
    }
}
