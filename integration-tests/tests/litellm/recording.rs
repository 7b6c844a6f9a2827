//! What the real LiteLLM answered, kept in peers/litellm/recording.json: so that each run of the
//! tests knows whether what the operator builds today is what was tried.

use std::{collections::BTreeMap, fs, path::PathBuf};

use langop_desired::settings::Settings;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    built::{built, specs},
    peer::REQUIREMENTS,
    probes::{self, asks_the_model},
};

/// All that was seen.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recording {
    /// SHA-256 of what was built and asked.
    pub of: String,
    /// By the provider and the request: the status, and what the upstream was asked.
    pub seen: BTreeMap<String, Seen>,
}

/// One answer.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub status: u16,
    /// Path and body of each request to the upstream.
    pub upstream: Vec<(String, Value)>,
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/litellm/recording.json")
}

impl Recording {
    pub(crate) fn read() -> Self {
        serde_json::from_slice(&fs::read(file()).unwrap()).unwrap()
    }

    pub(crate) fn write(&self) {
        let text = serde_json::to_string_pretty(self).unwrap();
        fs::write(file(), text + "\n").unwrap();
    }
}

/// Everything on which the answers depend.
pub(crate) fn inputs() -> String {
    let proxies: Vec<_> = specs("http://upstream").values().map(built).collect();
    let all = json!([proxies, probes::served(), probes::refused(), REQUIREMENTS]);
    let digest = Sha256::digest(all.to_string());
    digest
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[test]
fn the_recording_is_of_what_the_operator_builds() {
    let recording = Recording::read();
    assert_eq!(
        recording.of,
        inputs(),
        "the model proxy or its probes changed: run LANGOP_LITELLM=record cargo test --workspace --test litellm, and look at the difference"
    );
}

/// It is what was seen, so it must be what is meant.
#[test]
fn the_recording_shows_refusals_and_what_was_asked() {
    let recording = Recording::read();
    for probe in probes::refused() {
        let name = format!("openai-compatible: {}", probe.name());
        let seen = &recording.seen[&name];
        assert!(
            (400..500).contains(&seen.status) && seen.upstream.is_empty(),
            "{name}: {seen:?}"
        );
    }
    for probe in probes::served() {
        let name = format!("openai-compatible: {}", probe.name());
        let seen = &recording.seen[&name];
        let asked = usize::from(asks_the_model(&probe));
        assert_eq!((seen.status, seen.upstream.len()), (200, asked), "{name}");
    }
}

#[test]
fn the_image_is_the_release_that_is_tried() {
    let version = REQUIREMENTS
        .lines()
        .find_map(|line| line.strip_prefix("litellm=="))
        .unwrap();
    let image = Settings::default().model_proxy_image;
    assert!(
        image.ends_with(&format!(":v{version}")),
        "{image} is not {version}"
    );
}
