//! The email tool: sends messages over SMTP and reads a mailbox over IMAP, each where a server of
//! the kind is named. Nothing in a mailbox is ever changed.

mod keys;
mod mailbox;
mod outbox;
mod settings;

use rmcp::model::Tool;
use serde_json::json;

pub use settings::{ImapSettings, Recipients, Security, Settings, SmtpSettings};

use self::{mailbox::Mailbox, outbox::Outbox};
use crate::{
    settings::SettingError,
    toolbox::{Call, Effect, Output, ToolError, Toolbox, operation},
};

/// Sends and reads.
#[derive(Debug)]
pub struct Email {
    outbox: Option<Outbox>,
    mailbox: Option<Mailbox>,
}

impl Email {
    /// By these settings.
    ///
    /// # Errors
    /// If a server's name cannot be that of a TLS certificate.
    pub fn new(settings: Settings) -> Result<Self, SettingError> {
        Ok(Self {
            outbox: settings.smtp.map(Outbox::new).transpose()?,
            mailbox: settings.imap.map(Mailbox::new).transpose()?,
        })
    }
}

impl Toolbox for Email {
    fn name(&self) -> &'static str {
        "langop-tool-email"
    }

    fn operations(&self) -> Vec<Tool> {
        let reading = self.mailbox.iter().flat_map(|_| [read(), search()]);
        let sending = self.outbox.iter().map(|_| send());
        reading.chain(sending).collect()
    }

    async fn call(&self, operation: &str, call: Call) -> Option<Result<Output, ToolError>> {
        match (operation, &self.outbox, &self.mailbox) {
            ("send", Some(outbox), _) => Some(outbox.send(call).await),
            ("search", _, Some(mailbox)) => Some(mailbox.search(call).await),
            ("read", _, Some(mailbox)) => Some(mailbox.read(call).await),
            _ => None,
        }
    }
}

fn send() -> Tool {
    operation(
        "send",
        "Sends one message.",
        Effect::EachTime,
        &json!({
            "to": {"type": "string", "description": "An address, or several with commas between them."},
            "subject": {"type": "string"},
            "body": {"type": "string", "description": "Plain text."},
        }),
        &["to", "subject", "body"],
    )
}

fn search() -> Tool {
    operation(
        "search",
        "Finds messages that contain all words, newest first.",
        Effect::ReadOnly,
        &json!({
            "query": {"type": "string", "description": "Words that the message contains."},
            "limit": {"type": "integer", "minimum": 1, "maximum": 100},
        }),
        &["query"],
    )
}

fn read() -> Tool {
    operation(
        "read",
        "Gives one message in full; it stays unread for people.",
        Effect::ReadOnly,
        &json!({"id": {"type": "string", "description": "As a search gave it."}}),
        &["id"],
    )
}

#[cfg(test)]
mod tests;
