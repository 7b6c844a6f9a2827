//! Each way in which code is, and is not, shown to come from the synthesizer.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use langop_api::{
    LanguageAgent,
    names::{CODE_KEY, annotations},
};
use langop_desired::agent::code::content_of;
use langop_dsl::{AgentDefinition, hash::sha256_hex, instructions};
use langop_provenance::{Keyring, Outcome, Predicate, SigningKey, Statement};
use serde_json::json;

use super::{judge::judge, text};

/// An Ed25519 key of 32 bytes 1, and one of 32 bytes 2, as PKCS#8 in PEM has them.
const KEYS: [&str; 2] = [
    "MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
    "MC4CAQAwBQYDK2VwBCIEIAICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC",
];

fn key(number: usize) -> SigningKey {
    let label = "PRIVATE KEY";
    let pem = format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        KEYS[number]
    );
    SigningKey::from_pem(pem.as_bytes()).unwrap()
}

fn ring(key: &SigningKey) -> Keyring {
    Keyring::from_pem(key.public_pem().as_bytes()).unwrap()
}

fn statement(agent: &str, code: &str, instructions: &str) -> Statement {
    let predicate = Predicate {
        agent: agent.into(),
        instructions_hash: instructions::hash(instructions),
        request_hash: "1f".repeat(32),
        prompt_version: "7".into(),
        provider: "anthropic".into(),
        model: "claude-sonnet-4-5".into(),
        outcome: Outcome::Repaired,
        attempts: 2,
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

/// The code of 'daily-report', made from "report", with a statement signed by the first key.
fn stored() -> ConfigMap {
    let definition = json!({"name": "daily-report", "objectives": ["Report"]});
    let parsed: AgentDefinition = serde_json::from_value(definition.clone()).unwrap();
    let code = langop_dsl::render(&parsed);
    let envelope = key(0).sign(&statement("daily-report", &code, "report"));
    serde_json::from_value(json!({
        "metadata": {"name": "daily-report-code-1", "annotations": {annotations::PROVENANCE: envelope}},
        "data": {"agent.rb": code, "definition.json": definition.to_string(), "instructions.txt": "report"},
    }))
    .unwrap()
}

fn agent(instructions: &str, map: &ConfigMap) -> LanguageAgent {
    serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent", "metadata": {"name": "daily-report"},
        "spec": {"instructions": instructions},
        "status": {"synthesisInfo": {"revision": 1, "revisions": [{"revision": 1, "hash": content_of(map)}]}},
    }))
    .unwrap()
}

/// Whether it is verified, and what is said.
fn judged(agent: &LanguageAgent, map: ConfigMap, keys: Option<&Keyring>) -> (bool, String) {
    let judged = judge(agent, &[map], None, keys).unwrap();
    let said = text::render(&judged);
    (
        judged.is_verified,
        anstream::adapter::strip_str(&said).to_string(),
    )
}

#[test]
fn code_of_the_synthesizer_passes_every_check() {
    let map = stored();
    let (is_verified, said) = judged(&agent("report", &map), map, Some(&ring(&key(0))));
    assert!(is_verified, "{said}");
    insta::assert_snapshot!("verified", said);
}

#[test]
fn without_keys_nothing_is_verified() {
    let map = stored();
    let (is_verified, said) = judged(&agent("report", &map), map, None);
    assert!(!is_verified, "{said}");
    insta::assert_snapshot!("without_keys", said);
}

#[test]
fn a_statement_of_other_code_is_told_by_what_differs() {
    let mut map = stored();
    let other = key(0).sign(&statement("daily-report", "older code", "report"));
    map.annotations_mut()
        .insert(annotations::PROVENANCE.into(), other);
    let (is_verified, said) = judged(&agent("report", &map), map, Some(&ring(&key(0))));
    assert!(!is_verified, "{said}");
    insta::assert_snapshot!("other_code", said);
}

#[test]
fn what_is_wrong_is_named() {
    let map = stored();
    let agent = agent("report", &map);
    let said = |map: ConfigMap, keys: &Keyring| {
        let (is_verified, said) = judged(&agent, map, Some(keys));
        assert!(!is_verified, "{said}");
        said
    };
    let ours = ring(&key(0));
    let others = said(map.clone(), &ring(&key(1)));
    assert!(
        others.contains("which is not among the public keys given"),
        "{others}"
    );

    let with = |envelope: &str| {
        let mut map = map.clone();
        map.annotations_mut()
            .insert(annotations::PROVENANCE.into(), envelope.into());
        map
    };
    let code = map.data.as_ref().unwrap()[CODE_KEY].clone();
    let of_other = said(
        with(&key(0).sign(&statement("other", &code, "report"))),
        &ours,
    );
    assert!(of_other.contains("is about agent 'other'"), "{of_other}");
    let of_before = said(
        with(&key(0).sign(&statement("daily-report", &code, "before"))),
        &ours,
    );
    assert!(
        of_before.contains("is about other instructions"),
        "{of_before}"
    );
    let painted = said(with("\u{1b}[2J"), &ours);
    assert!(
        painted.contains("not a DSSE envelope") && !painted.contains('\u{1b}'),
        "{painted}"
    );

    let mut bare = map.clone();
    bare.annotations_mut().clear();
    let bare = said(bare, &ours);
    assert!(
        bare.contains("there is none: the synthesizer signed nothing"),
        "{bare}"
    );
}

#[test]
fn changed_data_is_nobodys_code() {
    let map = stored();
    let agent = agent("report", &map);
    let mut changed = map;
    changed
        .data
        .as_mut()
        .unwrap()
        .insert(CODE_KEY.into(), "agent 'daily-report' do\nend\n".into());
    let refused = judge(&agent, &[changed], None, Some(&ring(&key(0)))).unwrap_err();
    assert!(
        refused.render().contains("has no active code"),
        "{}",
        refused.render()
    );
}

#[test]
fn other_instructions_in_the_spec_are_told_and_no_fault() {
    let map = stored();
    let (is_verified, said) = judged(&agent("now this", &map), map, Some(&ring(&key(0))));
    assert!(is_verified, "{said}");
    assert!(
        said.contains("of before: those in spec.instructions are others now"),
        "{said}"
    );
}
