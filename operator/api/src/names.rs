//! Labels, annotations, field managers, environment variables and child names: each string exists
//! here once.
//!
//! These are the public contract (ARCHITECTURE.md, "Where things are"). Changing one is a breaking
//! change.

/// The rule that every kind's name keeps to: names become Service, container and CronJob names, the
/// shortest of which (CronJob) may have 52 characters.
pub(crate) const NAME_RULE: &str =
    "self.metadata.name.size() <= 52 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')";
/// Message of the rule for names.
pub(crate) const NAME_MESSAGE: &str = "metadata.name must be at most 52 characters: lower-case letters, digits and '-', beginning with a letter and ending \
     with a letter or digit; for example 'daily-report'";

/// Labels on every object the operator makes (Kubernetes' recommended labels, and ours).
pub mod labels {
    /// Recommended label: what the object is, e.g. `language-agent`.
    pub const NAME: &str = "app.kubernetes.io/name";
    /// Recommended label: the resource's name.
    pub const INSTANCE: &str = "app.kubernetes.io/instance";
    /// Recommended label: the role, e.g. `agent`, `model-proxy`.
    pub const COMPONENT: &str = "app.kubernetes.io/component";
    /// Recommended label, always [`PART_OF_VALUE`].
    pub const PART_OF: &str = "app.kubernetes.io/part-of";
    /// Value of [`PART_OF`].
    pub const PART_OF_VALUE: &str = "language-operator";
    /// Recommended label, always [`MANAGED_BY_VALUE`].
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// Value of [`MANAGED_BY`].
    pub const MANAGED_BY_VALUE: &str = "langop-operator";
    /// The LanguageAgent an object belongs to; selectors use only this.
    pub const AGENT: &str = "langop.io/agent";
    /// The LanguageModel an object belongs to.
    pub const MODEL: &str = "langop.io/model";
    /// The LanguageTool an object belongs to.
    pub const TOOL: &str = "langop.io/tool";
    /// The LanguageClient an object belongs to.
    pub const CLIENT: &str = "langop.io/client";
    /// The LanguageCluster a namespace or object belongs to.
    pub const CLUSTER: &str = "langop.io/cluster";
}

/// Annotations.
pub mod annotations {
    /// On a LanguageAgent: a new value asks for a new synthesis, whatever the instructions.
    pub const RESYNTHESIZE: &str = "langop.io/resynthesize";
    /// What is read of the annotations of our own kinds; no other is held.
    pub const READ: &[&str] = &[RESYNTHESIZE];
    /// On a child: SHA-256 of what the operator wants it to be.
    pub const DESIRED_HASH: &str = "langop.io/desired-hash";
    /// On a model proxy's pods: hash of its configuration, so that a change rolls them.
    pub const CONFIG_HASH: &str = "langop.io/config-hash";
    /// On a workspace claim: uid of the agent that it was created for. An agent of another uid and
    /// the same name may use it, and never owns it.
    pub const KEPT_BY: &str = "langop.io/kept-by";
    /// Argo CD's: on what outlives its owner, so that it is not pruned for being in no repository.
    pub const ARGOCD_SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";
    /// On an agent's Jobs: hash of the pod template that they were created from.
    pub const TEMPLATE_HASH: &str = "langop.io/template-hash";
    /// On a workload that a suspended namespace stopped: what it is put back to, the number of its
    /// pods or `false` for a CronJob that was not suspended.
    pub const SUSPENDED: &str = "langop.io/suspended";
    /// On a code ConfigMap: hash of the instructions it was synthesized from.
    pub const INSTRUCTIONS_HASH: &str = "langop.io/instructions-hash";
    /// On a code ConfigMap: hash of the tools now observed.
    pub const TOOLS_HASH: &str = "langop.io/tools-hash";
    /// On a code ConfigMap: hash of the models now observed.
    pub const MODELS_HASH: &str = "langop.io/models-hash";
    /// On a code ConfigMap: hash of the persona now observed.
    pub const PERSONA_HASH: &str = "langop.io/persona-hash";
    /// On a code ConfigMap: SHA-256 of `agent.rb`.
    pub const CODE_HASH: &str = "langop.io/code-hash";
    /// On a code ConfigMap: its number in the agent's history; the highest became active last.
    pub const REVISION: &str = "langop.io/revision";
    /// On a code ConfigMap: when it was synthesized, RFC 3339.
    pub const SYNTHESIZED_AT: &str = "langop.io/synthesized-at";
    /// On a code ConfigMap: the model that wrote it.
    pub const SYNTHESIS_MODEL: &str = "langop.io/synthesis-model";
    /// On a code ConfigMap: W3C traceparent of the synthesis.
    pub const TRACEPARENT: &str = "langop.io/traceparent";
    /// On a code ConfigMap: who stored it, as a signature of its content by the key in the agent's
    /// status.
    pub const ATTESTATION: &str = "langop.io/attestation";
    /// On a code ConfigMap: the hash of the powers that a person approved it for. Who may write it is
    /// admission's matter, as of the next three.
    pub const APPROVED_POWERS: &str = "langop.io/approved-powers";
    /// On a code ConfigMap: the name of that person, as the API server knows them.
    pub const APPROVED_BY: &str = "langop.io/approved-by";
    /// On a code ConfigMap: the hash of the powers that a person rejected.
    pub const REJECTED_POWERS: &str = "langop.io/rejected-powers";
    /// On a code ConfigMap: the name of that person.
    pub const REJECTED_BY: &str = "langop.io/rejected-by";
    /// On a code ConfigMap: where the code comes from, as the synthesizer states and signs it: a DSSE
    /// envelope.
    pub const PROVENANCE: &str = "langop.io/provenance";
    /// On a code ConfigMap: the names of the tools and models offered when it was synthesized, as
    /// JSON; never changed after.
    pub const OFFERED: &str = "langop.io/offered";
    /// On a code ConfigMap: what its agent may do with it, as canonical JSON. Written when the code
    /// is stored.
    pub const POWERS: &str = "langop.io/powers";
    /// On a code ConfigMap: SHA-256 of the text of [`POWERS`].
    pub const POWERS_HASH: &str = "langop.io/powers-hash";
}

