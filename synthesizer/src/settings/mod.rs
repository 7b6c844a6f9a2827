//! Every setting of `langop-synthesizer`, each with one name: a flag and the environment variable
//! that means the same.
//!
//! An empty environment variable counts as unset. The API key has no flag, because flags are
//! visible to every process of the machine. Reads the environment once, at start; only files of keys
//! are read again when they change.

#![expect(
    clippy::doc_markdown,
    reason = "the documentation of settings is their --help, where backticks are noise"
)]

mod access;
mod duration;
pub(crate) mod error;
pub(crate) mod provider;

use std::{env, ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use langop_client::credentials;
use secrecy::SecretString;

use self::duration::duration;
pub use self::{access::AccessSettings, error::SettingsError, provider::ProviderKind};

/// The environment variable that holds the API key itself.
pub const API_KEY_VARIABLE: &str = "SYNTHESIS_API_KEY";

/// Turns plain language into validated agent code, over gRPC.
///
/// Without SYNTHESIS_MODEL synthesis is disabled: code can be validated, everything else answers
/// FAILED_PRECONDITION. The provider's key comes from SYNTHESIS_API_KEY or from the file named by
/// SYNTHESIS_API_KEY_FILE. Traces go to OTEL_EXPORTER_OTLP_ENDPOINT, by the standard OTEL_*
/// variables.
#[derive(Debug, Clone, Parser)]
#[command(name = "langop-synthesizer", version)]
pub struct Settings {
    /// Address of the gRPC service
    #[arg(long, env = "LANGOP_LISTEN", default_value = "127.0.0.1:50051")]
    pub listen: SocketAddr,

    /// Address of /livez, /readyz and /metrics over HTTP
    #[arg(long, env = "LANGOP_ADMIN_LISTEN", default_value = "127.0.0.1:8081")]
    pub admin_listen: SocketAddr,

    /// The model to ask, as the provider names it; unset: synthesis is disabled (the provider
    /// template needs none)
    #[arg(
        long = "synthesis-model",
        env = "SYNTHESIS_MODEL",
        value_name = "MODEL"
    )]
    pub model: Option<String>,

    /// Who answers; openai is any server that speaks its chat completions, template is the built-in
    /// rules without an LLM
    #[arg(
        long = "synthesis-provider",
        env = "SYNTHESIS_PROVIDER",
        value_name = "PROVIDER"
    )]
    pub provider: Option<ProviderKind>,

    /// Base URL of the provider, as its own SDKs mean it: openai asks at URL/chat/completions (at
    /// /v1/chat/completions where URL has no path), anthropic at URL/v1/messages, ollama at
    /// URL/api/chat; a full URL and a query are kept. Unset: the vendor's own, for ollama
    /// localhost:11434
    #[arg(
        long = "synthesis-endpoint",
        env = "SYNTHESIS_ENDPOINT",
        value_name = "URL"
    )]
    pub endpoint: Option<String>,

    /// Send the API key to an endpoint that is neither https nor on loopback: whoever is on the way
    /// reads it
    #[arg(long = "synthesis-allow-plaintext", env = "SYNTHESIS_ALLOW_PLAINTEXT")]
    pub allow_plaintext_key: bool,

    /// File that holds the API key; read again when it changes
    #[arg(
        long = "synthesis-api-key-file",
        env = "SYNTHESIS_API_KEY_FILE",
        value_name = "FILE"
    )]
    pub api_key_file: Option<PathBuf>,

    /// The API key itself (SYNTHESIS_API_KEY)
    #[arg(skip)]
    pub api_key: Option<SecretString>,

    /// PEM file with an Ed25519 private key (PKCS#8): answers carry a statement of where their code
    /// comes from, signed by it. Read again when it changes
    #[arg(long, env = "LANGOP_SIGNING_KEY_FILE", value_name = "FILE")]
    pub signing_key_file: Option<PathBuf>,

    /// Most tokens one answer may have, what a model thinks included
    #[arg(long, env = "LANGOP_MAX_ANSWER_TOKENS", default_value_t = 8192, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(256..=1_000_000))]
    pub max_answer_tokens: u32,

    /// How long a reasoning model is to think; unset: as long as it does by itself
    #[arg(
        long = "synthesis-reasoning-effort",
        env = "SYNTHESIS_REASONING_EFFORT",
        value_name = "EFFORT"
    )]
    pub reasoning_effort: Option<ReasoningEffort>,

    /// Most bytes the cache of answers holds
    #[arg(long, env = "LANGOP_CACHE_BYTES", default_value_t = 64 * 1024 * 1024, value_name = "BYTES")]
    pub cache_bytes: u64,

    /// How long an answer stays in the cache
    #[arg(long, env = "LANGOP_CACHE_TTL", default_value = "24h", value_name = "DURATION", value_parser = duration)]
    pub cache_ttl: Duration,

    /// Most LLM requests at one time; more wait for a place
    #[arg(long, env = "LANGOP_MAX_LLM_REQUESTS", default_value_t = 16, value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub max_llm_requests: u16,

    /// Most bytes of one request for code that reach the prompt: instructions, tools with their
    /// operations, models, persona and previous code
    #[arg(
        long,
        env = "LANGOP_MAX_PROMPT_BYTES",
        default_value_t = 1024 * 1024,
        value_name = "BYTES"
    )]
    pub max_prompt_bytes: usize,

    /// Longest time one synthesis may take, its repairs and retries included
    #[arg(long, env = "LANGOP_REQUEST_TIMEOUT", default_value = "120s", value_name = "DURATION", value_parser = duration)]
    pub request_timeout: Duration,

    /// How often an LLM request is sent again after 429, 5xx or a broken connection
    #[arg(
        long,
        env = "LANGOP_LLM_RETRIES",
        default_value_t = 3,
        value_name = "COUNT"
    )]
    pub llm_retries: u16,

    /// Time before the first of those; each further one waits twice as long, or as long as
    /// Retry-After says
    #[arg(long, env = "LANGOP_LLM_RETRY_DELAY", default_value = "500ms", value_name = "DURATION", value_parser = duration)]
    pub llm_retry_delay: Duration,

    /// Age at which the server asks a client to connect anew, so that clients find new replicas
    #[arg(long, env = "LANGOP_MAX_CONNECTION_AGE", default_value = "5m", value_name = "DURATION", value_parser = duration)]
    pub max_connection_age: Duration,

    /// What is logged: a level, or directives such as langop_synthesizer=debug. Lines name the
    /// spans they are in from debug on, or where a directive names a span; without, warnings about
    /// a request name it by the fields request, agent, namespace and traceparent
    #[arg(
        long,
        env = "LANGOP_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,

    /// How it is logged
    #[arg(
        long,
        env = "LANGOP_LOG_FORMAT",
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,

    /// Who may call, and how much. Last, because its heading covers what follows.
    #[command(flatten)]
    pub access: AccessSettings,
}

