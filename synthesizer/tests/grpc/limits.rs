//! How much callers may do, through real gRPC: rate, budget, calls at a time, connections, and
//! clients that take their time.

use std::{
    future::ready,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use langop_proto::{
    ACCOUNT,
    v1::{SynthesisOutcome, SynthesizeRequest, Tool, ToolOperation, ValidateCodeRequest},
};
use langop_synthesizer::settings::Settings;
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tonic::{
    Code, Request, Status,
    body::Body,
    codegen::{Body as HttpBody, Bytes, Service as _},
    transport::Endpoint,
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt as _;

use crate::{
    access::{connect, token},
    fake_llm::{Act, COST, FakeLlm, GOOD},
    harness::{Client, TestServer, reason, request, settings},
    pki::{Authority, Files, whole},
    program::Program,
};

/// Settings with a provider at `llm`, two callers of tokens `a` and `b`, and these arguments.
fn two_callers(llm: &FakeLlm, files: &Files, arguments: &[&str]) -> Settings {
    let path = files.tokens(&[("a", "a"), ("b", "b")]);
    let tokens = format!("--tokens-file={}", path.display());
    let arguments = std::iter::once(tokens.as_str()).chain(arguments.iter().copied());
    Settings {
        access: Settings::from_arguments(arguments).unwrap().access,
        ..settings("openai", llm)
    }
}

/// Reason of a refusal for now, and when to come back.
fn denied(status: &Status) -> (String, Duration) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let retry = status.get_details_retry_info().expect("RetryInfo");
    (reason(status), retry.retry_delay.expect("a delay"))
}

#[tokio::test]
async fn each_caller_has_its_rate() {
    let (llm, files) = (FakeLlm::start([Act::Say(GOOD)]).await, Files::new());
    let settings = two_callers(&llm, &files, &["--caller-requests-per-minute=2"]);
    let server = TestServer::start(settings).await;
    let mut a = connect(&server, &token(&files, "a")).await.unwrap();
    let mut again = connect(&server, &token(&files, "a")).await.unwrap();
    let mut b = connect(&server, &token(&files, "b")).await.unwrap();
    let question = ValidateCodeRequest::default;
    a.validate_code(question()).await.unwrap();
    again.validate_code(question()).await.unwrap();
    for client in [&mut a, &mut again] {
        let (reason, delay) = denied(&client.validate_code(question()).await.unwrap_err());
        assert_eq!(reason, "RATE_LIMITED");
        assert!(
            Duration::ZERO < delay && delay <= Duration::from_secs(30),
            "{delay:?}"
        );
    }
    b.validate_code(question()).await.expect("another caller");
}

#[tokio::test]
async fn each_caller_has_its_budget_which_cached_answers_do_not_touch() {
    let (llm, files) = (FakeLlm::start([Act::Say(GOOD)]).await, Files::new());
    let tokens = format!("--caller-tokens={}", COST.0 + COST.1);
    let window = "--caller-tokens-window=3s";
    let server = TestServer::start(two_callers(&llm, &files, &[&tokens, window])).await;
    let mut a = connect(&server, &token(&files, "a")).await.unwrap();
    let mut b = connect(&server, &token(&files, "b")).await.unwrap();
    a.synthesize(request("x", "one")).await.unwrap();
    let spent = Instant::now();
    let (reason, delay) = denied(&a.synthesize(request("x", "two")).await.unwrap_err());
    assert_eq!(reason, "TOKEN_BUDGET_SPENT");
    assert!(
        Duration::ZERO < delay && delay <= Duration::from_secs(3),
        "{delay:?}"
    );
    let cached = a.synthesize(request("x", "one")).await.unwrap();
    assert_eq!(cached.into_inner().outcome(), SynthesisOutcome::Cached);
    b.synthesize(request("x", "two"))
        .await
        .expect("another caller");
    assert_eq!(llm.calls(), 2, "nothing was asked for the refused one");
    // As its client would: it comes back when it was told to.
    tokio::time::sleep(delay + Duration::from_millis(50)).await;
    a.synthesize(request("x", "two"))
        .await
        .expect("a new window");
    assert!(spent.elapsed() >= Duration::from_secs(2), "too early");
}

#[tokio::test]
async fn a_budget_holds_for_many_requests_at_once_up_to_those_under_way() {
    const PLACES: usize = 3;
    let gate = Arc::new(Semaphore::new(0));
    let llm = FakeLlm::start([Act::SayAfter(gate.clone(), GOOD)]).await;
    let files = Files::new();
    // Spent with the first answer.
    let tokens = format!("--caller-tokens={}", COST.0);
    let settings = Settings {
        max_llm_requests: PLACES.try_into().unwrap(),
        ..two_callers(&llm, &files, &[&tokens])
    };
    let server = TestServer::start(settings).await;
    let client = connect(&server, &token(&files, "a")).await.unwrap();
    let calls: Vec<_> = (0..100)
        .map(|index| {
            let mut client = client.clone();
            let request = request("x", &format!("task {index}"));
            tokio::spawn(async move { client.synthesize(request).await })
        })
        .collect();
    server.until_metric("langop_synthesis_in_flight 100").await;
    gate.add_permits(100);
    let mut answers = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => answers += 1,
            Err(status) => assert_eq!(denied(&status).0, "TOKEN_BUDGET_SPENT"),
        }
    }
    assert!((1..=PLACES).contains(&answers), "{answers}");
    assert_eq!(llm.calls(), answers, "nothing was asked for the others");
}

