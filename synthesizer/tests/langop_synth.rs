//! The command-line client against a real synthesizer with the built-in rules: standard output,
//! messages and exit codes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

/// A synthesizer process that ends with the test.
struct Synthesizer {
    process: Child,
    endpoint: String,
}

impl Synthesizer {
    fn start(provider: &str) -> Self {
        Self::signing(provider, None)
    }

    /// One that signs with the key of this file.
    fn signing(provider: &str, key: Option<&str>) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_langop-synthesizer"))
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .env_clear()
            .envs([
                ("SYNTHESIS_PROVIDER", provider),
                ("LANGOP_LOG_FORMAT", "json"),
                ("LANGOP_SIGNING_KEY_FILE", key.unwrap_or_default()),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .find_map(|line| grpc_address(&line.unwrap()))
            .expect("it serves");
        // reads on, so that the process never waits for us
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            endpoint: format!("http://{address}"),
        }
    }

    fn run(&self, arguments: &[&str], stdin: &str) -> Output {
        run(
            &[&["--endpoint", &self.endpoint], arguments].concat(),
            stdin,
        )
    }
}

impl Drop for Synthesizer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address in the line that says it serves.
fn grpc_address(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some(line["fields"]["grpc"].as_str()?.to_owned())
}

fn run(arguments: &[&str], stdin: &str) -> Output {
    let mut client = Command::new(env!("CARGO_BIN_EXE_langop-synth"))
        .args(arguments)
        .env_remove("LANGOP_SYNTHESIZER_ENDPOINT")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // one that does not read its input may be gone already
    let _ = client.stdin.take().unwrap().write_all(stdin.as_bytes());
    client.wait_with_output().unwrap()
}

/// Exit code, standard output, standard error.
fn parts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn code_goes_to_standard_output_and_validates() {
    let server = Synthesizer::start("template");
    let instructions = "Every weekday at 9am, send the team a joke.";
    for extra in [&[][..], &["--no-stream"]] {
        let arguments = [
            &[
                "synthesize",
                "-f",
                "-",
                "--name",
                "joker",
                "--tool",
                "email-tool=Sends mail",
                "--model",
                "claude=m",
            ],
            extra,
        ]
        .concat();
        let (exit, code, messages) = parts(&server.run(&arguments, instructions));
        assert_eq!(exit, 0, "{messages}");
        assert!(
            code.contains("agent 'joker' do") && code.contains("schedule cron: '0 9 * * 1-5'"),
            "{code}"
        );
        assert!(
            messages.contains("by template (template), 1 answer"),
            "{messages}"
        );
        assert!(
            messages.contains("joker runs at 0 9 * * 1-5: 1 objective"),
            "{messages}"
        );
        assert_eq!(
            messages.contains("asking template"),
            extra.is_empty(),
            "{messages}"
        );

        let (exit, stdout, messages) = parts(&server.run(
            &["validate", "-", "--tool", "email-tool", "--model", "claude"],
            &code,
        ));
        assert_eq!((exit, stdout.as_str()), (0, ""), "{messages}");
        assert!(
            messages.contains("is valid: joker runs at 0 9 * * 1-5"),
            "{messages}"
        );
    }
}

#[test]
fn a_manifest_says_name_instructions_and_offer() {
    const AGENT: &str = "\
        apiVersion: langop.io/v1alpha1\n\
        kind: LanguageAgent\n\
        metadata: {name: lister}\n\
        spec:\n  instructions: Every day at 9am, list files.\n  toolRefs: [{name: files}]\n";
    const TOOL: &str = "\
        apiVersion: langop.io/v1alpha1\n\
        kind: LanguageTool\n\
        metadata: {name: files}\n\
        spec: {image: x, operations: [{name: list_files}]}\n";
    let server = Synthesizer::start("template");
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().join("tool.yaml");
    std::fs::write(&tool, TOOL).unwrap();
    for (extra, name, offers) in [
        (&[][..], "lister", true),
        (
            &["--name", "finder", "--tool", "phone-tool"],
            "finder",
            false,
        ),
    ] {
        let arguments = [&["synthesize", "-f", "-", tool.to_str().unwrap()], extra].concat();
        let (exit, code, messages) = parts(&server.run(&arguments, AGENT));
        assert_eq!(exit, 0, "{messages}");
        assert!(code.contains(&format!("agent '{name}' do")), "{code}");
        assert!(code.contains("schedule cron: '0 9 * * *'"), "{code}");
        assert_eq!(
            code.contains("use_tool \"files\", action: \"list_files\""),
            offers,
            "{code}"
        );
    }
    let (_, _, messages) = parts(&server.run(&["synthesize", "-f", "-"], AGENT));
    assert!(
        messages.contains("note: not in the manifest, so offered by name only: files\n"),
        "{messages}"
    );
}

