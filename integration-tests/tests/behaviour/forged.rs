//! Whoever may write ConfigMaps, and nothing else, has no code run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{ResourceExt as _, api::PostParams};
use langop_api::{
    LanguageAgent,
    names::{CODE_KEY, annotations},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use langop_integration_tests::env::{TestEnv, condition, is, mounted_code};

fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Other code in the form of stored code, as revision `number`: everything that it says of itself
/// is right.
fn forged(real: &ConfigMap, number: i64) -> ConfigMap {
    let mut map = real.clone();
    let code = format!("{}# {number}\n", real.data.as_ref().unwrap()[CODE_KEY]);
    let data: &mut BTreeMap<String, String> = map.data.as_mut().unwrap();
    data.insert(CODE_KEY.to_owned(), code.clone());
    let hash = sha256(&serde_json::to_string(data).unwrap());
    map.metadata.name = Some(format!("loyal-code-{}", &hash[..12]));
    map.metadata.resource_version = None;
    map.metadata.uid = None;
    map.metadata.managed_fields = None;
    let said = map.annotations_mut();
    said.insert(annotations::REVISION.to_owned(), number.to_string());
    said.insert(annotations::CODE_HASH.to_owned(), sha256(&code));
    map
}

#[tokio::test]
async fn forged_config_maps_change_no_deployment() {
    let env = TestEnv::new("forged").await;
    env.with_agent("loyal", "stay").await;
    let mark = env.settled().await;
    let real = env.revisions("loyal").await.remove(0);
    let recorded = |agent: &LanguageAgent| {
        let info = agent.status.clone().unwrap().synthesis_info.unwrap();
        info.revisions
    };
    let agent = env.until_ready("loyal").await;
    let known = recorded(&agent);
    assert_eq!(known.len(), 1);
    let content = serde_json::to_string(real.data.as_ref().unwrap()).unwrap();
    assert_eq!(
        (known[0].revision, &*known[0].hash),
        (1, &*sha256(&content))
    );

    let before = env.deployment("loyal").await;
    let maps = env.ns.api::<ConfigMap>();
    let whole = forged(&real, 99);
    let mut mutable = forged(&real, 98);
    mutable.immutable = None;
    let mut misnamed = forged(&real, 97);
    misnamed.metadata.name = Some("loyal-code-000000000000".to_owned());
    let mut wrong = forged(&real, 96);
    let said = wrong.annotations_mut();
    said.insert(annotations::CODE_HASH.to_owned(), sha256("other"));
    for map in [&whole, &mutable, &misnamed, &wrong] {
        maps.create(&PostParams::default(), map).await.unwrap();
    }
    let mut did = env.summary_since(mark).await;
    did.children.retain(|line| !line.contains("configmaps"));
    did.assert_children(&[]);
    let after = env.deployment("loyal").await;
    assert_eq!(before.metadata.generation, after.metadata.generation);

    // Nor when somebody asks for it by its number.
    for number in [99, 98, 97, 96] {
        let pin = json!({"spec": {"synthesis": {"revision": number}}});
        env.patch::<LanguageAgent>("loyal", pin).await;
        let agent = env
            .until("loyal", |agent: &LanguageAgent| {
                condition(agent, "Stalled").is_some_and(|stalled| {
                    stalled.reason == "RevisionUnknown"
                        && stalled.message.contains(&number.to_string())
                })
            })
            .await;
        assert!(is(&agent, "Synthesized", "False"));
    }
    let after = env.deployment("loyal").await;
    assert_eq!(before.metadata.generation, after.metadata.generation);
    assert_eq!(mounted_code(&after), real.metadata.name);
    let unpin = json!({"spec": {"synthesis": {"revision": null}}});
    env.patch::<LanguageAgent>("loyal", unpin).await;
    let agent = env.until_ready("loyal").await;
    assert_eq!(recorded(&agent), known);
    assert_eq!(env.calls().await, (1, 0));
}