#[tokio::test]
async fn calls_at_a_time_are_bounded_per_caller_and_in_all() {
    let gate = Arc::new(Semaphore::new(0));
    let llm = FakeLlm::start([Act::SayAfter(gate.clone(), GOOD)]).await;
    let files = Files::new();
    let limits = ["--max-calls-per-caller=1", "--max-calls=2"];
    let mut settings = two_callers(&llm, &files, &limits);
    let path = files.tokens(&[("a", "a"), ("b", "b"), ("c", "c")]);
    settings.access.tokens_file = Some(path);
    let server = TestServer::start(settings).await;
    let mut clients = Vec::new();
    for name in ["a", "b", "c"] {
        clients.push(connect(&server, &token(&files, name)).await.unwrap());
    }
    let begin = |index: usize, text: &'static str| {
        let mut client = clients[index].clone();
        tokio::spawn(async move { client.synthesize(request("x", text)).await })
    };
    let first = begin(0, "one");
    server.until_metric("langop_synthesis_in_flight 1").await;
    let (reason, delay) = denied(&begin(0, "two").await.unwrap().unwrap_err());
    assert_eq!((reason.as_str(), delay.as_secs()), ("TOO_MANY_CALLS", 1));
    let second = begin(1, "two");
    server.until_metric("langop_synthesis_in_flight 2").await;
    let (reason, _) = denied(&begin(2, "three").await.unwrap().unwrap_err());
    assert_eq!(reason, "SERVER_BUSY");

    // Who hangs up and asks for something else has still only one answer being made.
    first.abort();
    server
        .until_metric(r#"langop_grpc_requests_total{method="Synthesize",code="CANCELLED"} 1"#)
        .await;
    let (reason, _) = denied(&begin(0, "four").await.unwrap().unwrap_err());
    assert_eq!(reason, "TOO_MANY_CALLS");
    gate.add_permits(10);
    second.await.unwrap().unwrap();
    server.until_metric("langop_synthesis_in_flight 0").await;
    begin(0, "four")
        .await
        .unwrap()
        .expect("there is place again");
}

