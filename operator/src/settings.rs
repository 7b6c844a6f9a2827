//! Settings as the operator uses them: made once from the command line, every value checked, with
//! an error that says what to write instead.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use langop_api::{cluster::AgentEgress, policy::Protocol};
use langop_client::credentials::Credentials;
use langop_desired::{
    agent::timing::check_zone,
    policy,
    settings::{Dns, IpFamily, Settings as BuildSettings, Telemetry},
};

use crate::cli::{self, DefaultEgress, LogFormat, OtlpProtocol, RunArgs, SynthesizerTarget};

/// Checked settings of `run`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the synthesizer is; `None`: synthesis is disabled.
    pub synthesizer: Option<SynthesizerSettings>,
    /// The file of the public keys one of which must have signed code before it runs; `None`: code
    /// runs by whomever it is made.
    pub provenance_keys: Option<PathBuf>,
    /// The namespaces to work in.
    pub scope: Scope,
    /// Address of health and metrics.
    pub admin_listen: SocketAddr,
    /// Whether to wait for a Lease.
    pub leader_elect: bool,
    /// Name of this process.
    pub identity: String,
    /// First pause after a failed synthesis.
    pub backoff_initial: Duration,
    /// Longest such pause.
    pub backoff_max: Duration,
    /// Longest time of one synthesis.
    pub synthesis_timeout: Duration,
    /// Syntheses at once.
    pub synthesis_concurrency: u16,
    /// The most tokens that one synthesis may cost where a budget bounds it.
    pub synthesis_max_tokens: i64,
    /// Reconciles at once, for each kind.
    pub reconcile_concurrency: u16,
    /// Most bytes that the objects of one namespace may take in the stores.
    pub namespace_bytes: u64,
    /// What reaches the builders.
    pub build: BuildSettings,
    /// Log filter.
    pub log: String,
    /// Log format.
    pub log_format: LogFormat,
}

/// Where the synthesizer is, and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynthesizerSettings {
    /// `http` or `https`, host and port.
    pub url: http::Uri,
    /// The Service whose pods are spoken to, if the URL's host names one and its own address is not
    /// to be used.
    pub service: Option<ServiceName>,
    /// Whom to trust, and who the operator is.
    pub credentials: Credentials,
}

/// A Service of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Where the operator works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere, LanguageClusters included.
    Cluster,
    /// In these namespaces, sorted, without LanguageClusters.
    Namespaces(Vec<String>),
}

/// A setting that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The synthesizer's address.
    #[error(
        "LANGOP_SYNTHESIZER_ENDPOINT '{0}' cannot be used: write http://HOST:PORT or https://HOST:PORT, for example http://langop-synthesizer.langop-system.svc:50051"
    )]
    Synthesizer(String),
    /// How the operator says who it is.
    #[error("{0}")]
    Credentials(String),
    /// The user of pods.
    #[error(
        "LANGOP_RUN_AS_USER '{0}' cannot be used: write a user id from 1 to 4294967294, for example 65532, or none"
    )]
    RunAsUser(String),
    /// The time zone of schedules.
    #[error("LANGOP_TIME_ZONE cannot be used: {0}")]
    TimeZone(String),
    /// The longest run.
    #[error(
        "LANGOP_RUN_TIMEOUT '{0}' cannot be used: write whole seconds or more, for example 90m or 6h, or none"
    )]
    RunTimeout(String),
    /// A label of the DNS servers.
    #[error("invalid label '{0}': write KEY=VALUE, for example k8s-app=kube-dns")]
    Label(String),
    /// A port of the DNS servers.
    #[error("LANGOP_DNS_PORTS '{0}' cannot be used: write PORT/PROTOCOL, for example 53/UDP")]
    Port(String),
    /// A namespace's name.
    #[error(
        "invalid namespace name '{0}': write lower-case letters, digits and '-', at most 63 characters"
    )]
    Namespace(String),
    /// A range of addresses.
    #[error("{0}: {1}")]
    Cidr(&'static str, String),
    /// DNS servers by one of the two labels.
    #[error(
        "LANGOP_DNS_NAMESPACE_LABELS and LANGOP_DNS_POD_LABELS go together: set both, or set both empty and LANGOP_DNS_CIDRS"
    )]
    HalfOfDns,
    /// The collector's address.
    #[error(
        "LANGOP_AGENT_OTLP_ENDPOINT '{0}' cannot be used: write http://HOST:PORT or https://HOST:PORT, for example http://otel-collector.observability.svc:4318"
    )]
    AgentOtlp(String),
    /// A collector that no agent could reach.
    #[error(
        "LANGOP_AGENT_OTLP_ENDPOINT needs to know who answers there, because agents reach only what is named: set LANGOP_AGENT_OTLP_NAMESPACE_LABELS and LANGOP_AGENT_OTLP_POD_LABELS, or LANGOP_AGENT_OTLP_CIDRS"
    )]
    AgentOtlpPeer,
    /// What may be a label of a pod.
    #[error(
        "LANGOP_POD_LABEL_PREFIXES '{0}' cannot be used: write a key such as example.com/team, or a prefix that ends in '/' such as example.com/; not langop.io/ or all of app.kubernetes.io/, by which policies select"
    )]
    LabelPrefix(String),
    /// Pauses in the wrong order.
    #[error(
        "LANGOP_SYNTHESIS_BACKOFF_MAX must not be shorter than LANGOP_SYNTHESIS_BACKOFF_INITIAL"
    )]
    Backoff,
}