/// How long a model is to think before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReasoningEffort {
    /// Hardly at all.
    Minimal,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

impl ReasoningEffort {
    /// As the APIs name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Settings {
    /// Reads the command line and the environment; ends the process on `--help` and on what cannot
    /// be read.
    pub fn load() -> Self {
        let command = Self::command().mut_args(without_empty_variable);
        let mut matches = command.get_matches();
        let mut settings =
            Self::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit());
        settings.api_key = env::var(API_KEY_VARIABLE)
            .ok()
            .map(|key| key.trim().to_owned())
            .filter(|key| !key.is_empty())
            .map(SecretString::from);
        settings
    }

    /// The settings that `arguments` give, without the API key. For tests and tools.
    pub fn from_arguments<I, T>(arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString>,
    {
        let name = OsString::from("langop-synthesizer");
        let arguments = std::iter::once(name).chain(arguments.into_iter().map(Into::into));
        Self::from_arg_matches(
            &Self::command()
                .mut_args(without_empty_variable)
                .try_get_matches_from(arguments)?,
        )
    }

    /// Who answers and with which model; `None`: synthesis is disabled.
    pub fn synthesis(&self) -> Result<Option<(ProviderKind, String)>, SettingsError> {
        if self.api_key.is_some() && self.api_key_file.is_some() {
            return Err(SettingsError::TwoKeys);
        }
        match (self.provider, self.model.clone()) {
            (Some(ProviderKind::Template), _) => Ok(Some((
                ProviderKind::Template,
                ProviderKind::Template.to_string(),
            ))),
            (_, None) => Ok(None),
            (None, Some(_)) => Err(SettingsError::NoProvider),
            (Some(provider), Some(_)) if self.lacks_key(provider) => {
                Err(SettingsError::NoKey(provider))
            }
            _ if self.exposes_key() && !self.allow_plaintext_key => {
                Err(SettingsError::KeyInPlaintext)
            }
            (Some(provider), Some(model)) => Ok(Some((provider, model))),
        }
    }

    /// Whether the key would travel in the clear, beyond loopback.
    pub(crate) fn exposes_key(&self) -> bool {
        let has_key = self.api_key.is_some() || self.api_key_file.is_some();
        let endpoint = self.endpoint.as_deref().unwrap_or_default();
        has_key && credentials::is_readable(endpoint)
    }

    /// A server of one's own may need no key; a vendor always does.
    fn lacks_key(&self, provider: ProviderKind) -> bool {
        let is_vendor = self.endpoint.is_none()
            && matches!(provider, ProviderKind::Anthropic | ProviderKind::Openai);
        is_vendor && self.api_key.is_none() && self.api_key_file.is_none()
    }
}

