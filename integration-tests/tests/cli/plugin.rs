//! Runs the plugin through the control plane's own kubectl, and what it advises in a shell.

use std::path::{Path, PathBuf};

use langop_integration_tests::{
    env::{SOON, TestEnv},
    programs, run_dir, wait,
};
use serde_json::Value;
use tokio::process::Command;

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The output of a command that ended well.
    #[track_caller]
    pub(crate) fn fine(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}

/// A line of shell, with the namespace's administrator as its user.
pub(crate) async fn shell(env: &TestEnv, line: &str) -> Said {
    shell_as(env, &env.cp.ready().kubeconfig, line).await
}

/// A line of shell: `kubectl` is the control plane's own, and finds the plugin on its path.
pub(crate) async fn shell_as(env: &TestEnv, kubeconfig: &Path, line: &str) -> Said {
    let ready = env.cp.ready();
    let plugin = programs::locate("kubectl-langop").unwrap();
    let folders = [plugin.parent().unwrap().to_owned(), folder(&ready.kubectl)];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)));
    let kubectl = r#"kubectl() { command "$KUBECTL" "$@"; }"#;
    let output = Command::new("bash")
        .args(["-c", &format!("{kubectl}\n{line}")])
        .env("PATH", path.unwrap())
        .env("KUBECTL", &ready.kubectl)
        .env("KUBECONFIG", kubeconfig)
        .env("KUBECACHEDIR", run_dir().unwrap().join("kubectl-cache"))
        .output()
        .await
        .unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn folder(program: &Path) -> PathBuf {
    program.parent().unwrap().to_owned()
}

/// `kubectl langop` with these words, in the test's namespace.
pub(crate) async fn langop(env: &TestEnv, words: &str) -> Said {
    shell(env, &format!("kubectl langop -n {} {words}", env.ns.name())).await
}

/// What `why` finds.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) code: i32,
    pub(crate) diagnosis: Value,
}

impl Found {
    pub(crate) fn state(&self) -> &str {
        self.diagnosis["state"].as_str().unwrap()
    }

    pub(crate) fn object(&self) -> &str {
        self.diagnosis["cause"]["object"]
            .as_str()
            .unwrap_or_default()
    }

    pub(crate) fn cause(&self) -> &str {
        self.diagnosis["cause"]["message"]
            .as_str()
            .unwrap_or_default()
    }

    /// The stage that ends the walk.
    pub(crate) fn stage(&self) -> &str {
        let checks = self.diagnosis["checks"].as_array().unwrap();
        let last = checks
            .iter()
            .rev()
            .find(|check| check["state"] != "skipped");
        last.unwrap()["stage"].as_str().unwrap()
    }

    /// The command that it advises by these words.
    #[track_caller]
    pub(crate) fn advised(&self, words: &str) -> String {
        let advice = self.diagnosis["advice"].as_array().unwrap();
        let found = advice
            .iter()
            .find(|advice| advice["text"].as_str().unwrap().contains(words));
        let found = found.unwrap_or_else(|| panic!("no advice '{words}': {self:#?}"));
        found["command"].as_str().unwrap().to_owned()
    }
}

/// Asks why.
pub(crate) async fn why(env: &TestEnv, target: &str) -> Found {
    let said = langop(env, &format!("why {target} -o json")).await;
    let diagnosis = serde_json::from_str(&said.out);
    Found {
        code: said.code,
        diagnosis: diagnosis.unwrap_or_else(|error| panic!("{error}: {said:?}")),
    }
}

/// Asks why until the walk ends in a stage, with these words for the cause.
pub(crate) async fn until_why(env: &TestEnv, target: &str, stage: &str, words: &[&str]) -> Found {
    let asked = wait::until("the cause", SOON, async || {
        let found = why(env, target).await;
        let is_it = found.stage() == stage && words.iter().all(|word| found.cause().contains(word));
        if is_it {
            Ok(found)
        } else {
            Err(format!("{found:#?}"))
        }
    });
    asked.await.unwrap()
}

/// Asks why until nothing is wrong.
pub(crate) async fn until_fine(env: &TestEnv, target: &str) {
    let asked = wait::until("nothing to be wrong", SOON, async || {
        let found = why(env, target).await;
        let is_fine = found.code == 0 && found.state() == "fine";
        if is_fine {
            Ok(())
        } else {
            Err(format!("{found:#?}"))
        }
    });
    asked.await.unwrap();
}

/// Does what was advised, word for word.
pub(crate) async fn follow(env: &TestEnv, command: &str) {
    shell(env, command).await.fine();
}
