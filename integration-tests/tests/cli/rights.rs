//! The plugin may do what its user may, and says so where that is little.

use k8s_openapi::api::core::v1::ServiceAccount;
use langop_integration_tests::{
    env::{SOON, TestEnv},
    programs::account_kubeconfig,
    run_dir, wait,
};

use crate::plugin::shell_as;

#[tokio::test]
async fn without_rights_the_server_s_words_are_told_and_with_view_all_is_read() {
    let env = TestEnv::new("cli-rights").await;
    env.with_agent("worker", "work").await;
    let namespace = env.ns.name();
    env.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: eve}}")
        .await;
    let account = wait::object(env.ns.api::<ServiceAccount>(), "eve", SOON, |_| true);
    account.await.unwrap();
    let kubeconfig = run_dir().unwrap().join("eve.kubeconfig");
    account_kubeconfig(env.cp, namespace, "eve", &kubeconfig)
        .await
        .unwrap();

    let get = format!("kubectl langop -n {namespace} get");
    let refused = shell_as(&env, &kubeconfig, &get).await;
    assert_eq!(refused.code, 1);
    assert!(
        refused
            .err
            .contains("cannot list resource \"languageagents\""),
        "{refused:?}"
    );
    assert!(
        refused
            .err
            .contains("help: ask an administrator for a role"),
        "{refused:?}"
    );

    env.apply(&format!(
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: eve}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: langop-view}}
subjects: [{{kind: ServiceAccount, name: eve, namespace: {namespace}}}]
"
    ))
    .await;
    let allowed = wait::until("the role to count", SOON, async || {
        let said = shell_as(&env, &kubeconfig, &get).await;
        if said.code == 0 {
            Ok(said)
        } else {
            Err(format!("{said:?}"))
        }
    });
    let allowed = allowed.await.unwrap();
    assert!(
        allowed.out.contains("worker") && allowed.err.is_empty(),
        "{allowed:?}"
    );

    // Members with view may not read Secrets, and need not: not knowing is no fault.
    let why = format!("kubectl langop -n {namespace} why worker");
    let why = shell_as(&env, &kubeconfig, &why).await;
    assert_eq!(why.code, 0, "{why:?}");
    let pin = format!("kubectl langop -n {namespace} suspend worker");
    let pin = shell_as(&env, &kubeconfig, &pin).await;
    assert_eq!(pin.code, 1);
    assert!(pin.err.contains("cannot patch resource"), "{pin:?}");
}