/// Waits until the LLM was asked so often.
async fn until_calls(llm: &FakeLlm, calls: usize) {
    let asked = async {
        while llm.calls() < calls {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let asked = timeout(Duration::from_mins(1), asked).await;
    assert!(asked.is_ok(), "the LLM was asked {} times", llm.calls());
}

/// The operator asks 500 times for one namespace, nothing is answered, and then it asks once for
/// another.
#[tokio::test]
async fn an_account_that_asks_much_holds_up_no_other() {
    // What one account may have under way of sixteen places.
    const SHARE: usize = 12;
    let gate = Arc::new(Semaphore::new(0));
    let waiting = (0..SHARE).map(|_| Act::SayAfter(gate.clone(), GOOD));
    let acts: Vec<_> = waiting.chain([Act::Say(GOOD)]).collect();
    let llm = FakeLlm::start(acts).await;
    let files = Files::new();
    let settings = two_callers(&llm, &files, &["--trusted-callers=token:a"]);
    let server = TestServer::start(settings).await;
    let client = connect(&server, &token(&files, "a")).await.unwrap();
    let ask = |namespace: &str, text: String| {
        let mut question = Request::new(request("x", &text));
        let account = namespace.parse().unwrap();
        question.metadata_mut().insert(ACCOUNT, account);
        let mut client = client.clone();
        tokio::spawn(async move { client.synthesize(question).await })
    };
    let many: Vec<_> = (0..500)
        .map(|index| ask("greedy", format!("task {index}")))
        .collect();
    server.until_metric("langop_synthesis_in_flight 500").await;
    until_calls(&llm, SHARE).await;
    let single = timeout(Duration::from_secs(10), ask("other", "once".to_owned()));
    single.await.expect("in time").unwrap().expect("an answer");
    assert_eq!(llm.calls(), SHARE + 1);
    gate.add_permits(SHARE);
    for one in many {
        one.await.unwrap().expect("an answer in its turn");
    }
}

/// A message of nearly 4 MiB in pieces, of which all but the first are shared.
struct Large {
    pieces: Vec<Bytes>,
}

impl Large {
    /// What all of them ask with.
    fn tools() -> Bytes {
        let operation = |index: usize| ToolOperation {
            name: format!("o{index}"),
            input_schema: format!(r#"{{"description":"{}"}}"#, "x".repeat(16_000)),
            ..ToolOperation::default()
        };
        let tool = |index: usize| Tool {
            name: format!("t{index}"),
            operations: (0..64).map(operation).collect(),
            ..Tool::default()
        };
        let request = SynthesizeRequest {
            tools: (0..4).map(tool).collect(),
            ..SynthesizeRequest::default()
        };
        request.encode_to_vec().into()
    }

    /// The question of that number. Messages one after the other are one message.
    fn question(number: usize, tools: &Bytes) -> Self {
        let own = request("x", &format!("task {number}")).encode_to_vec();
        let length = u32::try_from(own.len() + tools.len()).unwrap();
        let prefix = [&[0][..], &length.to_be_bytes()].concat();
        Self {
            pieces: vec![tools.clone(), own.into(), prefix.into()],
        }
    }
}

impl HttpBody for Large {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        Poll::Ready(
            self.pieces
                .pop()
                .map(|piece| Ok(http_body::Frame::data(piece))),
        )
    }
}

/// The most memory the program ever had, in MiB.
const MOST_MEMORY: u64 = 320;

#[tokio::test]
async fn who_sends_much_at_once_holds_a_bounded_part_of_the_memory() {
    const CALLS: usize = 200;
    let files = Files::new();
    let tokens = files.tokens(&[("a", "a"), ("b", "b")]);
    // Each message weighs nearly 12 MiB, so five of them are the share of a caller.
    let acts = (0..5).map(|_| Act::Hang).chain([Act::Say(GOOD)]);
    let llm = FakeLlm::start(acts).await;
    let environment = [
        ("LANGOP_TOKENS_FILE", tokens.to_str().unwrap()),
        ("LANGOP_MAX_PROMPT_BYTES", "4194304"),
        // They share one connection, whose window is for all of them.
        ("LANGOP_RECEIVE_TIMEOUT", "10m"),
    ];
    let program = Program::start_with("openai", &llm, &environment).await;
    let tools = Large::tools();
    assert!(tools.len() > langop_proto::limits::MESSAGE * 9 / 10);
    let authorization = format!("Bearer {}", whole("a"));
    let channel = program.channel().await;
    let (ended, mut refused) = tokio::sync::mpsc::channel(CALLS);
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let request = http::Request::post("/langop.synthesis.v1.SynthesisService/Synthesize")
                .header("content-type", "application/grpc")
                .header("authorization", &authorization)
                .body(Body::new(Large::question(number, &tools)))
                .unwrap();
            let (mut channel, ended) = (channel.clone(), ended.clone());
            tokio::spawn(async move {
                std::future::poll_fn(|cx| channel.poll_ready(cx))
                    .await
                    .unwrap();
                let response = channel.call(request).await.unwrap();
                let status = Status::from_header_map(response.headers());
                ended.send(status.expect("a refusal")).await.unwrap();
            })
        })
        .collect();
    for _ in 0..CALLS - 5 {
        let status = timeout(Duration::from_mins(1), refused.recv()).await;
        let (reason, delay) = denied(&status.expect("a refusal").unwrap());
        assert_eq!((reason.as_str(), delay.as_secs()), ("TOO_MUCH_HELD", 1));
    }
    until_calls(&llm, 5).await;
    let mut other = program.known(&token(&files, "b")).await;
    let answer = other.synthesize(request("y", "small")).await;
    answer.expect("another caller is served");
    let most = program.most_memory();
    assert!(most < MOST_MEMORY, "{most} MiB");

    // Whoever hangs up is still weighed, as long as the work goes on.
    for call in calls {
        call.abort();
    }
    let mut again = program.known(&token(&files, "a")).await;
    let question = again.validate_code(ValidateCodeRequest {
        code: vec![b' '; 3 << 20],
        ..ValidateCodeRequest::default()
    });
    assert_eq!(denied(&question.await.unwrap_err()).0, "TOO_MUCH_HELD");
    let small = again.validate_code(ValidateCodeRequest::default()).await;
    small.expect("there is room for little");
}

