//! The command line as typed: flags, their environment variables and defaults. What they mean
//! together is checked in [`crate::settings`].

use std::net::SocketAddr;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, builder::BoolishValueParser};
use k8s_openapi::jiff::SignedDuration;
use langop_client::credentials;

/// Turns plain language into agents that run on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "langop-operator", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator until SIGTERM or SIGINT
    Run(Box<RunArgs>),
    /// Print the CustomResourceDefinitions as YAML
    Crds,
    /// Create an agent, wait for its code, print it, and delete the agent; `helm test` runs this
    SelfTest(SelfTestArgs),
}

/// Settings of `self-test`.
#[derive(Debug, Args)]
pub struct SelfTestArgs {
    /// Where the agent is created: a namespace that the operator works in
    #[arg(long, value_name = "NAME")]
    pub namespace: String,
    /// Until there must be code
    #[arg(long, default_value = "3m", value_parser = duration, value_name = "DURATION")]
    pub timeout: SignedDuration,
}

/// Settings of `run`; each flag has one environment variable.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Where the synthesizer is, as http://HOST:PORT or https://HOST:PORT; without it synthesis is
    /// disabled. A HOST of the form NAME.NAMESPACE.svc is a Service, whose ready endpoints are
    /// asked each for its own requests, so that their caches are as one
    #[arg(long, env = "LANGOP_SYNTHESIZER_ENDPOINT", value_name = "URL")]
    pub synthesizer_endpoint: Option<String>,
    /// Whether such a Service is asked at the addresses of its ready pods, or at its own. Its own
    /// is right where a service mesh refuses what does not go through it (Istio STRICT); answers
    /// are then cached by each replica for itself
    #[arg(
        long,
        env = "LANGOP_SYNTHESIZER_TARGET",
        default_value = "pods",
        value_name = "TARGET"
    )]
    pub synthesizer_target: SynthesizerTarget,
    /// PEM file of the authorities that the synthesizer's certificate must come from; needed for
    /// https
    #[arg(long, env = credentials::CA, value_name = "FILE")]
    pub synthesizer_ca: Option<String>,
    /// PEM file with the operator's own certificate for the synthesizer
    #[arg(long, env = credentials::CERT, value_name = "FILE")]
    pub synthesizer_cert: Option<String>,
    /// PEM file with the private key of that certificate
    #[arg(long, env = credentials::KEY, value_name = "FILE")]
    pub synthesizer_key: Option<String>,
    /// Name in the synthesizer's certificate, where it is not the host of its URL
    #[arg(long, env = credentials::SERVER_NAME, value_name = "NAME")]
    pub synthesizer_server_name: Option<String>,
    /// File with the operator's bearer token for the synthesizer
    #[arg(long, env = credentials::TOKEN_FILE, value_name = "FILE")]
    pub synthesizer_token_file: Option<String>,
    /// Send that token without TLS beyond loopback, where whoever is on the way reads it
    #[arg(long, env = credentials::ALLOW_PLAINTEXT)]
    pub synthesizer_allow_plaintext: bool,
    /// PEM file with the synthesizer's public keys (Ed25519): code becomes active only with a
    /// statement, signed by one of them, that names it and its instructions. Read again when it
    /// changes
    #[arg(long, env = "LANGOP_PROVENANCE_KEYS", value_name = "FILE")]
    pub provenance_keys: Option<String>,
    /// Work only in these namespaces (comma list), with Roles only and without LanguageClusters;
    /// without it everywhere
    #[arg(
        long,
        env = "LANGOP_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    pub namespaces: Vec<String>,
    /// The namespace the operator itself runs in: its Lease is there, and no LanguageCluster may
    /// use it
    #[arg(
        long,
        env = "LANGOP_NAMESPACE",
        default_value = "langop-system",
        value_name = "NAME"
    )]
    pub namespace: String,
    /// Address of /livez, /readyz and /metrics
    #[arg(
        long,
        env = "LANGOP_ADMIN_LISTEN",
        default_value = "0.0.0.0:8080",
        value_name = "ADDRESS"
    )]
    pub admin_listen: SocketAddr,
    /// Whether several operators agree on one by a Lease; false only where there is never more than
    /// one
    #[arg(long, env = "LANGOP_LEADER_ELECT", default_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub leader_elect: bool,
    /// Name of this process in the Lease and in events; the host's name and the process id when
    /// absent
    #[arg(long, env = "LANGOP_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,
    /// Pause after a first failed synthesis; it doubles with each failure
    #[arg(long, env = "LANGOP_SYNTHESIS_BACKOFF_INITIAL", default_value = "30s", value_parser = duration, value_name = "DURATION")]
    pub synthesis_backoff_initial: SignedDuration,
    /// Longest pause after failed syntheses
    #[arg(long, env = "LANGOP_SYNTHESIS_BACKOFF_MAX", default_value = "1h", value_parser = duration, value_name = "DURATION")]
    pub synthesis_backoff_max: SignedDuration,
    /// Longest time of one synthesis
    #[arg(long, env = "LANGOP_SYNTHESIS_TIMEOUT", default_value = "120s", value_parser = duration, value_name = "DURATION")]
    pub synthesis_timeout: SignedDuration,
    /// Syntheses at once
    #[arg(long, env = "LANGOP_SYNTHESIS_CONCURRENCY", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096), value_name = "N")]
    pub synthesis_concurrency: u16,
    /// The most tokens that one synthesis may cost, its repairs included, where a budget bounds it;
    /// so many must be left for it to begin, or all of a smaller budget
    #[arg(long, env = "LANGOP_SYNTHESIS_MAX_TOKENS", default_value_t = 200_000, value_parser = clap::value_parser!(i64).range(1..), value_name = "COUNT")]
    pub synthesis_max_tokens: i64,
    /// Reconciles at once, for each kind
    #[arg(long, env = "LANGOP_RECONCILE_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "N")]
    pub reconcile_concurrency: u16,
    /// The cluster's DNS domain
    #[arg(
        long,
        env = "LANGOP_CLUSTER_DOMAIN",
        default_value = "cluster.local",
        value_name = "DOMAIN"
    )]
    pub cluster_domain: String,
    /// Image of agents that name none
    #[arg(long, env = "LANGOP_AGENT_IMAGE", value_name = "IMAGE")]
    pub agent_image: Option<String>,
    /// Image with the adapter for tools that speak over their standard input and output
    #[arg(long, env = "LANGOP_TOOL_ADAPTER_IMAGE", value_name = "IMAGE")]
    pub tool_adapter_image: Option<String>,
    /// Image of model proxies that name none
    #[arg(long, env = "LANGOP_MODEL_PROXY_IMAGE", value_name = "IMAGE")]
    pub model_proxy_image: Option<String>,
    /// Seconds that an agent's new pod must run before the old one ends, so that code which fails
    /// at its start ends nothing
    #[arg(long, env = "LANGOP_MIN_READY_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=300), value_name = "SECONDS")]
    pub min_ready_seconds: u16,
    /// Time zone (IANA name, for example UTC or Europe/Berlin) of schedules that name none, where
    /// the LanguageCluster names none either; without it that of kube-controller-manager
    #[arg(long, env = "LANGOP_TIME_ZONE", value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// How long a run of a scheduled agent may take where neither its spec nor its code says so,
    /// for example 90m, or `none` for ever. Other runs wait for its end
    #[arg(
        long,
        env = "LANGOP_RUN_TIMEOUT",
        default_value = "6h",
        value_name = "DURATION|none"
    )]
    pub run_timeout: String,
    /// User, group and fsGroup of every pod, or `none` to leave them to the platform
    #[arg(
        long,
        env = "LANGOP_RUN_AS_USER",
        default_value = "65532",
        value_name = "UID|none"
    )]
    pub run_as_user: String,
    /// First family of the cluster's pod addresses, on which the default model proxy listens
    #[arg(
        long,
        env = "LANGOP_POD_IP_FAMILY",
        default_value = "ipv4",
        value_name = "FAMILY"
    )]
    pub pod_ip_family: IpFamily,
    /// Ranges of pods, Services and nodes (comma list) that an egress rule of `0.0.0.0/0` or `::/0`
    /// leaves out; all private ranges when absent
    #[arg(
        long,
        env = "LANGOP_CLUSTER_CIDRS",
        value_delimiter = ',',
        value_name = "CIDRS"
    )]
    pub cluster_cidrs: Vec<String>,
    /// Keys of labels (comma list) that agents may give their pods by podLabels: whole keys, or
    /// prefixes that end in `/`. Name none that a policy, a Service, a mesh or an identity webhook
    /// selects by
    #[arg(
        long,
        env = "LANGOP_POD_LABEL_PREFIXES",
        value_delimiter = ',',
        default_value = "app.kubernetes.io/version",
        value_name = "KEYS"
    )]
    pub pod_label_prefixes: Vec<String>,
    /// Whether pods have a user namespace of their own (hostUsers: false); needs nodes that have
    /// them
    #[arg(long, env = "LANGOP_USER_NAMESPACES", default_value = "false", action = ArgAction::Set, value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub user_namespaces: bool,
    /// Most memory, in MiB, that the objects of one namespace may take in the operator; what is
    /// over it is told so, and keeps running
    #[arg(long, env = "LANGOP_NAMESPACE_MEBIBYTES", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65536), value_name = "MIB")]
    pub namespace_mebibytes: u32,
    /// Ranges (comma list) that no tenant's egress rule may name, beside link-local ones and the
    /// clouds' metadata services
    #[arg(
        long,
        env = "LANGOP_NEVER_CIDRS",
        value_delimiter = ',',
        value_name = "CIDRS"
    )]
    pub never_cidrs: Vec<String>,
    /// Whether tenants' egress rules count where no LanguageCluster says so
    #[arg(
        long,
        env = "LANGOP_DEFAULT_EGRESS",
        default_value = "Deny",
        ignore_case = true,
        value_name = "Deny|Allow"
    )]
    pub default_egress: DefaultEgress,
    /// Namespaces (comma list) that no LanguageCluster may use, beside default, kube-* and the
    /// operator's own
    #[arg(
        long,
        env = "LANGOP_REFUSED_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    pub refused_namespaces: Vec<String>,
    /// Base URL of the OTLP collector that agents send their traces to; without it they send none.
    /// Agents may reach it only at what the labels or addresses below name
    #[arg(long, env = "LANGOP_AGENT_OTLP_ENDPOINT", value_name = "URL")]
    pub agent_otlp_endpoint: Option<String>,
    /// How agents speak to it
    #[arg(
        long,
        env = "LANGOP_AGENT_OTLP_PROTOCOL",
        default_value = "http/protobuf",
        value_name = "http/protobuf|grpc"
    )]
    pub agent_otlp_protocol: OtlpProtocol,
    /// Labels (KEY=VALUE, comma list) of the namespace of the collector; these and those of its
    /// pods, or addresses
    #[arg(
        long,
        env = "LANGOP_AGENT_OTLP_NAMESPACE_LABELS",
        value_delimiter = ',',
        value_name = "LABELS"
    )]
    pub agent_otlp_namespace_labels: Vec<String>,
    /// Labels (KEY=VALUE, comma list) of the pods of the collector
    #[arg(
        long,
        env = "LANGOP_AGENT_OTLP_POD_LABELS",
        value_delimiter = ',',
        value_name = "LABELS"
    )]
    pub agent_otlp_pod_labels: Vec<String>,
    /// Addresses of the collector (comma list), where it is no pod
    #[arg(
        long,
        env = "LANGOP_AGENT_OTLP_CIDRS",
        value_delimiter = ',',
        value_name = "CIDRS"
    )]
    pub agent_otlp_cidrs: Vec<String>,
    /// Port of the collector's pods, where it is not the URL's: policies see pods, not Services
    #[arg(long, env = "LANGOP_AGENT_OTLP_PORT", value_name = "PORT")]
    pub agent_otlp_port: Option<u16>,
    /// Labels (KEY=VALUE, comma list) of the namespace of the DNS servers
    #[arg(
        long,
        env = "LANGOP_DNS_NAMESPACE_LABELS",
        value_delimiter = ',',
        default_value = "kubernetes.io/metadata.name=kube-system",
        value_name = "LABELS"
    )]
    pub dns_namespace_labels: Vec<String>,
    /// Labels (KEY=VALUE, comma list) of the pods of the DNS servers
    #[arg(
        long,
        env = "LANGOP_DNS_POD_LABELS",
        value_delimiter = ',',
        default_value = "k8s-app=kube-dns",
        value_name = "LABELS"
    )]
    pub dns_pod_labels: Vec<String>,
    /// Addresses of the DNS servers (comma list), where those are no pods: `NodeLocal DNSCache`, or
    /// a cloud's own
    #[arg(
        long,
        env = "LANGOP_DNS_CIDRS",
        value_delimiter = ',',
        value_name = "CIDRS"
    )]
    pub dns_cidrs: Vec<String>,
    /// Ports of the DNS servers (comma list)
    #[arg(
        long,
        env = "LANGOP_DNS_PORTS",
        value_delimiter = ',',
        default_value = "53/UDP,53/TCP",
        value_name = "PORT/PROTOCOL"
    )]
    pub dns_ports: Vec<String>,
    /// What is logged, as a tracing filter, for example `info,langop_operator=debug`
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
}

