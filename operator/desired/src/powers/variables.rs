//! The variables of a live container that are its user's and not the operator's.

use k8s_openapi::api::core::v1::{Container, EnvVar};
use langop_api::names::env;

/// The user's own variables. Of those that a spec may name although the operator sets them, too,
/// none counts: in doubt it is new.
pub(super) fn users(agent: &Container) -> impl Iterator<Item = &EnvVar> {
    let is_ours = |name: &str| {
        [
            env::MCP_PATH,
            env::MCP_SERVERS,
            env::MODEL_ENDPOINTS,
            env::INSTRUCTIONS,
            env::PORT,
            env::WORKSPACE_PATH,
            env::HOME,
            env::SYNTHESIS_TRACEPARENT,
            env::SSL_CERT_FILE,
            env::REQUESTS_CA_BUNDLE,
            env::NODE_EXTRA_CA_CERTS,
        ]
        .contains(&name)
            || ["AGENT_", "PERSONA_", "OTEL_"]
                .iter()
                .any(|ours| name.starts_with(ours))
    };
    let all = agent.env.iter().flatten();
    all.filter(move |variable| !is_ours(&variable.name))
}

pub(super) fn secret(variable: &EnvVar) -> Option<String> {
    let key = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
    Some(format!("{}/{}", key.name, key.key))
}
