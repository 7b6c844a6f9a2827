//! Sending over SMTP. A message is sent once for each idempotency key, also where the call is
//! repeated; to whom may be sent is the administrator's word.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        Error as SmtpError,
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};
use serde::Deserialize;

use super::{
    keys::{Keys, Known},
    settings::{Recipients, Security, SmtpSettings},
};
use crate::{
    arguments,
    settings::SettingError,
    toolbox::{Call, Output, ToolError},
};

/// Longest exchange with the server.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Most recipients of one message.
const MAX_RECIPIENTS: usize = 20;
/// Largest body in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// Longest subject in bytes.
const MAX_SUBJECT: usize = 900;

/// Sends messages.
#[derive(Debug)]
pub(super) struct Outbox {
    smtp: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    recipients: Recipients,
    keys: Keys,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Send {
    to: String,
    subject: String,
    body: String,
}

impl Outbox {
    /// By these settings.
    ///
    /// # Errors
    /// If the server's name cannot be that of a TLS certificate.
    pub(super) fn new(settings: SmtpSettings) -> Result<Self, SettingError> {
        let tls = || {
            TlsParameters::new(settings.host.clone()).map_err(|_| {
                SettingError::new(
                    "SMTP_HOST",
                    "is no name of a server: write for example smtp.example.com",
                )
            })
        };
        let tls = match settings.security {
            Security::Implicit => Tls::Wrapper(tls()?),
            Security::StartTls => Tls::Required(tls()?),
            Security::None => Tls::None,
        };
        let mut smtp = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .tls(tls)
            .timeout(Some(TIMEOUT));
        if let Some((user, password)) = settings.login {
            smtp = smtp.credentials(Credentials::new(user, password));
        }
        Ok(Self {
            smtp: smtp.build(),
            from: settings.from,
            recipients: settings.recipients,
            keys: Keys::in_folder(settings.keys),
        })
    }

    /// Sends one message, once for each key.
    pub(super) async fn send(&self, call: Call) -> Result<Output, ToolError> {
        let message = self.message(&arguments::read(call.arguments)?)?;
        let Some(key) = &call.idempotency_key else {
            return self.deliver(message).await.map_err(|error| failed(&error));
        };
        match self.keys.begin(key) {
            Known::New => {}
            Known::Done => return Ok(Output::text("sent before")),
            Known::UnderWay => {
                let words = "the message may or may not have been sent by an earlier call; it is not sent twice";
                return Err(ToolError::new(words));
            }
            Known::Unknowable => {
                return Err(ToolError::new(
                    "the keys of sent messages cannot be kept, so nothing is sent",
                ));
            }
        }
        match self.deliver(message).await {
            Ok(output) => {
                self.keys.done(key);
                Ok(output)
            }
            Err(error) => {
                // The server said no: nothing was sent, and another call may try again.
                if error.is_permanent() || error.is_transient() || error.is_client() {
                    self.keys.forget(key);
                }
                Err(failed(&error))
            }
        }
    }

    fn message(&self, send: &Send) -> Result<Message, ToolError> {
        let mut message = Message::builder().from(self.from.clone());
        let mut count = 0;
        for address in send
            .to
            .split(',')
            .map(str::trim)
            .filter(|to| !to.is_empty())
        {
            let to: Mailbox = address.parse().map_err(|_| {
                ToolError::new("'to' is no address: write for example ops@example.com")
            })?;
            if !self.recipients.allow(&to.email) {
                return Err(ToolError::new(
                    "'to' is not among the recipients that the administrator allows",
                ));
            }
            message = message.to(to);
            count += 1;
        }
        if !(1..=MAX_RECIPIENTS).contains(&count) {
            return Err(ToolError::new(format!(
                "'to' must name 1 to {MAX_RECIPIENTS} addresses"
            )));
        }
        if send.subject.len() > MAX_SUBJECT || send.subject.chars().any(char::is_control) {
            return Err(ToolError::new(format!(
                "'subject' must be one line of at most {MAX_SUBJECT} bytes"
            )));
        }
        if send.body.len() > MAX_BODY {
            return Err(ToolError::new(format!(
                "'body' must have at most {MAX_BODY} bytes"
            )));
        }
        message
            .subject(&send.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(send.body.clone())
            .map_err(|_| ToolError::new("the message cannot be made of these arguments"))
    }

    async fn deliver(&self, message: Message) -> Result<Output, SmtpError> {
        let count = message.envelope().to().len();
        self.smtp.send(message).await?;
        let s = if count == 1 { "" } else { "s" };
        Ok(Output::text(format!("sent to {count} recipient{s}")))
    }
}

/// In words without the server's address or answer.
fn failed(error: &SmtpError) -> ToolError {
    tracing::warn!(%error, "the message was not sent");
    ToolError::new(if error.is_permanent() {
        "the mail server refuses the message"
    } else if error.is_transient() {
        "the mail server cannot take the message now"
    } else if error.is_client() {
        "the message cannot be sent as it is"
    } else {
        "the mail server does not answer; the message may or may not have been sent"
    })
}