impl TryFrom<RunArgs> for Settings {
    type Error = SettingsError;

    fn try_from(args: RunArgs) -> Result<Self, Self::Error> {
        let backoff_initial = args.synthesis_backoff_initial.unsigned_abs();
        let backoff_max = args.synthesis_backoff_max.unsigned_abs();
        if backoff_max < backoff_initial {
            return Err(SettingsError::Backoff);
        }
        Ok(Self {
            synthesizer: present(args.synthesizer_endpoint.clone())
                .map(|url| synthesizer(&url, &args))
                .transpose()?,
            provenance_keys: present(args.provenance_keys.clone()).map(PathBuf::from),
            scope: scope(&args.namespaces)?,
            admin_listen: args.admin_listen,
            leader_elect: args.leader_elect,
            identity: present(args.identity.clone()).unwrap_or_else(default_identity),
            backoff_initial,
            backoff_max,
            synthesis_timeout: args.synthesis_timeout.unsigned_abs(),
            synthesis_concurrency: args.synthesis_concurrency,
            synthesis_max_tokens: args.synthesis_max_tokens,
            reconcile_concurrency: args.reconcile_concurrency,
            namespace_bytes: u64::from(args.namespace_mebibytes) << 20,
            build: build_settings(&args)?,
            log: args.log,
            log_format: args.log_format,
        })
    }
}

fn build_settings(args: &RunArgs) -> Result<BuildSettings, SettingsError> {
    let defaults = BuildSettings::default();
    Ok(BuildSettings {
        operator_namespace: namespace(&args.namespace)?,
        cluster_domain: args.cluster_domain.trim_matches('.').to_owned(),
        agent_image: present(args.agent_image.clone()).unwrap_or(defaults.agent_image),
        tool_adapter_image: present(args.tool_adapter_image.clone())
            .unwrap_or(defaults.tool_adapter_image),
        model_proxy_image: present(args.model_proxy_image.clone())
            .unwrap_or(defaults.model_proxy_image),
        min_ready_seconds: args.min_ready_seconds.into(),
        time_zone: present(args.time_zone.clone()).map(time_zone).transpose()?,
        run_timeout: run_timeout(&args.run_timeout)?,
        run_as_user: run_as_user(&args.run_as_user)?,
        pod_ip_family: match args.pod_ip_family {
            cli::IpFamily::V4 => IpFamily::V4,
            cli::IpFamily::V6 => IpFamily::V6,
        },
        dns: dns(args)?,
        cluster_cidrs: cidrs("LANGOP_CLUSTER_CIDRS", &args.cluster_cidrs)?,
        never_cidrs: cidrs("LANGOP_NEVER_CIDRS", &args.never_cidrs)?,
        default_egress: match args.default_egress {
            DefaultEgress::Deny => AgentEgress::Deny,
            DefaultEgress::Allow => AgentEgress::Allow,
        },
        pod_label_prefixes: list(&args.pod_label_prefixes)
            .map(label_prefix)
            .collect::<Result<_, _>>()?,
        user_namespaces: args.user_namespaces,
        refused_namespaces: list(&args.refused_namespaces)
            .map(namespace)
            .collect::<Result<_, _>>()?,
        agent_telemetry: present(args.agent_otlp_endpoint.clone())
            .map(|url| agent_telemetry(&url, args))
            .transpose()?,
    })
}

