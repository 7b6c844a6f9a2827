//! The check: an envelope that one of our keys has signed, whose statement is about this code, this
//! agent and these instructions. The signature comes first; nothing is read of what nobody signed.

use crate::{
    envelope::{Envelope, Signature},
    key::Keyring,
    refusal::Refusal,
    statement::{CODE, PREDICATE_TYPE, STATEMENT_TYPE, Statement},
};

/// What a statement must be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The agent's name.
    pub agent: &'a str,
    /// SHA-256 of the code, lower-case hex.
    pub code_hash: &'a str,
    /// SHA-256 of the instructions with line ends normalised to LF, lower-case hex.
    pub instructions_hash: &'a str,
}

/// A statement that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub statement: Statement,
    /// The id of the key that signed it.
    pub key_id: String,
}

/// The statement of an envelope, if one of the keys has signed it and it is about what is claimed.
///
/// # Errors
/// If it is not, and why.
pub fn verify(envelope: &str, keys: &Keyring, claim: &Claim<'_>) -> Result<Verified, Refusal> {
    let envelope = Envelope::parse(envelope)?;
    let key_id = signer(&envelope, keys)?.to_owned();
    let statement = statement(&envelope)?;
    names(&statement, claim)?;
    Ok(Verified { statement, key_id })
}

/// The statement of an envelope that nobody has checked: what it says of itself, for people.
///
/// # Errors
/// If it is none.
pub fn read(envelope: &str) -> Result<Verified, Refusal> {
    let envelope = Envelope::parse(envelope)?;
    let first = envelope.signatures.first();
    Ok(Verified {
        statement: statement(&envelope)?,
        key_id: first.map(|one| one.key_id.clone()).unwrap_or_default(),
    })
}

/// The key that signed it.
fn signer<'a>(envelope: &Envelope, keys: &'a Keyring) -> Result<&'a str, Refusal> {
    let signatures = &envelope.signatures;
    let of = |signature: &Signature| keys.signer(&envelope.payload, signature);
    if let Some(key) = signatures.iter().find_map(of) {
        return Ok(key);
    }
    match signatures.iter().find(|one| !keys.may_have_made(one)) {
        Some(unknown) => Err(Refusal::UnknownKey(unknown.key_id.clone())),
        None => Err(Refusal::BadSignature),
    }
}

fn statement(envelope: &Envelope) -> Result<Statement, Refusal> {
    let statement: Statement =
        serde_json::from_slice(&envelope.payload).map_err(Refusal::NotStatement)?;
    is_type(&statement.type_, STATEMENT_TYPE)?;
    is_type(&statement.predicate_type, PREDICATE_TYPE)?;
    Ok(statement)
}

fn is_type(found: &str, expected: &'static str) -> Result<(), Refusal> {
    if found == expected {
        return Ok(());
    }
    Err(Refusal::Type {
        found: found.to_owned(),
        expected,
    })
}

