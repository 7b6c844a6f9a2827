//! Code that is shown to come from the synthesizer runs; other code does not, and what runs goes
//! on. The synthesizer's own process signs, and the operator checks by files, as in a cluster.

use std::{fs, path::Path};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use langop_api::{
    LanguageAgent,
    names::{CODE_KEY, INSTRUCTIONS_KEY, annotations},
};
use langop_dsl::{hash::sha256_hex, instructions};
use langop_integration_tests::{
    FakeLlm,
    env::{SOON, TestEnv, agent_yaml, condition, is, mounted_code, operator},
    signing::{Files, key},
    wait,
};
use langop_provenance::{Claim, Keyring, verify};
use serde_json::json;

/// What a program's log says once it uses a file that has changed.
const RELOADED: &str = "changed files are in use";

/// Waits until a log says so often that files which have changed are in use.
async fn until_reloaded(log: &Path, times: usize) {
    let reloaded = wait::until("the changed files to be in use", SOON, async || {
        let text = fs::read_to_string(log).unwrap();
        let found = text.matches(RELOADED).count();
        if found >= times { Ok(()) } else { Err(found) }
    });
    reloaded.await.unwrap();
}

fn statement(map: &ConfigMap) -> String {
    map.annotations()[annotations::PROVENANCE].clone()
}

/// Puts a statement on a stored revision, as somebody who may write ConfigMaps would.
async fn put_statement(env: &TestEnv, map: &ConfigMap, envelope: &str) {
    let patch = json!({"metadata": {"annotations": {annotations::PROVENANCE: envelope}}});
    let maps = env.ns.api::<ConfigMap>();
    let params = PatchParams::default();
    maps.patch(&map.name_any(), &params, &Patch::Merge(patch))
        .await
        .unwrap();
}

/// Waits until the condition has this status and says these words.
async fn until_told(env: &TestEnv, agent: &str, status: &str, words: &str) -> LanguageAgent {
    env.until(agent, |agent: &LanguageAgent| {
        condition(agent, "Provenance")
            .is_some_and(|told| told.status == status && told.message.contains(words))
    })
    .await
}

async fn pin(env: &TestEnv, agent: &str, revision: Option<i64>) {
    let patch = json!({"spec": {"synthesis": {"revision": revision}}});
    env.patch::<LanguageAgent>(agent, patch).await;
}

#[tokio::test]
async fn signed_code_runs_and_says_by_which_key() {
    let files = Files::new();
    let env = files.env("signed").await;
    env.with_agent("scribe", "write").await;
    let agent = until_told(&env, "scribe", "True", &key(0).id()[..12]).await;
    assert!(is(&agent, "Ready", "True"));
    let map = env.revisions("scribe").await.remove(0);
    let data = map.data.as_ref().unwrap();
    let keys = Keyring::from_pem(key(0).public_pem().as_bytes()).unwrap();
    let claim = Claim {
        agent: "scribe",
        code_hash: &sha256_hex(data[CODE_KEY].as_bytes()),
        instructions_hash: &instructions::hash(&data[INSTRUCTIONS_KEY]),
    };
    let verified = verify(&statement(&map), &keys, &claim).unwrap();
    assert_eq!(verified.statement.predicate.model, "fake-model");
    // A restart asks nobody and writes nothing.
    let mark = env.settled().await;
    let mut env = env;
    env.operator.restart().await.unwrap();
    env.summary_since(mark).await.assert_none();
    assert_eq!(env.calls().await, (1, 0));
}

#[tokio::test]
async fn code_whose_statement_does_not_hold_is_activated_by_nothing() {
    let files = Files::new();
    let env = files.env("unshown").await;
    env.with_two_revisions("scribe").await;
    env.apply(&agent_yaml("other", "report")).await;
    env.until_ready("other").await;
    let (revisions, others) = (env.revisions("scribe").await, env.revisions("other").await);
    let (old, active) = (&revisions[0], &revisions[1]);
    let before = env.deployment("scribe").await;

    let genuine = statement(old);
    let tampered = {
        let at = genuine.find("\"payload\":\"").unwrap() + 40;
        let other = if &genuine[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &genuine[..at], &genuine[at + 1..])
    };
    let by_another_key = key(1).sign(&langop_provenance::read(&genuine).unwrap().statement);
    for (envelope, words) in [
        (
            tampered.as_str(),
            "the signature does not fit the statement",
        ),
        (&by_another_key, "is not among the public keys given"),
        (&statement(&others[0]), "is about agent 'other'"),
        (&statement(active), "is about other code"),
        ("none", "is not a DSSE envelope"),
    ] {
        put_statement(&env, old, envelope).await;
        env.settled().await;
        pin(&env, "scribe", Some(1)).await;
        let agent = until_told(&env, "scribe", "False", words).await;
        let stalled = condition(&agent, "Stalled").unwrap();
        assert_eq!(stalled.reason, "ProvenanceRefused");
        pin(&env, "scribe", None).await;
        env.until_ready("scribe").await;
    }
    let mark = env.settled().await;
    // An older statement on the code that runs: it runs on, and that is told.
    put_statement(&env, active, &genuine).await;
    let agent = until_told(&env, "scribe", "False", "is about other code").await;
    assert!(is(&agent, "Ready", "True"));
    env.summary_since(mark).await.assert_children(&[]);

    let after = env.deployment("scribe").await;
    assert_eq!(before.metadata.generation, after.metadata.generation);
    assert_eq!(mounted_code(&after), active.metadata.name);
    // With its own statement it may.
    put_statement(&env, old, &genuine).await;
    env.settled().await;
    pin(&env, "scribe", Some(1)).await;
    until_told(&env, "scribe", "True", "revision 1 ").await;
    let pinned = env.until_ready("scribe").await;
    assert!(is(&pinned, "Synthesized", "False"), "of other instructions");
    assert_eq!(env.calls().await, (3, 0));
}

