//! The binary as people meet it: its subcommands, its help, and what it says to bad settings.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

fn operator(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_langop-operator"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LANGOP_") {
            command.env_remove(name);
        }
    }
    command
        .args(args)
        .envs(env.iter().copied())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn crds_prints_six_documents() {
    let output = operator(&["crds"], &[]);
    assert!(output.status.success());
    let documents = text(&output.stdout)
        .matches("\nkind: CustomResourceDefinition\n")
        .count();
    assert_eq!(documents, 6);
}

#[test]
fn the_help_lists_every_environment_variable() {
    let help = text(&operator(&["run", "--help"], &[]).stdout);
    for name in [
        "LANGOP_SYNTHESIZER_ENDPOINT",
        "LANGOP_SYNTHESIZER_CA",
        "LANGOP_SYNTHESIZER_CERT",
        "LANGOP_SYNTHESIZER_KEY",
        "LANGOP_SYNTHESIZER_SERVER_NAME",
        "LANGOP_SYNTHESIZER_TOKEN_FILE",
        "LANGOP_SYNTHESIZER_ALLOW_PLAINTEXT",
        "LANGOP_NAMESPACES",
        "LANGOP_NAMESPACE",
        "LANGOP_ADMIN_LISTEN",
        "LANGOP_LEADER_ELECT",
        "LANGOP_IDENTITY",
        "LANGOP_SYNTHESIS_BACKOFF_INITIAL",
        "LANGOP_SYNTHESIS_BACKOFF_MAX",
        "LANGOP_SYNTHESIS_TIMEOUT",
        "LANGOP_SYNTHESIS_CONCURRENCY",
        "LANGOP_SYNTHESIS_MAX_TOKENS",
        "LANGOP_RECONCILE_CONCURRENCY",
        "LANGOP_CLUSTER_DOMAIN",
        "LANGOP_AGENT_IMAGE",
        "LANGOP_MODEL_PROXY_IMAGE",
        "LANGOP_MIN_READY_SECONDS",
        "LANGOP_RUN_AS_USER",
        "LANGOP_CLUSTER_CIDRS",
        "LANGOP_REFUSED_NAMESPACES",
        "LANGOP_DNS_NAMESPACE_LABELS",
        "LANGOP_DNS_POD_LABELS",
        "LANGOP_DNS_PORTS",
        "LANGOP_LOG",
        "LANGOP_LOG_FORMAT",
    ] {
        assert!(
            help.contains(&format!("[env: {name}=]")),
            "{name} is not in\n{help}"
        );
    }
}

#[test]
fn bad_settings_are_explained() {
    for (args, env, expected) in [
        (
            &["run", "--synthesizer-endpoint", "synthesizer:50051"][..],
            &[][..],
            "write http://HOST:PORT",
        ),
        (
            &["run", "--synthesizer-endpoint=http://synthesizer:50051"][..],
            &[("LANGOP_SYNTHESIZER_TOKEN_FILE", "token")][..],
            "LANGOP_SYNTHESIZER_ALLOW_PLAINTEXT=true",
        ),
        (
            &["run"][..],
            &[("LANGOP_SYNTHESIS_BACKOFF_MAX", "soon")][..],
            "write for example 500ms, 30s",
        ),
        (
            &["run"][..],
            &[("LANGOP_LEADER_ELECT", "perhaps")][..],
            "perhaps",
        ),
        (
            &["run"][..],
            &[("LANGOP_NAMESPACES", "Prod")][..],
            "invalid namespace name",
        ),
        (
            &["run"][..],
            &[("LANGOP_LOG", "a=b=c")][..],
            "invalid LANGOP_LOG",
        ),
        (&["walk"][..], &[][..], "unrecognized subcommand"),
        (&["run", "--color"][..], &[][..], "unexpected argument"),
    ] {
        let output = operator(args, env);
        assert!(!output.status.success(), "{args:?} {env:?}");
        let said = text(&output.stderr);
        assert!(said.contains(expected), "{args:?} {env:?}: {said}");
    }
}

/// Without an API server it ends, but not for want of traces.
#[test]
fn telemetry_that_cannot_be_set_up_is_a_warning() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "no-such-file"),
    ] {
        let env = [
            ("KUBECONFIG", "no-such-cluster"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://localhost:4317"),
            (name, value),
        ];
        let said = text(&operator(&["run"], &env).stderr);
        assert!(said.contains("no traces are sent"), "{said}");
        assert!(said.contains(value), "{said}");
        assert!(said.contains("no-such-cluster"), "{said}");
        let disabled = [&env[..], &[("OTEL_SDK_DISABLED", "true")]].concat();
        let said = text(&operator(&["run"], &disabled).stderr);
        assert!(!said.contains("no traces are sent"), "{said}");
    }
}