/// Whether tenants' egress rules count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum DefaultEgress {
    /// Only what agents, tools and models refer to.
    Deny,
    /// All that their specs name.
    Allow,
}

/// Which addresses of a Service are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SynthesizerTarget {
    /// Those of its ready pods.
    Pods,
    /// Its own.
    Service,
}

/// The protocols of OTLP, by OpenTelemetry's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OtlpProtocol {
    /// Protobuf over HTTP, by default at port 4318.
    #[value(name = "http/protobuf")]
    HttpProtobuf,
    /// gRPC, by default at port 4317.
    #[value(name = "grpc")]
    Grpc,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IpFamily {
    /// Also where IPv6 is the second.
    #[value(name = "ipv4", alias = "IPv4")]
    V4,
    /// Also where IPv4 is the second.
    #[value(name = "ipv6", alias = "IPv6")]
    V6,
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let bad = || format!("invalid duration '{text}': write for example 500ms, 30s, 2m or 1h30m");
    let duration: SignedDuration = text.parse().map_err(|_| bad())?;
    if duration.is_positive() {
        Ok(duration)
    } else {
        Err(bad())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_is_well_formed_and_every_flag_has_an_environment_variable() {
        let command = Cli::command();
        command.clone().debug_assert();
        let run = command.find_subcommand("run").unwrap();
        for arg in run.get_arguments().filter(|arg| arg.get_id() != "help") {
            let env = arg
                .get_env()
                .and_then(|env| env.to_str())
                .unwrap_or_default();
            let expected = format!("LANGOP_{}", arg.get_id().as_str().to_uppercase());
            assert_eq!(env, expected);
        }
    }

    #[test]
    fn durations_are_positive() {
        assert_eq!(duration("500ms"), Ok(SignedDuration::from_millis(500)));
        assert_eq!(duration("1h"), Ok(SignedDuration::from_hours(1)));
        for bad in ["", "30", "-1s", "0s", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