fn bounded(arguments: &[&str]) -> Settings {
    Settings::from_arguments(arguments).unwrap()
}

/// A client at another address of this machine.
async fn client_at(server: &TestServer, address: &str) -> Result<Client, tonic::transport::Error> {
    let address: IpAddr = address.parse().unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
    let channel = endpoint.local_address(Some(address)).connect().await?;
    Ok(Client::new(channel))
}

async fn is_served(client: &mut Client) -> bool {
    let answer = client.validate_code(ValidateCodeRequest::default());
    answer.await.is_ok()
}

#[tokio::test]
async fn a_thousand_idle_connections_are_bounded_and_starve_nobody() {
    let server = TestServer::start(bounded(&[
        "--max-connections-per-address=100",
        "--handshake-timeout=5s",
    ]))
    .await;
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(TcpStream::connect(server.grpc).await.unwrap());
    }
    server
        .until_metric(r#"langop_grpc_connections_refused_total{reason="address_limit"} 900"#)
        .await;
    server.until_metric("langop_grpc_connections 100").await;
    let mut other = client_at(&server, "127.0.0.2").await.unwrap();
    assert!(
        is_served(&mut other).await,
        "another address has its own places"
    );
    // They never spoke HTTP/2, so they do not stay.
    server.until_metric("langop_grpc_connections 1").await;
    assert!(is_served(&mut server.client().await).await);
    for stream in &mut idle {
        let mut rest = Vec::new();
        // The server's own preface, or a reset: in any case an end.
        let ended = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "still open");
    }
}

