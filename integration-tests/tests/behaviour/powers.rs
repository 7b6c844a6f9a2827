//! What an agent may do, as it is stored with its code and told in its status; and that an operator
//! which begins to store it writes nothing to what was stored before.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use langop_api::{LanguageAgent, names::annotations};
use langop_desired::powers::Powers;
use langop_integration_tests::{
    Reply,
    env::{TestEnv, code},
    touch,
};
use serde_json::json;

const MAIL: &str = "
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: mail}
spec:
  image: example.invalid/mail
  operations: [{name: send}]
---
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: clerk}
spec:
  instructions: Send the mail
  toolRefs: [{name: mail}]
";

fn sending(to: &str) -> Reply {
    Reply::Code(format!(
        "require 'language_operator'

agent 'agent' do
  schedule cron: '0 9 * * *'

  objectives [
    \"Send\"
  ]

  workflow do
    step \"Send\" do
      use_tool \"mail\", action: \"send\", params: {{ to: {to:?} }}
    end
  end
end
"
    ))
}

fn note<'a>(code: &'a ConfigMap, key: &str) -> Option<&'a str> {
    code.annotations().get(key).map(String::as_str)
}

fn stored(code: &ConfigMap) -> Powers {
    let powers = Powers::parse(note(code, annotations::POWERS)).unwrap();
    let hash = powers.hash();
    assert_eq!(note(code, annotations::POWERS_HASH), Some(hash.as_str()));
    powers
}

fn told(agent: &LanguageAgent) -> Vec<String> {
    let info = agent
        .status
        .as_ref()
        .and_then(|status| status.synthesis_info.as_ref());
    info.map(|info| info.powers.clone()).unwrap_or_default()
}

#[tokio::test]
async fn powers_are_stored_with_the_code_and_those_of_what_runs_are_told() {
    let env = TestEnv::new("powers").await;
    env.llm
        .reply(sending("ops@example.com"))
        .reply(sending("boss@example.com"));
    env.apply(MAIL).await;
    let agent = env.until_ready("clerk").await;
    assert_eq!(told(&agent), ["calls mail.send to ops@example.com"]);

    env.instruct("clerk", "Send the mail to the boss").await;
    env.until("clerk", |agent| {
        told(agent) == ["calls mail.send to boss@example.com"]
    })
    .await;
    let revisions = env.revisions("clerk").await;
    let wider = stored(&revisions[1]).wider_than(&stored(&revisions[0]));
    let wider: Vec<_> = wider.iter().map(ToString::to_string).collect();
    assert_eq!(wider, ["new: mail.send to boss@example.com"]);

    // Code that was stored before and runs again is looked up, without a write to it.
    let mark = env.settled().await;
    let pin = json!({"spec": {"synthesis": {"revision": 1}}});
    env.patch::<LanguageAgent>("clerk", pin).await;
    env.until("clerk", |agent| {
        told(agent) == ["calls mail.send to ops@example.com"]
    })
    .await;
    env.until_ready("clerk").await;
    env.summary_since(mark)
        .await
        .assert_children(&["patch cronjobs clerk"]);
}

#[tokio::test]
async fn code_from_before_there_were_powers_is_left_as_it_is() {
    let env = TestEnv::new("powerless").await;
    env.llm.reply(code("first"));
    env.with_agent("elder", "be old").await;
    env.settled().await;
    // As an operator from before would have left it.
    let name = env.revisions("elder").await.remove(0).name_any();
    let gone = json!({"metadata": {"annotations": {annotations::POWERS: null, annotations::POWERS_HASH: null}}});
    env.patch::<ConfigMap>(&name, gone).await;
    let untold = Patch::Merge(json!({"status": {"synthesisInfo": {"powers": null}}}));
    let agents = env.ns.api::<LanguageAgent>();
    let params = PatchParams::default();
    agents
        .patch_status("elder", &params, &untold)
        .await
        .unwrap();
    let mark = env.settled().await;
    touch::one(&env.ns.api::<ConfigMap>(), &name).await.unwrap();
    touch::one(&agents, "elder").await.unwrap();
    let agent = env.until_ready("elder").await;
    env.summary_since(mark).await.assert_children(&[]);
    assert_eq!(told(&agent), [""; 0]);
    assert_eq!(
        note(&env.revisions("elder").await[0], annotations::POWERS),
        None
    );
}
