//! A person speaks to the loop: at a terminal, a line in and an answer out until an empty line, or
//! through a caller that brings what was said before.

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::{
    objectives,
    state::{Agent, Conversation, Ended, Request, Run},
};
use crate::{
    code,
    deadline::Deadline,
    engine::chat_loop::{ChatLoop, End},
    outcome::{Failure, Reason},
};

/// Answers the last message of a conversation.
pub(super) async fn drive(run: &Run<'_>, conversation: &Conversation) -> Ended {
    let mut reach = objectives::Reach::default();
    let functions = reach.functions(run).await;
    let mut messages = vec![objectives::instructions(
        run,
        conversation.system.as_deref(),
    )];
    messages.extend_from_slice(&conversation.messages);
    let mut chat = ChatLoop::new(messages, functions, objectives::limits(run.agent));
    let end = objectives::converse(run, &mut chat, &mut reach).await;
    objectives::ended(end, chat.iterations())
}

/// Talks until the input ends.
///
/// # Errors
/// If there is no model, or nobody to talk to. A turn that fails is told, and the next may go
/// better.
pub async fn talk(
    agent: &Agent,
    stopping: CancellationToken,
    input: impl AsyncBufRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
) -> Result<(), Failure> {
    code::check_offered(&agent.code.definition, &agent.environment)?;
    if agent.environment.models.is_empty() {
        let message = "there is no model to talk to: set MODEL_ENDPOINTS";
        return Err(Failure::new(Reason::NotOffered, message));
    }
    let request = Request {
        is_remembered: false,
        conversation: Some(Conversation::default()),
        ..Request::new(Deadline::NEVER, stopping.clone())
    };
    let run = Run::new(agent, &request);
    let mut reach = objectives::Reach::default();
    let functions = reach.functions(&run).await;
    let messages = vec![objectives::instructions(&run, None)];
    let mut chat = ChatLoop::new(messages, functions, objectives::limits(agent));
    let mut lines = input.lines();
    loop {
        say(&mut output, "> ").await?;
        let line = tokio::select! {
            line = lines.next_line() => line.map_err(|error| gone(&error))?,
            () = stopping.cancelled() => None,
        };
        let Some(line) = line.filter(|line| !line.trim().is_empty()) else {
            return Ok(());
        };
        chat.say(line);
        // Each line has its own bound.
        chat.resume(0);
        let answer = match objectives::converse(&run, &mut chat, &mut reach).await {
            End::Achieved(text) | End::NothingToDo(text) => text,
            End::Failed(failure) if failure.reason == Reason::Stopped => return Ok(()),
            End::Failed(failure) => format!("[{}: {failure}]", failure.reason),
        };
        say(&mut output, &format!("{answer}\n")).await?;
    }
}

async fn say(output: &mut (impl AsyncWrite + Unpin), text: &str) -> Result<(), Failure> {
    let said = async {
        output.write_all(text.as_bytes()).await?;
        output.flush().await
    };
    said.await.map_err(|error| gone(&error))
}

fn gone(error: &std::io::Error) -> Failure {
    Failure::new(
        Reason::Configuration,
        format!("there is nobody to talk to: {error}"),
    )
}