#[tokio::test]
async fn connections_are_bounded_in_all() {
    let server = TestServer::start(bounded(&["--max-connections=2"])).await;
    let mut first = client_at(&server, "127.0.0.2").await.unwrap();
    let mut second = client_at(&server, "127.0.0.3").await.unwrap();
    assert!(is_served(&mut first).await && is_served(&mut second).await);
    let socket = TcpSocket::new_v4().unwrap();
    let mut third = socket.connect(server.grpc).await.unwrap();
    let closed = timeout(Duration::from_secs(5), third.read(&mut [0; 1])).await;
    assert!(!matches!(closed.unwrap(), Ok(1..)), "closed without a word");
    server
        .until_metric(r#"langop_grpc_connections_refused_total{reason="limit"} 1"#)
        .await;
    drop(first);
    server.until_metric("langop_grpc_connections 1").await;
    assert!(is_served(&mut server.client().await).await);
}

/// What a client of HTTP/2 says first: the preface and settings without any.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// As many as there are places, of as many addresses as it takes, each of which greets and says no
/// more.
async fn greeters(server: &TestServer) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for index in 0..1024 {
        let socket = TcpSocket::new_v4().unwrap();
        let address = format!("127.0.0.{}:0", 2 + index / 250);
        socket.bind(address.parse().unwrap()).unwrap();
        let mut stream = socket.connect(server.grpc).await.unwrap();
        stream.write_all(GREETING).await.unwrap();
        silent.push(stream);
    }
    silent
}

#[tokio::test]
async fn who_says_who_they_are_is_served_though_silent_connections_took_every_place() {
    let files = Files::new();
    let path = files.tokens(&[("a", "a")]);
    let tokens = format!("--tokens-file={}", path.display());
    // Far longer than the test: nothing but the places of the silent ones can be what is given.
    let server = TestServer::start(bounded(&[&tokens, "--handshake-timeout=10m"])).await;
    let silent = greeters(&server).await;
    server.until_metric("langop_grpc_connections 1024").await;
    let known = async {
        let mut client = connect(&server, &token(&files, "a")).await.unwrap();
        client.validate_code(ValidateCodeRequest::default()).await
    };
    let answer = timeout(Duration::from_secs(10), known).await;
    answer.expect("in time").expect("served");
    server
        .until_metric(r#"langop_grpc_connections_refused_total{reason="limit"} 1"#)
        .await;
    drop(silent);
}

#[tokio::test]
async fn a_connection_on_which_nobody_is_let_in_ends() {
    let files = Files::new();
    let path = files.tokens(&[("a", "a")]);
    let tokens = format!("--tokens-file={}", path.display());
    let server = TestServer::start(bounded(&[&tokens, "--handshake-timeout=1s"])).await;
    let mut silent = greeters(&server).await;
    // Health is for all, and makes nobody known.
    let mut health = HealthClient::new(server.channel().await);
    let watch = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut refused = server.client().await;
    assert!(!is_served(&mut refused).await);
    let mut known = connect(&server, &token(&files, "a")).await.unwrap();
    let question = ValidateCodeRequest::default;
    known.validate_code(question()).await.unwrap();
    server.until_metric("langop_grpc_connections 1").await;
    for stream in &mut silent {
        let mut rest = Vec::new();
        let ended = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "still open");
    }
    known.validate_code(question()).await.expect("it stays");
    drop(watch);
}

#[tokio::test]
async fn half_open_handshakes_block_nobody_and_end() {
    let (files, authority) = (Files::new(), Authority::new());
    let mut arguments = authority.server(&files).to_vec();
    arguments.push("--handshake-timeout=4s".to_owned());
    let server = TestServer::start(Settings::from_arguments(arguments).unwrap()).await;
    let mut half_open = Vec::new();
    for index in 0..100 {
        let mut stream = TcpStream::connect(server.grpc).await.unwrap();
        if index % 2 == 0 {
            // The beginning of a ClientHello.
            stream.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
        }
        half_open.push(stream);
    }
    let started = Instant::now();
    let mut client = connect(&server, &authority.trusted(&files)).await.unwrap();
    let question = ValidateCodeRequest::default();
    client.validate_code(question).await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "waited for the others"
    );
    server
        .until_metric(r#"langop_grpc_connections_refused_total{reason="handshake"} 100"#)
        .await;
    server.until_metric("langop_grpc_connections 1").await;
}

