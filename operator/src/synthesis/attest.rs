//! Proof that code was stored by this very process: a signature of its content by a key that never
//! leaves memory. What a proof is good for is decided in [`langop_desired::agent::known`].

use std::fmt::Write as _;

use aws_lc_rs::{
    error::Unspecified,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};

/// Signs what this process stores.
pub(crate) struct Attestor {
    pair: Ed25519KeyPair,
    key: String,
}

impl Attestor {
    /// With a new key.
    pub(crate) fn new() -> Result<Self, Unspecified> {
        let pair = Ed25519KeyPair::generate()?;
        let key = hex(pair.public_key().as_ref());
        Ok(Self { pair, key })
    }

    /// By which its signatures are known.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The signature of the code of the agent `uid` whose content has that hash.
    pub(crate) fn sign(&self, uid: &str, content: &str) -> String {
        hex(self.pair.sign(&message(uid, content)).as_ref())
    }
}

/// Whether that is a signature by the key's owner.
pub(crate) fn is_signed(key: &str, uid: &str, content: &str, signature: &str) -> bool {
    let Some((key, signature)) = bytes(key).zip(bytes(signature)) else {
        return false;
    };
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&message(uid, content), &signature)
        .is_ok()
}

fn message(uid: &str, content: &str) -> Vec<u8> {
    format!("langop.io/attestation\n{uid}\n{content}").into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_for_one_key_one_agent_and_one_content() {
        let (ours, other) = (Attestor::new().unwrap(), Attestor::new().unwrap());
        let signature = ours.sign("uid", "hash");
        assert!(is_signed(ours.key(), "uid", "hash", &signature));
        assert!(!is_signed(other.key(), "uid", "hash", &signature));
        assert!(!is_signed(ours.key(), "other", "hash", &signature));
        assert!(!is_signed(ours.key(), "uid", "other", &signature));
        for broken in ["", "zz", "äö", &signature[2..]] {
            assert!(!is_signed(ours.key(), "uid", "hash", broken));
            assert!(!is_signed(broken, "uid", "hash", &signature));
        }
    }
}