/// Templates of manifests often set a variable to nothing where they mean not to set it.
fn without_empty_variable(argument: clap::Arg) -> clap::Arg {
    let is_empty = argument
        .get_env()
        .and_then(env::var_os)
        .is_some_and(|value| value.is_empty());
    if is_empty {
        argument.env(clap::builder::Resettable::<clap::builder::OsStr>::Reset)
    } else {
        argument
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(arguments: &[&str]) -> Settings {
        Settings::from_arguments(arguments).unwrap()
    }

    #[test]
    fn synthesis_is_what_is_set() {
        let key = Some(SecretString::from("k"));
        let disabled = settings(&[]).synthesis();
        assert!(matches!(disabled, Ok(None)));
        let template = settings(&["--synthesis-provider=template"])
            .synthesis()
            .unwrap();
        assert_eq!(
            template,
            Some((ProviderKind::Template, "template".to_owned()))
        );
        assert!(matches!(
            settings(&["--synthesis-model=m"]).synthesis(),
            Err(SettingsError::NoProvider)
        ));
        let anthropic = settings(&["--synthesis-model=m", "--synthesis-provider=anthropic"]);
        assert!(matches!(
            anthropic.synthesis(),
            Err(SettingsError::NoKey(ProviderKind::Anthropic))
        ));
        let with_key = Settings {
            api_key: key.clone(),
            ..anthropic.clone()
        };
        assert_eq!(
            with_key.synthesis().unwrap(),
            Some((ProviderKind::Anthropic, "m".to_owned()))
        );
        let two = Settings {
            api_key: key,
            api_key_file: Some("f".into()),
            ..anthropic
        };
        assert!(matches!(two.synthesis(), Err(SettingsError::TwoKeys)));
        let own = settings(&[
            "--synthesis-model=m",
            "--synthesis-provider=openai",
            "--synthesis-endpoint=http://x",
        ]);
        assert!(own.synthesis().unwrap().is_some());
    }

    #[test]
    fn a_key_travels_in_the_clear_only_where_that_is_said() {
        let key = Some(SecretString::from("k"));
        for (endpoint, flag, is_refused) in [
            ("http://llm.internal/v1", "", true),
            ("HTTP://10.0.0.1:80", "", true),
            (
                "http://llm.internal/v1",
                "--synthesis-allow-plaintext",
                false,
            ),
            ("https://llm.internal/v1", "", false),
            ("http://127.0.0.1:11434", "", false),
            ("http://localhost:11434/", "", false),
            ("http://[::1]:11434", "", false),
            ("http://localhost.example:1", "", true),
        ] {
            let endpoint_flag = format!("--synthesis-endpoint={endpoint}");
            let mut arguments = vec![
                "--synthesis-provider=openai",
                "--synthesis-model=m",
                &endpoint_flag,
            ];
            arguments.extend(Some(flag).filter(|flag| !flag.is_empty()));
            let without = settings(&arguments);
            assert!(without.synthesis().is_ok(), "{endpoint}: without a key");
            let api_key = key.clone();
            let with = Settings { api_key, ..without }.synthesis();
            let refused = matches!(with, Err(SettingsError::KeyInPlaintext));
            assert_eq!(refused, is_refused, "{endpoint} {flag}");
        }
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        assert_eq!(
            settings(&["--request-timeout=1h 30m"]).request_timeout,
            Duration::from_mins(90)
        );
        for bad in ["", "0s", "-1s", "5", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_setting_has_one_documented_name() {
        Settings::command().debug_assert();
        for argument in Settings::command().get_arguments() {
            let variable = argument
                .get_env()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            assert!(
                variable.starts_with("LANGOP_") || variable.starts_with("SYNTHESIS_"),
                "{}",
                argument.get_id()
            );
            assert!(argument.get_help().is_some(), "{variable}");
        }
    }
}