#[tokio::test]
async fn an_answer_that_another_has_signed_is_asked_for_again_and_changes_nothing() {
    let files = Files::new();
    let env = files.env("impostor").await;
    env.with_agent("scribe", "write").await;
    env.settled().await;
    let before = env.deployment("scribe").await;
    files.sign_with(1);
    until_reloaded(env.synthesizer.log(), 1).await;
    env.instruct("scribe", "write more").await;
    let agent = until_told(
        &env,
        "scribe",
        "False",
        "is not among the public keys given",
    )
    .await;
    let synthesized = condition(&agent, "Synthesized").unwrap();
    assert_eq!(synthesized.reason, "ProvenanceRefused");
    assert!(!is(&agent, "Ready", "True"));
    let after = env.deployment("scribe").await;
    assert_eq!(before.metadata.generation, after.metadata.generation);
    assert_eq!(env.revisions("scribe").await.len(), 1, "nothing is stored");
    assert!(
        env.new_events("scribe")
            .await
            .contains(&"ProvenanceRefused".to_owned())
    );
    // A few tries with pauses, all of them from the synthesizer's cache.
    assert_eq!(env.llm.count(), 2);
    files.sign_with(0);
    env.until_ready("scribe").await;
    until_told(&env, "scribe", "True", "revision 2 ").await;
    assert_eq!(env.llm.count(), 2);
}

#[tokio::test]
async fn keys_are_replaced_without_a_gap() {
    let files = Files::new();
    let env = files.env("rotate").await;
    let (old, new) = (key(0), key(1));
    env.with_agent("scribe", "write").await;
    until_told(&env, "scribe", "True", &old.id()[..12]).await;
    files.trust(&[0, 1]);
    until_reloaded(env.operator.log(), 1).await;
    files.sign_with(1);
    until_reloaded(env.synthesizer.log(), 1).await;
    env.instruct("scribe", "write more").await;
    until_told(&env, "scribe", "True", &new.id()[..12]).await;
    env.apply(&agent_yaml("other", "write")).await;
    until_told(&env, "other", "True", &new.id()[..12]).await;
    env.until_ready("scribe").await;
    let mark = env.settled().await;
    let refusals = env.new_events("scribe").await;
    assert!(
        !refusals.contains(&"ProvenanceRefused".to_owned()),
        "{refusals:?}"
    );

    files.trust(&[1]);
    until_reloaded(env.operator.log(), 2).await;
    env.summary_since(mark).await.assert_none();
    // What the old key alone has signed is over.
    pin(&env, "scribe", Some(1)).await;
    until_told(
        &env,
        "scribe",
        "False",
        "is not among the public keys given",
    )
    .await;
    pin(&env, "scribe", None).await;
    env.until_ready("scribe").await;
    until_told(&env, "scribe", "True", "revision 2 ").await;
}

#[tokio::test]
async fn what_ran_before_there_were_keys_runs_on_and_is_told() {
    let mut env = TestEnv::new("before").await;
    env.with_agent("scribe", "write").await;
    env.settled().await;
    let before = env.deployment("scribe").await;
    assert!(condition(&env.until_ready("scribe").await, "Provenance").is_none());

    let files = Files::new();
    let synthesizer = files.synthesizer(&env.llm).await;
    let with_keys = operator(env.cp, &env.ns)
        .synthesizer(synthesizer.grpc_url())
        .env("LANGOP_PROVENANCE_KEYS", files.trusted().to_str().unwrap());
    env.operator.stop().await.unwrap();
    env.operator = with_keys.start().await.unwrap();
    let agent = until_told(&env, "scribe", "False", "it carries no statement").await;
    assert_eq!(
        condition(&agent, "Provenance").unwrap().reason,
        "ProvenanceMissing"
    );
    assert!(is(&agent, "Ready", "True"));
    let after = env.deployment("scribe").await;
    assert_eq!(before.metadata.generation, after.metadata.generation);
    // As the condition advises. The same code may come, and then nothing rolls.
    let patch = json!({"metadata": {"annotations": {annotations::RESYNTHESIZE: "1"}}});
    env.patch::<LanguageAgent>("scribe", patch).await;
    until_told(&env, "scribe", "True", "signed by key").await;
}

#[tokio::test]
async fn without_keys_a_statement_is_stored_in_the_same_write_and_nothing_is_said() {
    let files = Files::new();
    let llm = FakeLlm::start().await.unwrap();
    let synthesizer = files.synthesizer(&llm).await;
    let url = synthesizer.grpc_url().to_owned();
    let env = TestEnv::with("unasked", llm, synthesizer, |operator| {
        operator.synthesizer(&url)
    })
    .await;
    env.with_tool_and_model().await;
    let mark = env.settled().await;
    env.apply(&agent_yaml("scribe", "write")).await;
    let agent = env.until_ready("scribe").await;
    assert!(condition(&agent, "Provenance").is_none());
    env.summary_since(mark).await.assert_children(&[
        "create configmaps scribe-code-*",
        "patch deployments scribe",
        "patch networkpolicies scribe",
    ]);
    let map = env.revisions("scribe").await.remove(0);
    assert!(langop_provenance::read(&statement(&map)).is_ok());
}