#[test]
fn replicas_stand_in_for_each_other() {
    let server = Synthesizer::start("template");
    let address = server.endpoint.trim_start_matches("http://");
    let port = address.rsplit(':').next().unwrap();
    for endpoints in [
        // A list, in which nobody answers at the others; a flag for each; a name that may stand for
        // several addresses.
        vec![format!(
            "--endpoint=http://127.0.0.1:1,{address},127.0.0.1:2"
        )],
        vec![
            "--endpoint=127.0.0.1:1".to_owned(),
            format!("--endpoint={address}"),
        ],
        vec![format!("--endpoint=localhost:{port}")],
    ] {
        let mut arguments: Vec<&str> = endpoints.iter().map(String::as_str).collect();
        arguments.extend(["synthesize", "-f", "-"]);
        for task in ["Tell a joke.", "Sing a song.", "Count the sheep."] {
            let (exit, _, messages) = parts(&run(&arguments, task));
            assert_eq!(exit, 0, "{endpoints:?}: {messages}");
        }
    }
}

#[test]
fn shells_and_man_are_served_without_a_synthesizer() {
    for (arguments, expected) in [
        (&["completions", "bash"][..], "complete -F _langop__synth"),
        (&["completions", "zsh"], "#compdef langop-synth"),
        (&["completions", "fish"], "complete -c langop-synth"),
        (&["man"], ".TH langop-synth 1"),
        (&["man", "validate"], ".TH langop-synth-validate 1"),
    ] {
        let (exit, text, messages) = parts(&run(arguments, ""));
        assert_eq!((exit, messages.as_str()), (0, ""), "{arguments:?}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}

#[test]
fn invalid_code_is_shown_like_a_compiler_would() {
    let server = Synthesizer::start("template");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.rb");
    let code = "require 'language_operator'\n\nagent 'a' do\n  workflow do\n    step 'x' do\n      use_tool 'telephone'\n    end\n  end\nend\n";
    std::fs::write(&file, code).unwrap();
    let path = file.to_str().unwrap();
    let (exit, stdout, messages) =
        parts(&server.run(&["validate", path, "--tool", "email-tool"], ""));
    assert_eq!((exit, stdout.as_str()), (1, ""), "{messages}");
    assert!(messages.contains("error[unknown-tool]"), "{messages}");
    assert!(
        messages.contains(&format!("--> {path}:6:16\n")),
        "{messages}"
    );
    assert!(
        messages.contains("6 |       use_tool 'telephone'\n  |                ^^^^^^^^^^^\n"),
        "{messages}"
    );
    assert!(messages.contains("= help: "), "{messages}");

    let (exit, stdout, _) = parts(&server.run(&["--output", "json", "validate", path], ""));
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (exit, &answer["valid"], &answer["diagnostics"][0]["line"]),
        (1, &Value::from(false), &Value::from(6))
    );
}

#[test]
fn json_holds_the_whole_answer() {
    let server = Synthesizer::start("template");
    let folder = tempfile::tempdir().unwrap();
    let tools = folder.path().join("tools.json");
    std::fs::write(&tools, r#"[{"name": "files", "operations": [{"name": "list_files", "inputSchema": {"type": "object"}}]}]"#).unwrap();
    let arguments = [
        "--output",
        "json",
        "synthesize",
        "-f",
        "-",
        "--tools-file",
        tools.to_str().unwrap(),
    ];
    let (exit, stdout, messages) = parts(&server.run(&arguments, "Every 90 minutes, list files."));
    assert_eq!(exit, 0, "{messages}");
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&answer["outcome"], &answer["model"]),
        (&Value::from("GENERATED"), &Value::from("template"))
    );
    assert_eq!(answer["definition"]["schedule"]["every"]["seconds"], 5400);
    assert_eq!(
        answer["definition"]["steps"][0]["action"]["useTool"]["action"],
        "list_files"
    );
    assert!(
        answer["code"]
            .as_str()
            .unwrap()
            .contains("agent 'my-agent' do")
    );
}

#[test]
fn personas_from_flags_and_files() {
    let server = Synthesizer::start("template");
    let persona = r#"{"name": "ann", "systemPrompt": "Be brief.", "tone": "dry"}"#;
    let (exit, prompt, messages) =
        parts(&server.run(&["distill", "-f", "-", "--tone", "warm"], persona));
    assert_eq!(exit, 0, "{messages}");
    assert!(
        prompt.contains("Be brief.") && prompt.contains("warm") && !prompt.contains("dry"),
        "{prompt}"
    );

    let (exit, stdout, _) = parts(&server.run(
        &["--output", "json", "distill", "--description", "A cook"],
        "",
    ));
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (
            exit,
            answer["distilledPrompt"]
                .as_str()
                .unwrap()
                .contains("A cook")
        ),
        (0, true)
    );
}

