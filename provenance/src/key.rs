//! Keys: the one that signs, and those whose signatures count. A key is known by the SHA-256 of its
//! public half as `SubjectPublicKeyInfo`, which `openssl pkey -pubout -outform DER | sha256sum` gives.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use langop_dsl::hash::sha256_hex;
use rustls_pki_types::{
    PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer,
    pem::{self, PemObject as _},
};

use crate::{
    envelope::{Envelope, Signature, pae},
    statement::Statement,
};

/// Most keys that count at a time: a rotation needs two.
pub const MAX_KEYS: usize = 16;
/// What stands before the 32 bytes of an Ed25519 key in its `SubjectPublicKeyInfo` (RFC 8410).
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Why a key cannot be used. Holds nothing of the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No PEM, or none of a private key.
    #[error("it holds no private key in PEM: write one by `openssl genpkey -algorithm ED25519`")]
    NoPrivateKey(#[source] pem::Error),
    /// A private key of another sort.
    #[error(
        "its private key is not an Ed25519 key in PKCS#8: write one by `openssl genpkey -algorithm ED25519`"
    )]
    NotEd25519,
    /// A PEM block that cannot be read.
    #[error("its public keys are not PEM: write them by `openssl pkey -pubout`")]
    NotPem(#[source] pem::Error),
    /// A public key of another sort; counted from 1.
    #[error("public key {0} is not an Ed25519 key: write it by `openssl pkey -pubout`")]
    OtherPublicKey(usize),
    /// No key, or too many.
    #[error("it holds {0} public keys in PEM, not 1 to {MAX_KEYS}")]
    Count(usize),
}

/// The key that signs statements.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    id: String,
}

impl SigningKey {
    /// From a PEM file with an unencrypted PKCS#8 Ed25519 key.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(KeyError::NoPrivateKey)?;
        Ed25519KeyPair::from_pkcs8(key.secret_pkcs8_der())
            .map(Self::of)
            .map_err(|_| KeyError::NotEd25519)
    }

    fn of(pair: Ed25519KeyPair) -> Self {
        let id = id(pair.public_key().as_ref());
        Self { pair, id }
    }

    /// By which its signatures are known.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its public half in PEM, as those who check its signatures are given it.
    pub fn public_pem(&self) -> String {
        let key = [&SPKI, self.pair.public_key().as_ref()].concat();
        let key = STANDARD.encode(key);
        format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n")
    }

    /// The statement in an envelope, as one line of JSON.
    pub fn sign(&self, statement: &Statement) -> String {
        // Texts, numbers and a time cannot fail to be JSON.
        let payload = serde_json::to_vec(statement).unwrap_or_default();
        self.seal(payload)
    }

    pub(crate) fn seal(&self, payload: Vec<u8>) -> String {
        let signature = Signature {
            key_id: self.id.clone(),
            bytes: self.pair.sign(&pae(&payload)).as_ref().to_vec(),
        };
        let envelope = Envelope {
            payload,
            signatures: vec![signature],
        };
        envelope.to_json()
    }
}

/// The public keys whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    keys: Vec<PublicKey>,
    id: [u8; 8],
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PublicKey {
    id: String,
    bytes: [u8; 32],
}

