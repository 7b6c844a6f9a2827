//! A call of a tool within a run: the intent on disk before the effect, the call, the result in a
//! bounded form.

use std::{fs, io, sync::atomic::Ordering};

use langop_dsl::hash::sha256_hex;
use serde_json::{Map, Value as Json};

use super::state::Run;
use crate::{
    checkpoint::Intent,
    engine::results::{MAX_TEXT_BYTES, cut},
    mcp::{operation::Operation, output::ToolOutput, request::CallIdentity},
    outcome::Failure,
};

impl Run<'_> {
    /// Calls `operation` of `tool`. `which` names the step or call: it is the same when the call is
    /// made again by another process.
    pub(super) async fn call(
        &self,
        which: &str,
        tool: &str,
        operation: &Operation,
        arguments: Map<String, Json>,
    ) -> Result<ToolOutput, Failure> {
        let key = sha256_hex(format!("{}\n{which}", self.id).as_bytes());
        if !operation.is_harmless {
            let intent = Intent {
                key: key.clone(),
                tool: tool.to_owned(),
                operation: operation.name.clone(),
            };
            self.remember(|saved| {
                saved.intents.insert(which.to_owned(), intent);
            });
        }
        let calls = 1 + self.tool_calls.fetch_add(1, Ordering::Relaxed);
        let identity = CallIdentity {
            run: &self.id,
            key,
            path: &self.path,
            traceparent: self.request.traceparent.as_deref(),
        };
        let called = self
            .agent
            .tools
            .call(
                tool,
                operation,
                arguments,
                &identity,
                self.request.deadline,
                &self.agent.metrics,
            )
            .await;
        let mut output = called?;
        tracing::info!(
            run = %self.id, tool, operation = operation.name, calls,
            bytes = output.result.text.len(), is_error = output.is_error, "the tool answered"
        );
        self.bound(which, &mut output);
        Ok(output)
    }

    /// Cuts a long text, which goes to a file in full if there is a workspace.
    fn bound(&self, which: &str, output: &mut ToolOutput) {
        let text = &mut output.result.text;
        if text.len() <= MAX_TEXT_BYTES {
            return;
        }
        let kept = match self.keep_in_full(which, text) {
            Ok(Some(path)) => format!("\n[in full in {path}]"),
            Ok(None) => String::new(),
            Err(error) => {
                tracing::warn!(run = %self.id, %error, "a long result could not be kept in full");
                String::new()
            }
        };
        *text = cut(text, MAX_TEXT_BYTES - kept.len()) + &kept;
    }

    fn keep_in_full(&self, which: &str, text: &str) -> io::Result<Option<String>> {
        let Some(workspace) = &self.agent.environment.workspace else {
            return Ok(None);
        };
        let folder = workspace.join("results");
        fs::create_dir_all(&folder)?;
        let id = sha256_hex(format!("{}\n{which}", self.id).as_bytes());
        let path = folder.join(format!("{}.txt", id.get(..16).unwrap_or(&id)));
        fs::write(&path, text)?;
        Ok(Some(path.display().to_string()))
    }
}