/// Both labels or none: one alone would open the port to all pods that carry it.
fn dns(args: &RunArgs) -> Result<Dns, SettingsError> {
    let dns = Dns {
        namespace_labels: labels(&args.dns_namespace_labels)?,
        pod_labels: labels(&args.dns_pod_labels)?,
        cidrs: cidrs("LANGOP_DNS_CIDRS", &args.dns_cidrs)?,
        ports: list(&args.dns_ports).map(port).collect::<Result<_, _>>()?,
    };
    if dns.namespace_labels.is_empty() == dns.pod_labels.is_empty() {
        Ok(dns)
    } else {
        Err(SettingsError::HalfOfDns)
    }
}

fn agent_telemetry(url: &str, args: &RunArgs) -> Result<Telemetry, SettingsError> {
    let bad = || SettingsError::AgentOtlp(url.to_owned());
    let parsed: http::Uri = url.trim().parse().map_err(|_| bad())?;
    let by_scheme = match parsed.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return Err(bad()),
    };
    if parsed.host().is_none_or(str::is_empty) {
        return Err(bad());
    }
    let port = args.agent_otlp_port.or(parsed.port_u16());
    let telemetry = Telemetry {
        endpoint: url.trim().to_owned(),
        protocol: match args.agent_otlp_protocol {
            OtlpProtocol::HttpProtobuf => "http/protobuf".to_owned(),
            OtlpProtocol::Grpc => "grpc".to_owned(),
        },
        namespace_labels: labels(&args.agent_otlp_namespace_labels)?,
        pod_labels: labels(&args.agent_otlp_pod_labels)?,
        cidrs: cidrs("LANGOP_AGENT_OTLP_CIDRS", &args.agent_otlp_cidrs)?,
        port: port.unwrap_or(by_scheme).into(),
    };
    let by_labels =
        [&telemetry.namespace_labels, &telemetry.pod_labels].map(|labels| !labels.is_empty());
    match by_labels {
        [true, true] => Ok(telemetry),
        [false, false] if !telemetry.cidrs.is_empty() => Ok(telemetry),
        _ => Err(SettingsError::AgentOtlpPeer),
    }
}