impl Keyring {
    /// From a PEM file with 1 to [`MAX_KEYS`] Ed25519 public keys.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (index, key) in SubjectPublicKeyInfoDer::pem_slice_iter(pem).enumerate() {
            let key = key.map_err(KeyError::NotPem)?;
            let bytes: [u8; 32] = key
                .strip_prefix(&SPKI[..])
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or(KeyError::OtherPublicKey(index + 1))?;
            keys.push(PublicKey {
                id: id(&bytes),
                bytes,
            });
        }
        keys.sort_unstable();
        keys.dedup();
        if !(1..=MAX_KEYS).contains(&keys.len()) {
            return Err(KeyError::Count(keys.len()));
        }
        let all: Vec<u8> = keys.iter().flat_map(|key| key.bytes).collect();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &all);
        let mut id = [0; 8];
        id.copy_from_slice(&digest.as_ref()[..8]);
        Ok(Self { keys, id })
    }

    /// Differs where the keys do, whatever their order.
    pub fn id(&self) -> [u8; 8] {
        self.id
    }

    /// The ids of the keys.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// Those that a signature may be by: the one that it names, or any where it names none.
    pub(crate) fn may_have_made(&self, signature: &Signature) -> bool {
        let named = &signature.key_id;
        named.is_empty() || self.keys.iter().any(|key| key.id == *named)
    }

    /// The id of the key that made this signature of the payload.
    pub(crate) fn signer(&self, payload: &[u8], signature: &Signature) -> Option<&str> {
        let named = &signature.key_id;
        let message = pae(payload);
        let key = self.keys.iter().find(|key| {
            let is_meant = named.is_empty() || key.id == *named;
            let public = UnparsedPublicKey::new(&ED25519, key.bytes);
            is_meant && public.verify(&message, &signature.bytes).is_ok()
        })?;
        Some(&key.id)
    }
}

fn id(public: &[u8]) -> String {
    sha256_hex(&[&SPKI, public].concat())
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands before the 32 bytes of an Ed25519 key in PKCS#8 (RFC 8410).
    const PKCS8: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];

    fn pem(label: &str, der: &[u8]) -> String {
        let body = STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    fn private_pem(seed: u8) -> String {
        pem("PRIVATE KEY", &[&PKCS8[..], &[seed; 32]].concat())
    }

    impl SigningKey {
        /// The key of 32 such bytes.
        pub(crate) fn of_seed(seed: u8) -> Self {
            Self::from_pem(private_pem(seed).as_bytes()).unwrap()
        }
    }

    #[test]
    fn a_key_is_known_by_its_public_half() {
        let key = SigningKey::of_seed(1);
        let keys = Keyring::from_pem(key.public_pem().as_bytes()).unwrap();
        assert_eq!(keys.key_ids().collect::<Vec<_>>(), [key.id()]);
        assert_eq!(key.id().len(), 64);
        assert_ne!(key.id(), SigningKey::of_seed(2).id());
        let shown = format!("{key:?}");
        assert!(
            shown.contains(key.id()) && !shown.contains("pair"),
            "{shown}"
        );
    }

    #[test]
    fn what_is_no_key_is_refused_in_words() {
        let private = |pem: &str| {
            SigningKey::from_pem(pem.as_bytes())
                .unwrap_err()
                .to_string()
        };
        let public = |pem: &str| Keyring::from_pem(pem.as_bytes()).unwrap_err().to_string();
        let (key, other) = (SigningKey::of_seed(1), SigningKey::of_seed(2));
        assert!(private("").contains("no private key"));
        assert!(private(&key.public_pem()).contains("no private key"));
        assert!(private(&pem("PRIVATE KEY", b"x")).contains("not an Ed25519 key"));
        assert!(public("").contains("holds 0 public keys"));
        assert!(public(&private_pem(1)).contains("holds 0 public keys"));
        assert!(
            public("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n").contains("not PEM")
        );
        let second_is_other = key.public_pem() + &pem("PUBLIC KEY", b"x");
        assert!(public(&second_is_other).contains("public key 2 is not"));
        let many: String = (0..=16)
            .map(|seed| SigningKey::of_seed(seed).public_pem())
            .collect();
        assert!(public(&many).contains("holds 17 public keys"));
        // Text around the keys, and the same key twice, are no matter.
        let noted = format!("old\n{0}{0}new\n{1}", key.public_pem(), other.public_pem());
        assert_eq!(
            Keyring::from_pem(noted.as_bytes())
                .unwrap()
                .key_ids()
                .count(),
            2
        );
    }
}
