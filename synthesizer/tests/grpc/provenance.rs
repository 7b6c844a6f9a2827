//! Signed answers: what a statement is about, who signs it, and that the cache changes nothing of
//! it.

use std::{path::Path, time::Duration};

use langop_dsl::{hash::sha256_hex, instructions};
use langop_proto::v1::{PreviousCode, SynthesisOutcome, SynthesizeRequest, SynthesizeResponse};
use langop_provenance::{
    CODE, Claim, Keyring, Outcome, PLACEHOLDER_CODE, Refusal, SigningKey, Statement, verify,
};
use langop_synthesizer::settings::Settings;

use crate::{
    fake_llm::{Act, BAD, FakeLlm, GOOD},
    harness::{TestServer, request, settings},
};

/// An Ed25519 key of 32 bytes 1, and one of 32 bytes 2, as PKCS#8 in PEM has them.
const KEYS: [&str; 2] = [
    "MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
    "MC4CAQAwBQYDK2VwBCIEIAICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC",
];

fn pem(number: usize) -> String {
    let label = "PRIVATE KEY";
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        KEYS[number]
    )
}

fn ring(number: usize) -> Keyring {
    let key = SigningKey::from_pem(pem(number).as_bytes()).unwrap();
    Keyring::from_pem(key.public_pem().as_bytes()).unwrap()
}

/// A server that signs with the key in this file, which it looks at all the time.
async fn signing(file: &Path, acts: impl IntoIterator<Item = Act>) -> (TestServer, FakeLlm) {
    let llm = FakeLlm::start(acts).await;
    let mut settings = Settings {
        signing_key_file: Some(file.to_owned()),
        ..settings("openai", &llm)
    };
    settings.access.reload_interval = Duration::from_millis(5);
    (TestServer::start(settings).await, llm)
}

async fn synthesize(server: &TestServer, request: SynthesizeRequest) -> SynthesizeResponse {
    let mut client = server.client().await;
    client.synthesize(request).await.unwrap().into_inner()
}

/// What the statement of an answer says, if the key has signed that it is the answer to that.
fn verified(
    answer: &SynthesizeResponse,
    keys: &Keyring,
    agent: &str,
    text: &str,
) -> Result<Statement, Refusal> {
    let claim = Claim {
        agent,
        code_hash: &sha256_hex(answer.code.as_bytes()),
        instructions_hash: &instructions::hash(text),
    };
    verify(&answer.provenance, keys, &claim).map(|verified| verified.statement)
}

#[tokio::test]
async fn without_a_key_nothing_is_said() {
    let llm = FakeLlm::start([Act::Say(GOOD)]).await;
    let server = TestServer::start(settings("openai", &llm)).await;
    for _ in 0..2 {
        let answer = synthesize(&server, request("mailer", "watch")).await;
        assert_eq!(answer.provenance, "");
    }
}

#[tokio::test]
async fn an_answer_says_what_it_is_and_a_cached_one_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, pem(0)).unwrap();
    let (server, _llm) = signing(&file, [Act::Say(GOOD)]).await;
    let answer = synthesize(&server, request("mailer", "watch\r\nthe door")).await;
    let statement = verified(&answer, &ring(0), "mailer", "watch\nthe door").unwrap();
    assert_eq!(statement.digest_of(CODE), Some(&*answer.code_hash));
    let predicate = &statement.predicate;
    assert_eq!(
        (
            &predicate.request_hash,
            &predicate.model,
            &*predicate.provider
        ),
        (&answer.request_hash, &answer.model, "openai")
    );
    assert_eq!(
        (
            predicate.outcome,
            predicate.attempts,
            &predicate.previous_code_hash
        ),
        (Outcome::Generated, 1, &None)
    );
    let refused = verified(&answer, &ring(1), "mailer", "watch\nthe door");
    assert!(matches!(refused, Err(Refusal::UnknownKey(_))));

    let cached = synthesize(&server, request("mailer", "watch\nthe door")).await;
    assert_eq!(cached.outcome(), SynthesisOutcome::Cached);
    assert_eq!(cached.provenance, answer.provenance);
}

