//! `new`: what it writes is what the API server takes, from flags and from answers at a terminal.

use langop_api::LanguageAgent;
use langop_integration_tests::env::TestEnv;

use crate::plugin::{langop, shell};

#[tokio::test]
async fn what_is_written_is_accepted_and_runs() {
    let env = TestEnv::new("cli-new").await;
    env.with_tool_and_model().await;
    let namespace = env.ns.name();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display();
    let words = "new daily --instructions 'Report: all of it' --schedule '0 9 * * 1-5' --time-zone Europe/Berlin --model brain --tool mail";
    let wrote = langop(&env, &format!("{words} -f {folder}/daily.yaml")).await;
    assert!(wrote.err.contains("runs at 09:00"), "{wrote:?}");
    let wrote = wrote.fine();
    // Its advice, word for word.
    let advice = wrote.split_once("apply it by: ").unwrap().1;
    shell(&env, advice).await.fine();
    let agent = env.until_ready("daily").await;
    assert_eq!(
        agent.spec.instructions.as_deref(),
        Some("Report: all of it")
    );
    assert_eq!(agent.spec.tool_refs[0].name, "mail");
    let linted = langop(&env, &format!("lint -f {folder}/daily.yaml")).await;
    assert!(
        linted.fine().contains(" 0 errors"),
        "lint has nothing against it"
    );

    let again = langop(&env, &format!("{words} -f {folder}/daily.yaml")).await;
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.err.contains("write --force"), "{again:?}");
    // Straight to the API server.
    let piped = format!(
        "kubectl langop -n {namespace} new hourly -i 'Say hello every hour' -f - | kubectl apply -f -"
    );
    shell(&env, &piped).await.fine();
    env.until_ready("hourly").await;
}

#[tokio::test]
async fn a_person_is_asked_at_a_terminal_and_nobody_elsewhere() {
    let env = TestEnv::new("cli-ask").await;
    let alone = langop(&env, "new daily < /dev/null").await;
    assert_eq!(alone.code, 1, "{alone:?}");
    assert!(
        alone.err.contains("help: write --instructions TEXT\n"),
        "{alone:?}"
    );
    assert_eq!(alone.out, "");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("typed.yaml");
    // A wrong name first, instructions of two lines, and nothing else.
    let typed = r"Daily\ndaily\nReport the news.\nIn one line.\n\n\n\n\n\n";
    let asked = format!(
        r#"printf '{typed}' | script -qec "$(dirname "$(command -v kubectl-langop)")/kubectl-langop -n {} new -f {}" /dev/null"#,
        env.ns.name(),
        file.display()
    );
    let said = shell(&env, &asked).await.fine();
    assert!(said.contains("Name of the agent"), "{said}");
    assert!(said.contains("metadata.name must be"), "{said}");
    shell(&env, &format!("kubectl apply -f {}", file.display()))
        .await
        .fine();
    let agent: LanguageAgent = env.get("daily").await.unwrap();
    assert_eq!(
        agent.spec.instructions.as_deref(),
        Some("Report the news.\nIn one line.\n")
    );
}
