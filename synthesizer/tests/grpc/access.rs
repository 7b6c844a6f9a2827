//! Who may call, through real gRPC: each refusal and each acceptance, and files that change under a
//! running server.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use langop_client::credentials::{self, Bearer, Credentials};
use langop_proto::{
    ACCOUNT,
    v1::{SynthesisOutcome, ValidateCodeRequest, synthesis_service_client::SynthesisServiceClient},
};
use langop_synthesizer::{
    Listeners, ServeError, serve,
    settings::{Settings, SettingsError},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
};

use crate::{
    fake_llm::{Act, COST, FakeLlm, GOOD},
    harness::{TestServer, reason, request, settings},
    logs,
    pki::{Authority, Files, whole},
};

pub(crate) type Known = SynthesisServiceClient<InterceptedService<Channel, Bearer>>;

/// How long a change of files may take to be seen: far more than it does.
const SOON: Duration = Duration::from_secs(20);

/// Settings without an LLM and with these arguments, which look at files often.
fn with(arguments: &[String]) -> Settings {
    let often = ["--reload-interval=20ms".to_owned()];
    Settings::from_arguments(often.iter().chain(arguments)).unwrap()
}

/// A client that proves who it is by `credentials`.
pub(crate) async fn connect(
    server: &TestServer,
    credentials: &Credentials,
) -> Result<Known, tonic::transport::Error> {
    let scheme = credentials.ca.as_ref().map_or("http", |_| "https");
    let endpoint = Endpoint::from_shared(format!("{scheme}://{}", server.grpc)).unwrap();
    let channel = credentials.secure(endpoint).unwrap().connect().await?;
    let bearer = credentials.bearer();
    Ok(SynthesisServiceClient::with_interceptor(channel, bearer))
}

/// Credentials of a token.
pub(crate) fn token(files: &Files, token: &str) -> Credentials {
    Credentials {
        token_file: Some(files.write(&format!("{token}.token"), &whole(token))),
        ..Credentials::default()
    }
}

async fn validate(client: &mut Known) -> Result<(), Status> {
    let answer = client.validate_code(ValidateCodeRequest::default());
    answer.await.map(|_| ())
}

/// What one call with `credentials` on a new connection comes to: `OK`, the reason of a refusal, or
/// `no connection`.
async fn attempt(server: &TestServer, credentials: &Credentials) -> String {
    let Ok(mut client) = connect(server, credentials).await else {
        return "no connection".to_owned();
    };
    match validate(&mut client).await {
        Ok(()) => "OK".to_owned(),
        // With TLS 1.3 the server refuses a certificate after the client's side of the handshake is
        // over.
        Err(status) if reason(&status).is_empty() => "no connection".to_owned(),
        Err(status) => {
            assert_eq!(status.code(), Code::Unauthenticated, "{status}");
            reason(&status)
        }
    }
}

