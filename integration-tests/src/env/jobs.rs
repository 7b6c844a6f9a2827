//! Runs of scheduled agents: begun by hand, as a person would, and what they left.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use langop_api::LanguageAgent;

use super::{SOON, TestEnv, reading::counts};
use crate::wait;

impl TestEnv {
    /// Runs the agent's CronJob now, as the Job of this name.
    pub async fn run_now(&self, agent: &str, job: &str) {
        let begun = self.cp.run_now(self.ns.name(), agent, job).await;
        begun.unwrap();
    }

    /// The one pod of a Job.
    pub async fn pod_of_job(&self, job: &str) -> Pod {
        let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
        let found = wait::until("the Job's pod", SOON, async || {
            let pods = self.ns.api::<Pod>().list(&of_job).await;
            pods.unwrap().items.pop()
        });
        found.await.unwrap()
    }

    /// Waits until the agent's status counts so many runs: all, well ended, badly ended.
    pub async fn until_counted(&self, agent: &str, wanted: (i64, i64, i64)) -> LanguageAgent {
        self.until(agent, |agent: &LanguageAgent| counts(agent) == wanted)
            .await
    }
}
