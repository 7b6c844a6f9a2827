//! What every gRPC server has: health, reflection, metrics, an orderly end, and a refusal to be
//! open to all.

use std::{sync::Arc, time::Duration};

use langop_proto::{
    DRAINING, ProstCodec, SERVICE_NAME,
    v1::{SynthesizeResponse, ValidateCodeRequest},
};
use langop_synthesizer::{
    Listeners, ServeError, serve,
    settings::{Settings, SettingsError},
};
use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{
    fake_llm::{Act, FakeLlm, GOOD},
    harness::{TestServer, reason, request, settings},
};

fn disabled() -> Settings {
    Settings::from_arguments([""; 0]).unwrap()
}

fn health_of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

/// What reflection answers to one question, as grpcurl asks it.
async fn reflected(server: &TestServer, question: MessageRequest) -> MessageResponse {
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let mut answers = ServerReflectionClient::new(server.channel().await)
        .server_reflection_info(tokio_stream::iter([question]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    answer.message_response.unwrap()
}

/// The files of an answer.
async fn files(server: &TestServer, question: MessageRequest) -> Vec<FileDescriptorProto> {
    match reflected(server, question.clone()).await {
        MessageResponse::FileDescriptorResponse(answer) => answer
            .file_descriptor_proto
            .iter()
            .map(|file| FileDescriptorProto::decode(file.as_slice()).unwrap())
            .collect(),
        other => panic!("{question:?}: {other:?}"),
    }
}

#[tokio::test]
async fn is_healthy_and_describes_itself() {
    let server = TestServer::start(disabled()).await;
    let mut health = HealthClient::new(server.channel().await);
    for service in ["", SERVICE_NAME] {
        let answer = health.check(health_of(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let services = reflected(&server, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(services) = services else {
        panic!("no list of services: {services:?}")
    };
    assert!(
        services
            .service
            .iter()
            .any(|service| service.name == SERVICE_NAME),
        "{services:?}"
    );
    for path in ["/livez", "/readyz"] {
        assert_eq!(server.page(path).await.0, 200, "{path}");
    }
}

/// Tools in wide use know the older version only.
#[tokio::test]
async fn reflection_answers_in_its_older_version_too() {
    use tonic_reflection::pb::v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let server = TestServer::start(disabled()).await;
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(server.channel().await)
        .server_reflection_info(tokio_stream::iter([question]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else {
        panic!("no list of services: {answer:?}")
    };
    let mut services = services.service.iter();
    assert!(services.any(|service| service.name == SERVICE_NAME));
}

/// A client without the .proto can make every message: the file of each service is there, and all
/// files that it needs.
#[tokio::test]
async fn reflection_answers_with_every_file_that_a_service_needs() {
    let server = TestServer::start(disabled()).await;
    for service in [SERVICE_NAME, "grpc.health.v1.Health"] {
        let question = MessageRequest::FileContainingSymbol(service.to_owned());
        let mut known = files(&server, question).await;
        let defines = |file: &FileDescriptorProto| {
            let mut services = file.service.iter();
            services.any(|it| format!("{}.{}", file.package(), it.name()) == service)
        };
        assert!(known.iter().any(defines), "{service}");
        while let Some(name) = missing(&known) {
            let more = files(&server, MessageRequest::FileByFilename(name.clone())).await;
            assert!(more.iter().any(|file| file.name() == name), "{name}");
            known.extend(more);
        }
        let there: Vec<String> = known.iter().flat_map(messages).collect();
        for used in known.iter().flat_map(types_used) {
            assert!(there.contains(&used), "{service} uses {used}");
        }
    }
}

/// A file that one of these needs and that is not among them.
fn missing(known: &[FileDescriptorProto]) -> Option<String> {
    let mut needed = known.iter().flat_map(|file| &file.dependency);
    let is_known = |name: &&String| known.iter().any(|file| file.name() == name.as_str());
    needed.find(|name| !is_known(name)).cloned()
}

/// The top-level messages and enums of a file, as references name them.
fn messages(file: &FileDescriptorProto) -> Vec<String> {
    let messages = file.message_type.iter().map(DescriptorProto::name);
    let enums = file.enum_type.iter().map(EnumDescriptorProto::name);
    messages
        .chain(enums)
        .map(|name| format!(".{}.{name}", file.package()))
        .collect()
}

/// What the methods and fields of a file refer to, apart from types within messages.
fn types_used(file: &FileDescriptorProto) -> Vec<String> {
    let methods = file.service.iter().flat_map(|service| &service.method);
    let methods = methods.flat_map(|method| [method.input_type(), method.output_type()]);
    let fields = file.message_type.iter().flat_map(|message| &message.field);
    let within: Vec<String> = messages(file)
        .iter()
        .map(|name| format!("{name}."))
        .collect();
    methods
        .chain(fields.map(FieldDescriptorProto::type_name))
        .filter(|name| !name.is_empty() && !within.iter().any(|own| name.starts_with(own)))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn counts_calls_by_method_and_code() {
    let server = TestServer::start(disabled()).await;
    let mut client = server.client().await;
    assert_eq!(
        client
            .synthesize(request("a", "x"))
            .await
            .unwrap_err()
            .code(),
        Code::FailedPrecondition
    );
    client
        .validate_code(langop_proto::v1::ValidateCodeRequest::default())
        .await
        .unwrap();
    server
        .until_metric(
            r#"langop_grpc_requests_total{method="Synthesize",code="FAILED_PRECONDITION"} 1"#,
        )
        .await;
    server
        .until_metric(r#"langop_grpc_requests_total{method="ValidateCode",code="OK"} 1"#)
        .await;
    server
        .until_metric(r#"langop_synthesis_duration_seconds_count{outcome="failed"} 1"#)
        .await;
}

#[tokio::test]
async fn counts_what_the_llm_was_asked() {
    let llm = FakeLlm::start([Act::Fail(500, None), Act::Say(GOOD)]).await;
    let server = TestServer::start(settings("openai", &llm)).await;
    server
        .client()
        .await
        .synthesize(request("a", "x"))
        .await
        .unwrap();
    for line in [
        r#"langop_llm_request_duration_seconds_count{provider="openai",model="fake",outcome="server_error"} 1"#,
        r#"langop_llm_request_duration_seconds_count{provider="openai",model="fake",outcome="success"} 1"#,
        r#"langop_synthesis_tokens_total{provider="openai",model="fake",type="output"} 20"#,
        r#"langop_synthesis_cache_requests_total{result="miss"} 1"#,
        "langop_synthesis_in_flight 0",
    ] {
        server.until_metric(line).await;
    }
}

#[tokio::test]
async fn stops_in_order() {
    let gate = Arc::new(Semaphore::new(0));
    let llm = FakeLlm::start([Act::SayAfter(gate.clone(), GOOD)]).await;
    let mut server = TestServer::start(settings("openai", &llm)).await;
    let mut watch = HealthClient::new(server.channel().await)
        .watch(health_of(""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    let mut client = server.client().await;
    let call = tokio::spawn(async move { client.synthesize(request("a", "x")).await });
    server.until_metric("langop_synthesis_in_flight 1").await;

    server.shutdown.cancel();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    assert_eq!(server.page("/readyz").await.0, 503);
    assert_eq!(server.page("/livez").await.0, 200);
    // On new connections, too: until the last call is over, whoever comes hears where he stands.
    let mut health = HealthClient::new(server.channel().await);
    for service in ["", SERVICE_NAME] {
        let answer = health.check(health_of(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::NotServing, "{service}");
    }
    let refused = server.client().await.synthesize(request("a", "y")).await;
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, DRAINING)
    );
    gate.add_permits(1);
    call.await
        .unwrap()
        .expect("the call under way gets its answer");
    (&mut server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn half_a_request_to_the_admin_server_does_not_hold_up_the_end() {
    let mut server = TestServer::start(disabled()).await;
    let mut half = TcpStream::connect(server.admin).await.unwrap();
    half.write_all(b"GET /livez HTTP/1.1\r\nhost:")
        .await
        .unwrap();
    // Taken after the other.
    assert_eq!(server.page("/livez").await.0, 200);
    server.shutdown.cancel();
    let ended = timeout(Duration::from_mins(1), &mut server.task).await;
    ended.expect("it ends").unwrap().unwrap();
    drop(half);
}

#[tokio::test]
async fn is_not_open_to_all_by_accident() {
    let listener = || TcpListener::bind("0.0.0.0:0");
    let listeners = Listeners {
        grpc: listener().await.unwrap(),
        admin: listener().await.unwrap(),
    };
    let error = serve(disabled(), listeners, CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        matches!(error, ServeError::Settings(SettingsError::Plaintext(_))),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_no_request_and_what_is_no_method_is_told_so() {
    let server = TestServer::start(disabled()).await;
    let ask = async |method: &str| {
        let mut grpc = tonic::client::Grpc::new(server.channel().await);
        grpc.ready().await.unwrap();
        let path = format!("/{SERVICE_NAME}/{method}");
        // Its first field is a text where the other has an agent.
        let other = ValidateCodeRequest {
            code: vec![0xff],
            ..ValidateCodeRequest::default()
        };
        let codec = ProstCodec::<ValidateCodeRequest, SynthesizeResponse>::default();
        let answer = grpc.unary(tonic::Request::new(other), path.parse().unwrap(), codec);
        answer.await.unwrap_err()
    };
    let malformed = ask("Synthesize").await;
    assert_eq!(malformed.code(), Code::InvalidArgument, "{malformed}");
    assert!(
        malformed.message().contains("not a SynthesizeRequest"),
        "{malformed}"
    );
    assert_eq!(ask("Nothing").await.code(), Code::Unimplemented);
}