/// Field managers of server-side apply: one for children, one for status, so that neither drops the
/// other's fields.
pub mod managers {
    /// Owns the children.
    pub const CHILDREN: &str = "langop-operator";
    /// Owns the annotations of a code ConfigMap that follow the observed inputs; the rest of it
    /// never changes.
    pub const CODE_INPUTS: &str = "langop-operator-inputs";
    /// Owns what halts a workload that waits for approval and is suspended meanwhile.
    pub const HALT: &str = "langop-operator-halt";
    /// Owns `status` of our kinds.
    pub const STATUS: &str = "langop-operator-status";
}

/// Environment variables of the containers we build: the contract for agent authors.
pub mod env {
    /// JSON array of `{name, url}`: the tools, in the order of `toolRefs`.
    pub const MCP_SERVERS: &str = "MCP_SERVERS";
    /// JSON array of `{name, url, model}`: the models, in the order of `modelRefs`.
    pub const MODEL_ENDPOINTS: &str = "MODEL_ENDPOINTS";
    /// The persona's name.
    pub const PERSONA_NAME: &str = "PERSONA_NAME";
    /// The persona's description.
    pub const PERSONA_DESCRIPTION: &str = "PERSONA_DESCRIPTION";
    /// The persona's own system prompt.
    pub const PERSONA_SYSTEM_PROMPT: &str = "PERSONA_SYSTEM_PROMPT";
    /// The persona's tone.
    pub const PERSONA_TONE: &str = "PERSONA_TONE";
    /// The persona's language.
    pub const PERSONA_LANGUAGE: &str = "PERSONA_LANGUAGE";
    /// The persona, distilled.
    pub const PERSONA_DISTILLED_PROMPT: &str = "PERSONA_DISTILLED_PROMPT";
    /// The LanguageAgent's (or LanguageClient's) name.
    pub const AGENT_NAME: &str = "AGENT_NAME";
    /// Its namespace.
    pub const AGENT_NAMESPACE: &str = "AGENT_NAMESPACE";
    /// `autonomous` or `scheduled`.
    pub const AGENT_MODE: &str = "AGENT_MODE";
    /// The cron expression, or `every 90m` where the agent keeps time itself.
    pub const AGENT_SCHEDULE: &str = "AGENT_SCHEDULE";
    /// The days on which a run has something to do, such as `last day of month`; set only where the
    /// code names them. On the others a run should end at once, successfully.
    pub const AGENT_SCHEDULE_ONLY: &str = "AGENT_SCHEDULE_ONLY";
    /// The IANA name of the zone whose days they are; unset: UTC.
    pub const AGENT_TIME_ZONE: &str = "AGENT_TIME_ZONE";
    /// Maximum LLM iterations per run.
    pub const AGENT_MAX_ITERATIONS: &str = "AGENT_MAX_ITERATIONS";
    /// Longest time of one run, e.g. `10m`.
    pub const AGENT_TIMEOUT: &str = "AGENT_TIMEOUT";
    /// Where the generated code is mounted; set only with code.
    pub const AGENT_CODE_PATH: &str = "AGENT_CODE_PATH";
    /// Where traces go, where an administrator names a collector; OpenTelemetry's own name, as the
    /// next three. The five are set only then.
    pub const OTEL_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    /// `http/protobuf` or `grpc`.
    pub const OTEL_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
    /// The agent's name.
    pub const OTEL_SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
    /// Its namespace.
    pub const OTEL_RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
    /// W3C traceparent of the synthesis of the code, for runs to link to: each run is a trace of
    /// its own, else one trace would grow for as long as the code is in use.
    pub const SYNTHESIS_TRACEPARENT: &str = "LANGOP_SYNTHESIS_TRACEPARENT";
    /// The instructions the active code was synthesized from, or the spec's where there is no code.
    pub const INSTRUCTIONS: &str = "INSTRUCTIONS";
    /// Of the adapter in front of a tool that speaks over its standard input and output: the path
    /// of its MCP endpoint.
    pub const MCP_PATH: &str = "MCP_PATH";
    /// The port the container listens on.
    pub const PORT: &str = "PORT";
    /// Where the workspace is mounted.
    pub const WORKSPACE_PATH: &str = "WORKSPACE_PATH";
    /// With a CA bundle: its file, for OpenSSL, Go, and what is built on them.
    pub const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
    /// With a CA bundle: its file, for Python's requests.
    pub const REQUESTS_CA_BUNDLE: &str = "REQUESTS_CA_BUNDLE";
    /// With a CA bundle: its file, for Node.js.
    pub const NODE_EXTRA_CA_CERTS: &str = "NODE_EXTRA_CA_CERTS";
    /// `/tmp`: the root file system is read-only.
    pub const HOME: &str = "HOME";
}