/// Waits until calls on new connections come to `expected`.
async fn until(server: &TestServer, credentials: &Credentials, expected: &str) {
    let start = Instant::now();
    loop {
        let found = attempt(server, credentials).await;
        if found == expected {
            return;
        }
        assert!(start.elapsed() < SOON, "{found}, not {expected}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_token_says_who_asks_and_is_replaced_without_a_restart() {
    const TOKENS: [&str; 3] = ["tk-Qm4vZx81", "tk-Hs7LwE02", "tk-unheard-of"];
    let files = Files::new();
    let [first, second, unknown] = TOKENS.map(|text| token(&files, text));
    let path = files.tokens(&[("ci", TOKENS[0])]);
    let server = TestServer::start(with(&[format!("--tokens-file={}", path.display())])).await;

    assert_eq!(attempt(&server, &first).await, "OK");
    assert_eq!(attempt(&server, &unknown).await, "TOKEN_UNKNOWN");
    let short = Credentials {
        token_file: Some(files.write("short", "fifteen-bytes--")),
        ..Credentials::default()
    };
    assert_eq!(attempt(&server, &short).await, "TOKEN_TOO_SHORT");
    let nobody = Credentials::default();
    assert_eq!(attempt(&server, &nobody).await, "CREDENTIALS_MISSING");
    let mut basic = Request::new(ValidateCodeRequest::default());
    let value = format!("Basic {}", TOKENS[0]).parse().unwrap();
    basic.metadata_mut().insert("authorization", value);
    let refused = server
        .client()
        .await
        .validate_code(basic)
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIALS_UNREADABLE");

    // A connection that is already there follows, too: each call is judged.
    let mut open = connect(&server, &first).await.unwrap();
    files.tokens(&[("ci", TOKENS[1])]);
    until(&server, &second, "OK").await;
    let refused = validate(&mut open).await.unwrap_err();
    assert_eq!(reason(&refused), "TOKEN_UNKNOWN");
    files.write("tokens", "ci:tk-written-in-clear");
    until_logged("line 1 of the tokens file is wrong").await;
    assert_eq!(
        attempt(&server, &second).await,
        "OK",
        "the former ones stay"
    );

    let log = logs::captured();
    for secret in TOKENS.iter().chain(&["tk-written-in-clear"]) {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

async fn until_logged(text: &str) {
    let start = Instant::now();
    while !logs::captured().contains(text) {
        assert!(start.elapsed() < SOON, "{text} is not logged");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn without_credentials_only_health_answers() {
    let files = Files::new();
    let path = files.tokens(&[("ci", "t")]);
    let server = TestServer::start(with(&[format!("--tokens-file={}", path.display())])).await;
    let mut health = HealthClient::new(server.channel().await);
    health.check(HealthCheckRequest::default()).await.unwrap();
    let mut reflection = ServerReflectionClient::new(server.channel().await);
    let question = tokio_stream::iter([ServerReflectionRequest::default()]);
    let refused = reflection.server_reflection_info(question).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    let mut client = server.client().await;
    let refused = client.synthesize(request("a", "x")).await.unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIALS_MISSING");
    assert!(refused.message().contains("Bearer"), "{refused}");
}

#[tokio::test]
async fn a_certificate_says_who_asks() {
    let (files, authority, other) = (Files::new(), Authority::new(), Authority::new());
    let mut arguments = authority.server(&files).to_vec();
    let ca = files.write("clients.pem", &authority.pem());
    let tokens = files.tokens(&[("ci", "tk-certainly")]);
    arguments.push(format!("--tls-client-ca={}", ca.display()));
    arguments.push(format!("--tokens-file={}", tokens.display()));
    let server = TestServer::start(with(&arguments)).await;

    let trusting = authority.trusted(&files);
    let ours = authority.certified(trusting.clone(), &files, Some("operator"));
    let with_token = Credentials {
        token_file: token(&files, "tk-certainly").token_file,
        ..trusting.clone()
    };
    let wrong_token = Credentials {
        token_file: token(&files, "tk-wrong").token_file,
        ..ours.clone()
    };
    let nameless = authority.certified(trusting.clone(), &files, None);
    let foreign = other.certified(trusting.clone(), &files, Some("operator"));
    let distrusting = other.trusted(&files);
    for (credentials, expected) in [
        (&ours, "OK"),
        (&with_token, "OK"),
        (&wrong_token, "TOKEN_UNKNOWN"),
        (&trusting, "CREDENTIALS_MISSING"),
        (&nameless, "CERTIFICATE_NAMELESS"),
        (&foreign, "no connection"),
        (&distrusting, "no connection"),
        (&Credentials::default(), "no connection"),
    ] {
        let found = attempt(&server, credentials).await;
        assert_eq!(found, expected, "{credentials:?}");
    }
}

#[tokio::test]
async fn only_the_certificates_that_are_meant_are_let_in() {
    let (files, authority) = (Files::new(), Authority::new());
    let mut arguments = authority.server(&files).to_vec();
    let ca = files.write("clients.pem", &authority.pem());
    arguments.push(format!("--tls-client-ca={}", ca.display()));
    arguments.push("--tls-client-names=dns:operator,cn:operator".to_owned());
    let server = TestServer::start(with(&arguments)).await;
    let certified = |name| authority.certified(authority.trusted(&files), &files, Some(name));
    assert_eq!(attempt(&server, &certified("operator")).await, "OK");
    let other = attempt(&server, &certified("somebody")).await;
    assert_eq!(other, "CERTIFICATE_NOT_LISTED");
}

/// Asks as `text` on the account of `namespace`, and says what came of it.
async fn on_account(client: &mut Known, namespace: &str, text: &str) -> Result<String, String> {
    let mut question = Request::new(request("x", text));
    let account = namespace.parse().unwrap();
    question.metadata_mut().insert(ACCOUNT, account);
    match client.synthesize(question).await {
        Ok(answer) => Ok(format!("{:?}", answer.into_inner().outcome())),
        Err(status) => Err(reason(&status)),
    }
}

#[tokio::test]
async fn who_is_trusted_speaks_for_accounts_and_nobody_else_does() {
    let llm = FakeLlm::start([Act::Say(GOOD)]).await;
    let files = Files::new();
    let path = files.tokens(&[("operator", "operator"), ("other", "other")]);
    let mut settings = settings("openai", &llm);
    settings.access = with(&[
        format!("--tokens-file={}", path.display()),
        "--trusted-callers=token:operator".to_owned(),
        format!("--caller-tokens={}", COST.0 + COST.1),
    ])
    .access;
    let server = TestServer::start(settings).await;
    let mut operator = connect(&server, &token(&files, "operator")).await.unwrap();
    let mut other = connect(&server, &token(&files, "other")).await.unwrap();
    let (made, cached) = (Ok("Generated".to_owned()), Ok("Cached".to_owned()));
    let spent = Err("TOKEN_BUDGET_SPENT".to_owned());

    assert_eq!(on_account(&mut operator, "one", "watch").await, made);
    assert_eq!(on_account(&mut operator, "one", "watch").await, cached);
    assert_eq!(on_account(&mut operator, "one", "more").await, spent);
    // Another namespace has its own cache and budget, though it asks the same.
    assert_eq!(on_account(&mut operator, "two", "watch").await, made);
    let unreadable = on_account(&mut operator, "no name", "watch").await;
    assert_eq!(unreadable, Err("ACCOUNT_UNREADABLE".to_owned()));
    // Whoever is not trusted is the same whatever they say.
    assert_eq!(on_account(&mut other, "one", "watch").await, made);
    assert_eq!(on_account(&mut other, "two", "watch").await, cached);
    assert_eq!(on_account(&mut other, "three", "more").await, spent);
}

#[tokio::test]
async fn certificates_are_replaced_without_a_restart() {
    let (files, old, new) = (Files::new(), Authority::new(), Authority::new());
    let mut arguments = old.server(&files).to_vec();
    let ca = files.write("clients.pem", &old.pem());
    arguments.push(format!("--tls-client-ca={}", ca.display()));
    let server = TestServer::start(with(&arguments)).await;
    let old_client = old.certified(old.trusted(&files), &files, Some("operator"));
    let new_client = new.certified(new.trusted(&files), &files, Some("operator"));
    let mixed = old.certified(new.trusted(&files), &files, Some("operator"));
    assert_eq!(attempt(&server, &old_client).await, "OK");
    assert_eq!(attempt(&server, &new_client).await, "no connection");
    let mut open = connect(&server, &old_client).await.unwrap();
    validate(&mut open).await.unwrap();

    // One file after the other: in between, certificate and key do not belong together, and the
    // former pair stays.
    new.server(&files);
    until(&server, &mixed, "OK").await;
    files.write("clients.pem", &new.pem());
    until(&server, &new_client, "OK").await;
    assert_eq!(attempt(&server, &mixed).await, "no connection");
    validate(&mut open).await.expect("what is open stays open");
    let key = std::fs::read_to_string(files.path("server.key")).unwrap();
    let secret = key.lines().nth(1).unwrap();
    assert!(!logs::captured().contains(secret), "the key is in the log");
}

#[tokio::test]
async fn callers_share_no_answers() {
    let llm = FakeLlm::start([Act::Say(GOOD)]).await;
    let files = Files::new();
    let path = files.tokens(&[("a", "token-a"), ("a", "token-a2"), ("b", "token-b")]);
    let mut settings = settings("openai", &llm);
    settings.access = with(&[format!("--tokens-file={}", path.display())]).access;
    let server = TestServer::start(settings).await;
    for (text, outcome, calls) in [
        ("token-a", SynthesisOutcome::Generated, 1),
        ("token-a2", SynthesisOutcome::Cached, 1),
        ("token-b", SynthesisOutcome::Generated, 2),
    ] {
        let mut client = connect(&server, &token(&files, text)).await.unwrap();
        let answer = client.synthesize(request("x", "watch")).await.unwrap();
        assert_eq!(
            (answer.into_inner().outcome(), llm.calls()),
            (outcome, calls),
            "{text}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_used_or_is_open_to_all_does_not_start() {
    let (files, authority) = (Files::new(), Authority::new());
    let tls = authority.server(&files).to_vec();
    let start = async |address: &str, arguments: &[String]| {
        let listeners = Listeners {
            grpc: TcpListener::bind(address).await.unwrap(),
            admin: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        };
        let served = serve(with(arguments), listeners, CancellationToken::new());
        served.await.unwrap_err()
    };
    let open = start("0.0.0.0:0", &tls).await;
    let plaintext = start("0.0.0.0:0", &["--allow-plaintext".to_owned()]).await;
    for open in [open, plaintext] {
        assert!(
            matches!(open, ServeError::Settings(SettingsError::OpenToAll(_))),
            "{open}"
        );
    }
    for (arguments, named) in [
        (
            vec!["--tokens-file=no-such-file".to_owned()],
            "no-such-file",
        ),
        (
            [tls, vec!["--tls-client-ca=no-such-ca".to_owned()]].concat(),
            "no-such-ca",
        ),
    ] {
        let error = start("127.0.0.1:0", &arguments).await;
        assert!(
            matches!(error, ServeError::Access(_)) && error.to_string().contains(named),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_command_line_says_who_asks_by_the_names_of_all_clients() {
    let (files, authority) = (Files::new(), Authority::new());
    let tokens = files.tokens(&[("ci", "tk-of-a-person")]);
    let mut arguments = authority.server(&files).to_vec();
    arguments.push(format!("--tokens-file={}", tokens.display()));
    let server = TestServer::start(with(&arguments)).await;
    let code = files.write("agent.rb", "agent 'a'");
    let trusted = authority.trusted(&files);
    let token = token(&files, "tk-of-a-person").token_file.unwrap();
    let run = async |token_file: Option<&Path>| {
        let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_langop-synth"));
        let program = program
            .arg(format!("--endpoint=https://{}", server.grpc))
            .arg("validate")
            .arg(&code)
            .env(credentials::CA, trusted.ca.as_ref().unwrap())
            .env(
                credentials::SERVER_NAME,
                trusted.server_name.as_ref().unwrap(),
            )
            .env(credentials::TOKEN_FILE, token_file.unwrap_or(Path::new("")));
        let output = program.output().await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    };
    let (status, text) = run(None).await;
    assert!(
        status == 3 && text.contains("CREDENTIALS_MISSING"),
        "{text}"
    );
    let (status, text) = run(Some(&token)).await;
    assert_eq!(status, 1, "let in, and the code is invalid: {text}");
}