/// A request that begins and never ends.
struct Stalled {
    beginning: Option<Bytes>,
}

impl HttpBody for Stalled {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        match self.beginning.take() {
            Some(bytes) => Poll::Ready(Some(Ok(http_body::Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}

#[tokio::test]
async fn a_request_must_arrive_in_time() {
    let server = TestServer::start(bounded(&["--receive-timeout=300ms"])).await;
    let mut channel = server.channel().await;
    std::future::poll_fn(|cx| channel.poll_ready(cx))
        .await
        .unwrap();
    // A message of 100 bytes, of which three come.
    let beginning = Some(Bytes::from_static(&[0, 0, 0, 0, 100, 1, 2, 3]));
    let request = http::Request::post("/langop.synthesis.v1.SynthesisService/ValidateCode")
        .header("content-type", "application/grpc")
        .body(Body::new(Stalled { beginning }))
        .unwrap();
    let response = timeout(Duration::from_secs(10), channel.call(request));
    let response = response.await.expect("an end").unwrap();
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
}

#[tokio::test]
async fn who_does_not_read_its_answers_loses_its_connection_and_frees_its_places() {
    let limits = ["--send-timeout=1s", "--max-calls=1"];
    let server = TestServer::start(bounded(&limits)).await;
    // Gives the server not a byte of room.
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
    let endpoint = endpoint.initial_stream_window_size(0);
    let mut deaf = Client::new(endpoint.connect().await.unwrap());
    let question = ValidateCodeRequest::default;
    let waiting = tokio::spawn(async move { deaf.validate_code(question()).await });
    server
        .until_metric(r#"langop_grpc_requests_total{method="ValidateCode",code="CANCELLED"} 1"#)
        .await;
    assert!(waiting.await.unwrap().is_err());
    server.until_metric("langop_grpc_connections 0").await;
    let mut client = server.client().await;
    client
        .validate_code(question())
        .await
        .expect("its place is free");
}

#[tokio::test]
async fn health_calls_are_bounded_for_each_connection() {
    let server = TestServer::start(bounded(&[])).await;
    let mut one = HealthClient::new(server.channel().await);
    let mut watches = Vec::new();
    let (status, delay) = loop {
        match one.watch(HealthCheckRequest::default()).await {
            Ok(watch) => watches.push(watch),
            Err(status) => break denied(&status),
        }
        assert!(watches.len() < 100, "one connection takes all it wants");
    };
    assert_eq!((status.as_str(), delay.as_secs()), ("TOO_MANY_CALLS", 1));
    let mut other = HealthClient::new(server.channel().await);
    other
        .check(HealthCheckRequest::default())
        .await
        .expect("another connection has its own places");
    drop(watches);
    let again = stream::repeat(()).then(|()| {
        let mut one = one.clone();
        async move { one.check(HealthCheckRequest::default()).await.is_ok() }
    });
    let again = std::pin::pin!(again);
    let is_free = again.take(10_000).any(ready);
    assert!(is_free.await, "places are free again");
}

#[tokio::test]
async fn large_messages_and_large_metadata_are_refused() {
    let server = TestServer::start(bounded(&[])).await;
    let mut client = server.client().await;
    let large = ValidateCodeRequest {
        code: vec![b' '; langop_proto::limits::MESSAGE],
        ..ValidateCodeRequest::default()
    };
    let refused = client.validate_code(large).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    let mut request = Request::new(ValidateCodeRequest::default());
    let value = "x".repeat(20 * 1024).parse().unwrap();
    request.metadata_mut().insert("x-large", value);
    assert!(client.validate_code(request).await.is_err());
    assert!(is_served(&mut server.client().await).await);
}