/// Where a bundle of authorities is mounted.
pub const CA_MOUNT_PATH: &str = "/etc/agent/ca";
/// Its file there.
pub const CA_FILE: &str = "ca.crt";
/// Environment variables of model proxies, in addition to `PORT` and `HOME`.
pub mod proxy_env {
    /// A proxy of the user's own: who serves the model.
    pub const PROVIDER: &str = "LITELLM_PROVIDER";
    /// A proxy of the user's own: the provider's id of the model.
    pub const MODEL: &str = "LITELLM_MODEL";
    /// The default proxy: the provider's key, under a name that LiteLLM does not know by itself.
    pub const PROVIDER_API_KEY: &str = "PROVIDER_API_KEY";
    /// The default proxy does not start without one.
    pub const MASTER_KEY: &str = "LITELLM_MASTER_KEY";
    /// The default proxy does not fetch prices and limits of models.
    pub const LOCAL_MODEL_COST_MAP: &str = "LITELLM_LOCAL_MODEL_COST_MAP";
    /// The default proxy does not fetch names of Anthropic's trial features.
    pub const LOCAL_ANTHROPIC_BETA_HEADERS: &str = "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS";
    /// The default proxy reads no `.env` file.
    pub const MODE: &str = "LITELLM_MODE";
    /// The default proxy has no pages of documentation: this one,
    pub const NO_DOCS: &str = "NO_DOCS";
    /// this one,
    pub const NO_REDOC: &str = "NO_REDOC";
    /// nor the schema that they are made from.
    pub const NO_OPENAPI: &str = "NO_OPENAPI";
}

/// Where the code ConfigMap is mounted.
pub const CODE_MOUNT_PATH: &str = "/etc/agent/code";
/// Key of the code in its ConfigMap.
pub const CODE_KEY: &str = "agent.rb";
/// Key of the checked definition in the code ConfigMap.
pub const DEFINITION_KEY: &str = "definition.json";
/// Key of the instructions in the code ConfigMap.
pub const INSTRUCTIONS_KEY: &str = "instructions.txt";