/// Charts set variables to the empty text where they mean "not set".
fn present(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

fn list(items: &[String]) -> impl Iterator<Item = &str> {
    items
        .iter()
        .map(|item| item.trim())
        .filter(|item| !item.is_empty())
}

fn synthesizer(url: &str, args: &RunArgs) -> Result<SynthesizerSettings, SettingsError> {
    let bad = || SettingsError::Synthesizer(url.to_owned());
    let url: http::Uri = url.trim().parse().map_err(|_| bad())?;
    let has_path = url
        .path_and_query()
        .is_some_and(|path| path.as_str() != "/");
    let host = url.host().ok_or_else(bad)?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || has_path {
        return Err(bad());
    }
    let service = match args.synthesizer_target {
        SynthesizerTarget::Pods => service(host, args.cluster_domain.trim_matches('.')),
        SynthesizerTarget::Service => None,
    };
    let file = |name: &Option<String>| present(name.clone()).map(PathBuf::from);
    let credentials = Credentials {
        ca: file(&args.synthesizer_ca),
        certificate: file(&args.synthesizer_cert),
        key: file(&args.synthesizer_key),
        server_name: present(args.synthesizer_server_name.clone()),
        token_file: file(&args.synthesizer_token_file),
        allow_plaintext: args.synthesizer_allow_plaintext,
    };
    credentials
        .check_token(&url.to_string())
        .map_err(|error| SettingsError::Credentials(error.to_string()))?;
    Ok(SynthesizerSettings {
        url,
        service,
        credentials,
    })
}

/// The Service that a host names, written as `NAME.NAMESPACE.svc`, with or without the cluster's
/// domain.
fn service(host: &str, domain: &str) -> Option<ServiceName> {
    let host = host.trim_end_matches('.');
    let short = host.strip_suffix(&format!(".{domain}")).unwrap_or(host);
    let (name, namespace) = short.strip_suffix(".svc")?.split_once('.')?;
    (!name.is_empty() && !namespace.is_empty() && !namespace.contains('.')).then(|| ServiceName {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

fn scope(namespaces: &[String]) -> Result<Scope, SettingsError> {
    let mut names: Vec<String> = list(namespaces).map(namespace).collect::<Result<_, _>>()?;
    names.sort();
    names.dedup();
    Ok(if names.is_empty() {
        Scope::Cluster
    } else {
        Scope::Namespaces(names)
    })
}

/// RFC 1123 label.
fn namespace(name: &str) -> Result<String, SettingsError> {
    let ends_well =
        |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let good = name.len() <= 63
        && ends_well(name.chars().next())
        && ends_well(name.chars().last())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if good {
        Ok(name.to_owned())
    } else {
        Err(SettingsError::Namespace(name.to_owned()))
    }
}

fn run_as_user(text: &str) -> Result<Option<i64>, SettingsError> {
    match text.trim() {
        "none" | "" => Ok(None),
        number => match number.parse() {
            Ok(id @ 1..=4_294_967_294) => Ok(Some(id)),
            _ => Err(SettingsError::RunAsUser(text.to_owned())),
        },
    }
}

fn time_zone(name: String) -> Result<String, SettingsError> {
    match check_zone(&name) {
        Ok(()) => Ok(name),
        Err(error) => Err(SettingsError::TimeZone(error.to_string())),
    }
}

/// A Job counts in whole seconds.
fn run_timeout(text: &str) -> Result<Option<u64>, SettingsError> {
    match text.trim() {
        "none" => Ok(None),
        text => match langop_dsl::parse_duration(text) {
            Ok(seconds) => Ok(Some(seconds)),
            Err(_) => Err(SettingsError::RunTimeout(text.to_owned())),
        },
    }
}

fn labels(items: &[String]) -> Result<BTreeMap<String, String>, SettingsError> {
    list(items)
        .map(|item| match item.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(SettingsError::Label(item.to_owned())),
        })
        .collect()
}

fn port(item: &str) -> Result<(i32, Protocol), SettingsError> {
    let bad = || SettingsError::Port(item.to_owned());
    let (port, protocol) = item.split_once('/').ok_or_else(bad)?;
    let protocol = match protocol {
        "UDP" => Protocol::UDP,
        "TCP" => Protocol::TCP,
        _ => return Err(bad()),
    };
    match port.parse() {
        Ok(port @ 1..=65535) => Ok((port, protocol)),
        _ => Err(bad()),
    }
}

fn cidrs(setting: &'static str, items: &[String]) -> Result<Vec<String>, SettingsError> {
    list(items)
        .map(|item| policy::range(item).map_err(|why| SettingsError::Cidr(setting, why)))
        .collect()
}

/// A key, or a DNS name and `/`; none of those that we select by.
fn label_prefix(item: &str) -> Result<String, SettingsError> {
    let ours = ["langop.io/", "app.kubernetes.io/"];
    let is_ours = ours.contains(&item) || item.starts_with("langop.io/");
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if !is_ours
        && item.chars().all(good)
        && item.matches('/').count() <= 1
        && !item.starts_with('/')
    {
        Ok(item.to_owned())
    } else {
        Err(SettingsError::LabelPrefix(item.to_owned()))
    }
}

fn default_identity() -> String {
    let from_env = std::env::var("HOSTNAME").ok();
    let host =
        present(from_env).or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    format!(
        "{}_{}",
        host.as_deref().map_or("langop-operator", str::trim),
        std::process::id()
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn settings(flags: &[&str]) -> Result<Settings, SettingsError> {
        let all = ["langop-operator", "run"].iter().chain(flags);
        let Command::Run(args) = Cli::parse_from(all).command else {
            panic!("not run")
        };
        Settings::try_from(*args)
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.build, BuildSettings::default());
        assert_eq!(settings.scope, Scope::Cluster);
        assert!(settings.leader_elect && settings.synthesizer.is_none());
        assert_eq!(settings.backoff_max, Duration::from_hours(1));
    }

    #[test]
    fn lists_are_sorted_and_empty_text_means_not_set() {
        let all = [
            "--namespaces",
            "b, a,,b",
            "--synthesizer-endpoint",
            " ",
            "--run-as-user",
            "none",
        ];
        let settings = settings(&all).unwrap();
        assert_eq!(
            settings.scope,
            Scope::Namespaces(vec!["a".into(), "b".into()])
        );
        assert!(settings.synthesizer.is_none() && settings.build.run_as_user.is_none());
    }

    #[test]
    fn a_host_may_name_a_service() {
        let named = |host: &str| {
            let url = format!("https://{host}:50051");
            let found = settings(&["--synthesizer-endpoint", &url]).unwrap();
            let service = found.synthesizer.unwrap().service;
            service.map(|service| format!("{}/{}", service.namespace, service.name))
        };
        for host in [
            "synth.ns.svc",
            "synth.ns.svc.cluster.local",
            "synth.ns.svc.",
        ] {
            assert_eq!(named(host).as_deref(), Some("ns/synth"), "{host}");
        }
        for host in [
            "synth",
            "synth.ns",
            "127.0.0.1",
            "[::1]",
            "a.svc",
            "a.b.c.svc",
            ".ns.svc",
        ] {
            assert_eq!(named(host), None, "{host}");
        }
    }

    #[test]
    fn dns_may_be_addresses_alone_and_egress_is_denied_unless_said() {
        let given = [
            "--dns-pod-labels",
            "",
            "--dns-namespace-labels",
            "",
            "--dns-cidrs",
            "169.254.20.10/32",
            "--default-egress",
            "allow",
        ];
        let build = settings(&given).unwrap().build;
        assert_eq!(build.dns.cidrs, ["169.254.20.10/32"]);
        assert!(build.dns.pod_labels.is_empty() && build.default_egress == AgentEgress::Allow);
        assert_eq!(
            settings(&[]).unwrap().build.default_egress,
            AgentEgress::Deny
        );
    }

    #[test]
    fn a_collector_is_told_of_where_agents_may_reach_it() {
        let url = "http://otel.observability.svc:4318";
        let labels = [
            "--agent-otlp-endpoint",
            url,
            "--agent-otlp-namespace-labels",
            "kubernetes.io/metadata.name=observability",
            "--agent-otlp-pod-labels",
            "app=otel",
        ];
        let collector = settings(&labels).unwrap().build.agent_telemetry.unwrap();
        assert_eq!(
            (
                collector.endpoint.as_str(),
                collector.protocol.as_str(),
                collector.port
            ),
            (url, "http/protobuf", 4318)
        );
        let addresses = [
            "--agent-otlp-endpoint",
            "https://otel.example.org",
            "--agent-otlp-protocol",
            "grpc",
            "--agent-otlp-cidrs",
            "203.0.113.7/32",
        ];
        let collector = settings(&addresses).unwrap().build.agent_telemetry.unwrap();
        assert_eq!((collector.protocol.as_str(), collector.port), ("grpc", 443));

        for (given, expected) in [
            (&labels[..2], SettingsError::AgentOtlpPeer),
            (&labels[..4], SettingsError::AgentOtlpPeer),
            (
                &["--agent-otlp-endpoint", "otel:4318"],
                SettingsError::AgentOtlp("otel:4318".into()),
            ),
        ] {
            assert_eq!(settings(given).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_service_is_spoken_to_at_its_own_address_where_that_is_asked_for() {
        let url = "http://synth.ns.svc:50051";
        for (target, by_pods) in [(None, true), (Some("pods"), true), (Some("service"), false)] {
            let mut flags = vec!["--synthesizer-endpoint", url];
            flags.extend(
                target
                    .iter()
                    .flat_map(|target| ["--synthesizer-target", target]),
            );
            let found = settings(&flags).unwrap().synthesizer.unwrap();
            assert_eq!(found.service.is_some(), by_pods, "{target:?}");
            assert_eq!(found.url, url);
        }
    }

    #[test]
    fn bad_values_are_refused() {
        for bad in [
            ["--synthesizer-endpoint", "host:1"],
            ["--synthesizer-endpoint", "ftp://host:1"],
            ["--synthesizer-endpoint", "http://host:1/path"],
            ["--run-as-user", "0"],
            ["--run-as-user", "root"],
            ["--time-zone", "Mars/Olympus"],
            ["--time-zone", "Local"],
            ["--run-timeout", "0s"],
            ["--run-timeout", "500ms"],
            ["--run-timeout", "soon"],
            ["--dns-pod-labels", "kube-dns"],
            ["--dns-ports", "53"],
            ["--dns-ports", "0/UDP"],
            ["--namespaces", "Prod"],
            ["--cluster-cidrs", "10.0.0.0"],
            ["--cluster-cidrs", "10.0.0.0/33"],
            ["--never-cidrs", "198.51.100.7"],
            ["--dns-cidrs", "169.254.20.10"],
            ["--dns-pod-labels", ""],
            ["--dns-namespace-labels", ""],
            ["--synthesis-backoff-max", "1s"],
            ["--pod-label-prefixes", "langop.io/"],
            ["--pod-label-prefixes", "app.kubernetes.io/"],
            ["--pod-label-prefixes", "a/b/c"],
            ["--pod-label-prefixes", "*"],
        ] {
            assert!(settings(&bad).is_err(), "{bad:?}");
        }
    }
}