#[test]
fn bad_input_says_what_to_do() {
    let server = Synthesizer::start("template");
    for (arguments, stdin, expected) in [
        (
            &["synthesize", "-f", "-", "--name", "Not A Name"][..],
            "x",
            "agent.name: ",
        ),
        (&["synthesize", "-f", "-"], "", "instructions: "),
        (
            &["synthesize", "-f", "/nonexistent/file"],
            "",
            "cannot read /nonexistent/file",
        ),
        (
            &["synthesize", "-f", "-", "--tools-file", "-"],
            "x",
            "only once",
        ),
        (
            &["distill", "-f", "-"],
            "{\"nme\": 1}",
            "unknown field `nme`",
        ),
        (&["distill"], "", "persona: "),
        (
            &["--endpoint", "somewhere", "distill", "--name", "x"],
            "",
            "write for example http://127.0.0.1:50051",
        ),
        (&["--timeout", "soon", "distill"], "", "--timeout"),
        (&["man", "frobnicate"], "", "unknown command frobnicate"),
        (
            &["synthesize", "-f", "-"],
            "apiVersion: langop.io/v1alpha1\nkind: LanguageTool\n",
            "no LanguageAgent",
        ),
        (&["frobnicate"], "", "Usage"),
    ] {
        let arguments = if arguments[0] == "--endpoint" {
            arguments.to_vec()
        } else {
            [&["--endpoint", &server.endpoint], arguments].concat()
        };
        let (exit, stdout, messages) = parts(&run(&arguments, stdin));
        assert_eq!(
            (exit, stdout.as_str()),
            (2, ""),
            "{arguments:?}: {messages}"
        );
        assert!(messages.contains(expected), "{arguments:?}: {messages}");
    }
}

#[test]
fn a_synthesizer_that_is_away_or_disabled_is_exit_code_3() {
    let (exit, stdout, messages) = parts(&run(
        &["--endpoint", "http://127.0.0.1:1", "distill", "--name", "x"],
        "",
    ));
    assert_eq!((exit, stdout.as_str()), (3, ""), "{messages}");
    assert!(
        messages.contains("no synthesizer answers at http://127.0.0.1:1"),
        "{messages}"
    );
    assert!(messages.contains("Connection refused"), "{messages}");
    assert!(!messages.contains("source:"), "no innards: {messages}");
    assert!(messages.contains("help: start one with"), "{messages}");

    let disabled = Synthesizer::start("ollama");
    let (exit, _, messages) = parts(&disabled.run(&["synthesize", "-f", "-"], "Tell a joke."));
    assert_eq!(exit, 3, "{messages}");
    assert!(
        messages.contains("(FAILED_PRECONDITION, SYNTHESIS_DISABLED)"),
        "{messages}"
    );
}

#[test]
fn a_statement_is_written_and_checked() {
    // An Ed25519 key of 32 bytes 1, as PKCS#8 in PEM has it.
    let body = "MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
    let label = "PRIVATE KEY";
    let private = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
    let public = langop_provenance::SigningKey::from_pem(private.as_bytes())
        .unwrap()
        .public_pem();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (key, keys) = (path("key.pem"), path("public.pem"));
    let (code, text, envelope) = (
        path("agent.rb"),
        path("instructions.txt"),
        path("agent.dsse"),
    );
    std::fs::write(&key, private).unwrap();
    std::fs::write(&keys, public).unwrap();
    std::fs::write(&text, "Tell a joke.").unwrap();

    let server = Synthesizer::signing("template", Some(&key));
    let asked = [
        "synthesize",
        "-f",
        &text,
        "--provenance",
        &envelope,
        "--keys",
        &keys,
    ];
    let (exit, made, messages) = parts(&server.run(&asked, ""));
    assert_eq!(exit, 0, "{messages}");
    assert!(messages.contains("signed by key "), "{messages}");
    std::fs::write(&code, &made).unwrap();
    let check = [
        "verify",
        &code,
        "-f",
        &text,
        "--provenance",
        &envelope,
        "--keys",
        &keys,
    ];
    let (exit, stdout, messages) = parts(&run(&check, ""));
    assert_eq!((exit, stdout.as_str()), (0, ""), "{messages}");
    assert!(
        messages.contains("the code of 'my-agent' was made (generated)"),
        "{messages}"
    );
    let (exit, _, messages) = parts(&run(&[&check[..], &["--name", "other"]].concat(), ""));
    assert_eq!(exit, 1, "{messages}");
    assert!(messages.contains("is about agent 'my-agent'"), "{messages}");
    std::fs::write(&code, made + "# more\n").unwrap();
    let (exit, _, messages) = parts(&run(&check, ""));
    assert_eq!(exit, 1, "{messages}");
    assert!(messages.contains("is about other code"), "{messages}");
    std::fs::write(&keys, "none").unwrap();
    let (exit, _, messages) = parts(&run(&check, ""));
    assert_eq!(exit, 2, "{messages}");
    assert!(messages.contains("holds 0 public keys"), "{messages}");

    let silent = Synthesizer::start("template");
    let (exit, stdout, messages) = parts(&silent.run(&asked, ""));
    assert_eq!((exit, stdout.as_str()), (3, ""), "{messages}");
    assert!(messages.contains("signs nothing"), "{messages}");
}
