//! Why settings cannot be used.

use std::net::SocketAddr;

use super::provider::ProviderKind;

/// Why the settings cannot be used, and what to set instead.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A model without a provider.
    #[error(
        "SYNTHESIS_MODEL is set but SYNTHESIS_PROVIDER is not; set it to anthropic, openai, ollama or template"
    )]
    NoProvider,
    /// The vendor's own endpoint without a key.
    #[error("the provider {0} needs a key; set SYNTHESIS_API_KEY or SYNTHESIS_API_KEY_FILE")]
    NoKey(ProviderKind),
    /// Two keys.
    #[error("SYNTHESIS_API_KEY and SYNTHESIS_API_KEY_FILE are both set; unset one")]
    TwoKeys,
    /// The key in the clear.
    #[error(
        "SYNTHESIS_ENDPOINT is http and not on loopback, so anyone on the network path can read the API key; write https://, or set \
         SYNTHESIS_ALLOW_PLAINTEXT=true if the network already keeps others out"
    )]
    KeyInPlaintext,
    /// Plaintext beyond loopback.
    #[error(
        "{0} is not a loopback address and gRPC has no TLS; set LANGOP_TLS_CERT and LANGOP_TLS_KEY, listen on 127.0.0.1, or set \
         LANGOP_ALLOW_PLAINTEXT=true if the network already keeps others out"
    )]
    Plaintext(SocketAddr),
    /// TLS beyond loopback, and callers need no credentials.
    #[error(
        "{0} is not a loopback address and callers need no credentials; set LANGOP_TLS_CLIENT_CA or LANGOP_TOKENS_FILE, or \
         LANGOP_ALLOW_ANONYMOUS=true if the network already keeps others out"
    )]
    OpenToAll(SocketAddr),
}