#[tokio::test]
async fn a_cached_answer_under_another_name_tells_of_the_same_making() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, pem(0)).unwrap();
    let (server, llm) = signing(&file, [Act::Say(GOOD)]).await;
    let first = synthesize(&server, request("mailer", "watch")).await;
    let other = synthesize(&server, request("caller", "watch")).await;
    let again = synthesize(&server, request("mailer", "watch")).await;
    assert_eq!(
        (other.outcome(), llm.requests().len()),
        (SynthesisOutcome::Cached, 1)
    );
    let made = verified(&first, &ring(0), "mailer", "watch").unwrap();
    let renamed = verified(&other, &ring(0), "caller", "watch").unwrap();
    assert_ne!(made.digest_of(CODE), renamed.digest_of(CODE));
    assert_eq!(
        made.digest_of(PLACEHOLDER_CODE),
        renamed.digest_of(PLACEHOLDER_CODE)
    );
    let renamed_back = langop_dsl::rename(&other.code, "agent").unwrap();
    assert_eq!(
        made.digest_of(PLACEHOLDER_CODE),
        Some(&*sha256_hex(renamed_back.as_bytes()))
    );
    let mut as_first = renamed.predicate;
    as_first.agent = "mailer".to_owned();
    assert_eq!(as_first, made.predicate);
    assert_eq!(verified(&again, &ring(0), "mailer", "watch").unwrap(), made);
    // Each name has a statement of its own: one is none for the other.
    let exchanged = SynthesizeResponse {
        provenance: first.provenance,
        ..other
    };
    let refused = verified(&exchanged, &ring(0), "caller", "watch");
    assert!(matches!(refused, Err(Refusal::OtherAgent(_))));
}

#[tokio::test]
async fn instructions_that_differ_in_a_secret_only_have_each_their_statement() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, pem(0)).unwrap();
    let (server, llm) = signing(&file, [Act::Say(GOOD)]).await;
    let secret = |end: &str| {
        [
            "watch with gh",
            "p_",
            "Frhl3ZJHTtXPqW8vB2nM5kD7cR4yU6iO",
            end,
        ]
        .concat()
    };
    for text in [secret("1aSs"), secret("2bTt")] {
        let answer = synthesize(&server, request("mailer", &text)).await;
        assert!(verified(&answer, &ring(0), "mailer", &text).is_ok());
    }
    assert_eq!(
        llm.requests().len(),
        1,
        "the secret reaches neither prompt nor key"
    );
}

#[tokio::test]
async fn repairs_and_what_ran_before_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, pem(0)).unwrap();
    let (server, _llm) = signing(&file, [Act::Say(GOOD), Act::Say(BAD), Act::Say(GOOD)]).await;
    let before = synthesize(&server, request("mailer", "watch")).await;
    let made = verified(&before, &ring(0), "mailer", "watch").unwrap();
    let next = SynthesizeRequest {
        previous: Some(PreviousCode {
            code: before.code,
            instructions: "watch".to_owned(),
        }),
        ..request("mailer", "watch on")
    };
    let after = synthesize(&server, next).await;
    let repaired = verified(&after, &ring(0), "mailer", "watch on").unwrap();
    let predicate = repaired.predicate;
    assert_eq!(
        (predicate.outcome, predicate.attempts),
        (Outcome::Repaired, 2)
    );
    // The statements of an agent's revisions are a chain.
    assert_eq!(
        predicate.previous_code_hash.as_deref(),
        made.digest_of(PLACEHOLDER_CODE)
    );
}

#[tokio::test]
async fn refused_code_is_signed_by_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, pem(0)).unwrap();
    let (server, _llm) = signing(&file, [Act::Say(BAD), Act::Say(BAD), Act::Say(BAD)]).await;
    let answer = synthesize(&server, request("mailer", "watch")).await;
    assert_eq!(answer.outcome(), SynthesisOutcome::Rejected);
    assert_eq!(answer.provenance, "");
}

#[tokio::test]
async fn a_key_that_is_replaced_signs_what_is_made_and_what_is_cached() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, pem(0)).unwrap();
    let (server, llm) = signing(&file, [Act::Say(GOOD), Act::Say(GOOD)]).await;
    let first = synthesize(&server, request("mailer", "watch")).await;
    let made = verified(&first, &ring(0), "mailer", "watch").unwrap();
    // What is no key changes nothing.
    std::fs::write(&file, "none").unwrap();
    let other = synthesize(&server, request("mailer", "watch more")).await;
    assert!(verified(&other, &ring(0), "mailer", "watch more").is_ok());
    std::fs::write(&file, pem(1)).unwrap();
    let signed_anew = async {
        loop {
            let cached = synthesize(&server, request("mailer", "watch")).await;
            if let Ok(statement) = verified(&cached, &ring(1), "mailer", "watch") {
                return statement;
            }
        }
    };
    let minute = Duration::from_mins(1);
    let anew = tokio::time::timeout(minute, signed_anew).await.unwrap();
    assert_eq!(anew, made, "the same making, another signature");
    assert_eq!(llm.requests().len(), 2);
}

#[tokio::test]
async fn a_file_that_holds_no_key_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    for (content, expected) in [
        (None, "cannot read"),
        (Some("nothing"), "holds no private key"),
        (Some(&*pem(0).replace("MC4C", "MC4D")), "not an Ed25519 key"),
    ] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let (mut server, _llm) = signing(&file, []).await;
        let error = (&mut server.task).await.unwrap().unwrap_err();
        let error = format!("{:#}", anyhow::Error::from(error));
        assert!(
            error.contains("LANGOP_SIGNING_KEY_FILE") && error.contains(expected),
            "{error}"
        );
    }
}
