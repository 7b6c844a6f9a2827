//! The DSSE envelope, by version 1.0.2 of its protocol: what is signed, and the JSON around it.
//! Knows nothing of what the payload says.
//!
//! Base64 is the standard alphabet with padding, nothing else: one envelope has one text.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{
    refusal::Refusal,
    statement::{MAX_ENVELOPE, PAYLOAD_TYPE},
};

/// Most signatures of one envelope: each costs a verification.
const MAX_SIGNATURES: usize = 4;

/// A payload and who signed it.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// The bytes that are signed.
    pub(crate) payload: Vec<u8>,
    /// At least one.
    pub(crate) signatures: Vec<Signature>,
}

/// One signature.
#[derive(Debug)]
pub(crate) struct Signature {
    /// By which key, by its own word; empty where it does not say.
    pub(crate) key_id: String,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    payload_type: String,
    payload: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
struct WireSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Reads what [`Self::to_json`] writes, or anybody's envelope of an in-toto statement.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_ENVELOPE {
            return Err(Refusal::TooLong { bytes: text.len() });
        }
        let wire: Wire = serde_json::from_str(text).map_err(Refusal::NotEnvelope)?;
        if wire.payload_type != PAYLOAD_TYPE {
            return Err(Refusal::PayloadType(wire.payload_type));
        }
        if !(1..=MAX_SIGNATURES).contains(&wire.signatures.len()) {
            return Err(Refusal::Signatures(wire.signatures.len()));
        }
        let signature = |wire: WireSignature| {
            Ok(Signature {
                key_id: wire.keyid,
                bytes: decode("sig", &wire.sig)?,
            })
        };
        Ok(Self {
            payload: decode("payload", &wire.payload)?,
            signatures: wire
                .signatures
                .into_iter()
                .map(signature)
                .collect::<Result<_, _>>()?,
        })
    }

    /// One line of JSON.
    pub(crate) fn to_json(&self) -> String {
        let signatures = self.signatures.iter().map(|signature| WireSignature {
            keyid: signature.key_id.clone(),
            sig: STANDARD.encode(&signature.bytes),
        });
        let wire = Wire {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: STANDARD.encode(&self.payload),
            signatures: signatures.collect(),
        };
        // Three texts cannot fail to be JSON.
        serde_json::to_string(&wire).unwrap_or_default()
    }
}

fn decode(field: &'static str, text: &str) -> Result<Vec<u8>, Refusal> {
    STANDARD
        .decode(text)
        .map_err(|source| Refusal::Base64 { field, source })
}

/// The pre-authentication encoding: the bytes that a signature is of.
pub(crate) fn pae(payload: &[u8]) -> Vec<u8> {
    let (type_, length) = (PAYLOAD_TYPE, payload.len());
    let head = format!("DSSEv1 {} {type_} {length} ", type_.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_as_the_protocol_has_it() {
        // The protocol's own example, with our type in the place of its "http://example.com/HelloWorld".
        assert_eq!(
            pae(b"hello world"),
            b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"
        );
        assert_eq!(pae(b""), b"DSSEv1 28 application/vnd.in-toto+json 0 ");
        assert_eq!(
            pae("ä".as_bytes()),
            "DSSEv1 28 application/vnd.in-toto+json 2 ä".as_bytes()
        );
    }

    #[test]
    fn an_envelope_is_its_text() {
        let envelope = Envelope {
            payload: b"{}".to_vec(),
            signatures: vec![Signature {
                key_id: "k".into(),
                bytes: vec![0, 255],
            }],
        };
        let text = envelope.to_json();
        assert_eq!(
            text,
            r#"{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"k","sig":"AP8="}]}"#
        );
        assert_eq!(Envelope::parse(&text).unwrap().to_json(), text);
    }
}