/// Whether a statement is about what is claimed.
fn names(statement: &Statement, claim: &Claim<'_>) -> Result<(), Refusal> {
    let predicate = &statement.predicate;
    if predicate.agent != claim.agent {
        return Err(Refusal::OtherAgent(predicate.agent.clone()));
    }
    let code = statement.digest_of(CODE).ok_or(Refusal::NoSubject)?;
    if code != claim.code_hash {
        return Err(Refusal::OtherCode {
            stated: code.to_owned(),
            actual: claim.code_hash.to_owned(),
        });
    }
    if predicate.instructions_hash != claim.instructions_hash {
        return Err(Refusal::OtherInstructions {
            stated: predicate.instructions_hash.clone(),
            actual: claim.instructions_hash.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use langop_dsl::hash::sha256_hex;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        key::SigningKey,
        statement::{MAX_ENVELOPE, Outcome, Predicate},
    };

    const OURS: u8 = 1;
    const OTHERS: u8 = 2;

    fn key(seed: u8) -> SigningKey {
        SigningKey::of_seed(seed)
    }

    fn ring(keys: &[&SigningKey]) -> Keyring {
        let pem: String = keys.iter().map(|key| key.public_pem()).collect();
        Keyring::from_pem(pem.as_bytes()).unwrap()
    }

    fn statement_of(agent: &str, code: &str, instructions: &str) -> Statement {
        let predicate = Predicate {
            agent: agent.into(),
            instructions_hash: sha256_hex(instructions.as_bytes()),
            request_hash: sha256_hex(b"request"),
            prompt_version: "p".into(),
            provider: "template".into(),
            model: "template".into(),
            outcome: Outcome::Generated,
            attempts: 1,
            validator_version: "0.1.0".into(),
            previous_code_hash: None,
            synthesized_at: "2026-11-29T12:00:00Z".parse().unwrap(),
        };
        Statement::new(
            &sha256_hex(code.as_bytes()),
            &sha256_hex(b"placeholder"),
            predicate,
        )
    }

    /// Whether it holds for agent 'a' with this code and these instructions.
    fn holds(
        envelope: &str,
        keys: &Keyring,
        code: &str,
        instructions: &str,
    ) -> Result<Verified, Refusal> {
        let (code_hash, instructions_hash) = (
            sha256_hex(code.as_bytes()),
            sha256_hex(instructions.as_bytes()),
        );
        let claim = Claim {
            agent: "a",
            code_hash: &code_hash,
            instructions_hash: &instructions_hash,
        };
        verify(envelope, keys, &claim)
    }

    #[test]
    fn a_statement_holds_for_its_code_its_agent_and_its_instructions() {
        let key = key(OURS);
        let keys = ring(&[&key]);
        let statement = statement_of("a", "code", "do it");
        let envelope = key.sign(&statement);
        let verified = holds(&envelope, &keys, "code", "do it").unwrap();
        assert_eq!(verified.statement, statement);
        assert_eq!(verified.key_id, key.id());
        assert_eq!(read(&envelope).unwrap(), verified);

        let others = key.sign(&statement_of("b", "code", "do it"));
        let refused = holds(&others, &keys, "code", "do it");
        assert!(matches!(refused, Err(Refusal::OtherAgent(name)) if name == "b"));
        // What a replay is: a true statement of the same agent, about what was before.
        let refused = holds(&envelope, &keys, "newer code", "do it");
        assert!(matches!(refused, Err(Refusal::OtherCode { .. })));
        let refused = holds(&envelope, &keys, "code", "do something else");
        assert!(matches!(refused, Err(Refusal::OtherInstructions { .. })));
    }

    #[test]
    fn every_changed_byte_of_payload_or_signature_is_refused() {
        let key = key(OURS);
        let keys = ring(&[&key]);
        let envelope = Envelope::parse(&key.sign(&statement_of("a", "code", "do it"))).unwrap();
        let check = |envelope: &Envelope| holds(&envelope.to_json(), &keys, "code", "do it");
        assert!(check(&envelope).is_ok());
        let change = |bytes: &[u8], at: usize, flip: u8| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= flip;
            bytes
        };
        for at in 0..envelope.payload.len() {
            let changed = Envelope {
                payload: change(&envelope.payload, at, 1),
                signatures: signatures(&envelope.signatures[0].bytes, key.id()),
            };
            assert!(
                matches!(check(&changed), Err(Refusal::BadSignature)),
                "payload {at}"
            );
        }
        let signed = &envelope.signatures[0].bytes;
        for at in 0..signed.len() {
            for bit in 0..8 {
                let changed = Envelope {
                    payload: envelope.payload.clone(),
                    signatures: signatures(&change(signed, at, 1 << bit), key.id()),
                };
                assert!(
                    matches!(check(&changed), Err(Refusal::BadSignature)),
                    "signature {at}"
                );
            }
        }
    }

    #[test]
    fn every_changed_byte_of_an_envelope_is_refused() {
        let key = key(OURS);
        let keys = ring(&[&key]);
        let envelope = key.sign(&statement_of("a", "code", "do it"));
        // Without its name the key's id is not there, and every key is tried.
        let hint = envelope.find("keyid").unwrap();
        for at in (0..envelope.len()).filter(|at| !(hint..hint + 5).contains(at)) {
            let mut bytes = envelope.clone().into_bytes();
            // Stays a digit, a letter or a sign where it was one: what fails is not only base64.
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            let result = holds(&changed, &keys, "code", "do it");
            assert!(result.is_err(), "{at}: {changed}");
        }
        for cut in 0..envelope.len() {
            assert!(holds(&envelope[..cut], &keys, "code", "do it").is_err());
        }
    }

    fn signatures(bytes: &[u8], key_id: &str) -> Vec<Signature> {
        vec![Signature {
            key_id: key_id.to_owned(),
            bytes: bytes.to_vec(),
        }]
    }

    #[test]
    fn keys_rotate_without_a_gap() {
        let (old, new) = (key(OURS), key(OTHERS));
        let (by_old, by_new) = (
            old.sign(&statement_of("a", "code", "do it")),
            new.sign(&statement_of("a", "code", "do it")),
        );
        let check = |keys: &Keyring, envelope: &str| holds(envelope, keys, "code", "do it");
        let (only_old, both, only_new) = (ring(&[&old]), ring(&[&new, &old]), ring(&[&new]));
        assert!(check(&only_old, &by_old).is_ok());
        assert!(check(&both, &by_old).is_ok() && check(&both, &by_new).is_ok());
        let refused = check(&only_new, &by_old);
        assert!(matches!(refused, Err(Refusal::UnknownKey(id)) if id == old.id()));
        assert_eq!(both.id(), ring(&[&old, &new, &old]).id());
        assert_ne!(both.id(), only_new.id());
    }

    #[test]
    fn one_good_signature_among_others_is_enough_and_a_false_name_is_not() {
        let (ours, other) = (key(OURS), key(OTHERS));
        let keys = ring(&[&ours]);
        let mut envelope =
            Envelope::parse(&other.sign(&statement_of("a", "code", "do it"))).unwrap();
        let check = |envelope: &Envelope| holds(&envelope.to_json(), &keys, "code", "do it");
        // Another key's signature under our key's name, and without any.
        for name in [ours.id(), ""] {
            envelope.signatures[0].key_id = name.to_owned();
            assert!(matches!(check(&envelope), Err(Refusal::BadSignature)));
        }
        let by_us = Envelope::parse(&ours.sign(&statement_of("a", "code", "do it"))).unwrap();
        envelope.signatures.extend(by_us.signatures);
        assert!(check(&envelope).is_ok());
        envelope.signatures[1].key_id = String::new();
        assert!(check(&envelope).is_ok());
    }

    /// An envelope of any payload, signed by the key that counts.
    fn signed(payload: &Value) -> Result<Verified, Refusal> {
        let key = key(OURS);
        let envelope = key.seal(payload.to_string().into_bytes());
        holds(&envelope, &ring(&[&key]), "code", "do it")
    }

    #[test]
    fn unknown_fields_are_left_out_and_wrong_types_are_refused() {
        let good = serde_json::to_value(statement_of("a", "code", "do it")).unwrap();
        assert!(signed(&good).is_ok());
        let with = |pointer: &str, name: &str, value: Value| {
            let mut changed = good.clone();
            let object = changed
                .pointer_mut(pointer)
                .unwrap()
                .as_object_mut()
                .unwrap();
            object.insert(name.to_owned(), value);
            signed(&changed)
        };
        for place in ["", "/predicate", "/subject/0", "/subject/0/digest"] {
            assert!(with(place, "later", json!({"any": [1]})).is_ok(), "{place}");
        }
        for (place, name, value) in [
            ("", "subject", json!({})),
            ("/subject/0", "digest", json!("sha256")),
            ("/predicate", "attempts", json!("1")),
            ("/predicate", "attempts", json!(-1)),
            ("/predicate", "outcome", json!("cached")),
            ("/predicate", "synthesizedAt", json!("yesterday")),
            ("/predicate", "agent", json!(null)),
        ] {
            let refused = with(place, name, value);
            assert!(
                matches!(refused, Err(Refusal::NotStatement(_))),
                "{place} {name}"
            );
        }
        for name in ["_type", "predicateType"] {
            let refused = with("", name, json!("https://example.com/v1"));
            assert!(matches!(refused, Err(Refusal::Type { .. })), "{name}");
        }
        let refused = with("/subject/0", "name", json!("other.rb"));
        assert!(matches!(refused, Err(Refusal::NoSubject)));
        // The placeholder's digest is no claim about code under the agent's name.
        let refused = with(
            "/subject/0/digest",
            "sha256",
            json!(sha256_hex(b"placeholder")),
        );
        assert!(matches!(refused, Err(Refusal::OtherCode { .. })));
    }

    #[test]
    fn what_is_no_envelope_is_refused_in_words() {
        let key = key(OURS);
        let keys = ring(&[&key]);
        let envelope = key.sign(&statement_of("a", "code", "do it"));
        let refused = |text: &str| holds(text, &keys, "code", "do it").unwrap_err().to_string();
        let long = envelope.replace(
            "{\"payloadType\"",
            &format!("{{\"x\":\"{}\",\"payloadType\"", "y".repeat(MAX_ENVELOPE)),
        );
        for (text, expected) in [
            (long.as_str(), "more than 16384"),
            ("", "not a DSSE envelope"),
            ("[]", "not a DSSE envelope"),
            (&envelope.replace("in-toto", "other"), "vnd.other"),
            (
                &envelope.replace("\"payload\":\"", "\"payload\":\"-"),
                "'payload' of the envelope is not base64",
            ),
            (
                &envelope.replace("\"sig\":\"", "\"sig\":\" "),
                "'sig' of the envelope is not base64",
            ),
        ] {
            assert!(refused(text).contains(expected), "{}", refused(text));
        }
        let mut none = Envelope::parse(&envelope).unwrap();
        none.signatures.clear();
        assert!(refused(&none.to_json()).contains("0 signatures"));
        none.signatures = (0..5).flat_map(|_| signatures(&[0; 64], "")).collect();
        assert!(refused(&none.to_json()).contains("5 signatures"));
    }

    proptest! {
        #[test]
        fn no_text_harms_the_reader(text in "\\PC{0,200}") {
            let keys = ring(&[&key(OURS)]);
            prop_assert!(holds(&text, &keys, "code", "do it").is_err());
        }

        #[test]
        fn every_statement_comes_back(agent in "[a-z]{1,9}", code in "\\PC{0,40}", model in "\\PC{0,40}", attempts: u32) {
            let key = key(OURS);
            let mut statement = statement_of(&agent, &code, "do it");
            statement.predicate.model = model;
            statement.predicate.attempts = attempts;
            let envelope = key.sign(&statement);
            prop_assert_eq!(read(&envelope).unwrap().statement, statement.clone());
            let (hash, instructions) = (sha256_hex(code.as_bytes()), sha256_hex(b"do it"));
            let claim = Claim { agent: &agent, code_hash: &hash, instructions_hash: &instructions };
            prop_assert_eq!(verify(&envelope, &ring(&[&key]), &claim).unwrap().statement, statement);
        }
    }
}
