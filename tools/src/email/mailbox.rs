//! Reading: searches the mailbox and gives single messages, over IMAP. It never changes anything there:
//! the folder is opened read-only, and what is read stays unseen.
//!
//! One connection for each call, so that any replica answers any request.

use std::{sync::Arc, time::Duration};

use async_imap::{Client, Session, error::Error as ImapError, types::Fetch};
use futures::TryStreamExt as _;
use mailparse::{MailHeaderMap as _, ParsedMail};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::settings::ImapSettings;
use crate::{
    arguments,
    settings::SettingError,
    toolbox::{Call, Output, ToolError},
};

/// Longest exchange with the server.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Most messages that a search gives, and how many where nobody says.
const MAX_FOUND: u32 = 100;
const USUALLY_FOUND: u32 = 20;
/// Longest query in bytes.
const MAX_QUERY: usize = 500;
/// As much of a message as is fetched, in bytes: attachments beyond it are not read.
const MAX_MESSAGE: u32 = 1024 * 1024;
/// As much of its text as is given, in bytes.
const MAX_TEXT: usize = 64 * 1024;

/// A stream to the server.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug> Wire for T {}
type Mail = Session<Box<dyn Wire>>;

/// The mailbox.
#[derive(Debug)]
pub(super) struct Mailbox {
    settings: ImapSettings,
    /// `None`: in the clear.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    query: String,
    limit: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    id: String,
}

/// Why there is no answer: the caller's fault, or the server's.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Asked(#[from] ToolError),
    #[error(transparent)]
    Imap(#[from] ImapError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Mailbox {
    /// By these settings.
    ///
    /// # Errors
    /// If the server's name cannot be that of a TLS certificate.
    pub(super) fn new(settings: ImapSettings) -> Result<Self, SettingError> {
        let tls = if settings.is_tls {
            let name = ServerName::try_from(settings.host.clone()).map_err(|_| {
                SettingError::new(
                    "IMAP_HOST",
                    "is no name of a server: write for example imap.example.com",
                )
            })?;
            Some((authorities(), name))
        } else {
            None
        };
        Ok(Self { settings, tls })
    }

    /// Messages that contain all words, newest first.
    pub(super) async fn search(&self, call: Call) -> Result<Output, ToolError> {
        let asked: Search = arguments::read(call.arguments)?;
        let criteria = criteria(&asked.query)?;
        let limit = asked.limit.unwrap_or(USUALLY_FOUND);
        if !(1..=MAX_FOUND).contains(&limit) {
            let words = format!("'limit' must be 1 to {MAX_FOUND}");
            return Err(ToolError::new(words));
        }
        self.within(self.found(&criteria, limit)).await
    }

    /// One message, by the id that a search gave.
    pub(super) async fn read(&self, call: Call) -> Result<Output, ToolError> {
        let asked: Read = arguments::read(call.arguments)?;
        let id = asked.id.split_once('-');
        let id = id.and_then(|(epoch, uid)| Some((epoch.parse().ok()?, uid.parse().ok()?)));
        let (epoch, uid) =
            id.ok_or_else(|| ToolError::new("'id' must be one that a search gave"))?;
        self.within(self.message(epoch, uid)).await
    }

    async fn within(
        &self,
        work: impl Future<Output = Result<Output, Problem>>,
    ) -> Result<Output, ToolError> {
        match tokio::time::timeout(TIMEOUT, work).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(Problem::Asked(error))) => Err(error),
            Ok(Err(problem)) => Err(failed(&problem)),
            Err(_) => Err(ToolError::new("the mail server does not answer in time")),
        }
    }

    async fn found(&self, criteria: &str, limit: u32) -> Result<Output, Problem> {
        let (mut mail, epoch) = self.open().await?;
        let mut uids: Vec<u32> = mail.uid_search(criteria).await?.into_iter().collect();
        let all = uids.len();
        // A message that came later has the higher number.
        uids.sort_unstable_by(|one, other| other.cmp(one));
        uids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let mut messages = Vec::new();
        if !uids.is_empty() {
            let what = "(UID BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE)])";
            messages = fetch(&mut mail, &numbers(&uids), what).await?;
        }
        leave(mail).await;
        messages.sort_unstable_by_key(|message| std::cmp::Reverse(message.uid));
        let summaries: Vec<Json> = messages
            .iter()
            .map(|message| summary(epoch, message))
            .collect();
        let lines: Vec<String> = [format!("{all} found")]
            .into_iter()
            .chain(summaries.iter().map(in_words))
            .collect();
        Ok(Output::structured(
            lines.join("\n"),
            json!({"found": all, "messages": summaries}),
        ))
    }

    async fn message(&self, epoch: u32, uid: u32) -> Result<Output, Problem> {
        let (mut mail, now) = self.open().await?;
        let gone = || ToolError::new("there is no such message (any more): search again");
        let mut messages = Vec::new();
        if now == epoch {
            let what = format!("(UID RFC822.SIZE BODY.PEEK[]<0.{MAX_MESSAGE}>)");
            messages = fetch(&mut mail, &uid.to_string(), &what).await?;
        }
        leave(mail).await;
        let message = messages.first().ok_or_else(gone)?;
        let raw = message.body().ok_or_else(gone)?;
        let parsed = mailparse::parse_mail(raw)
            .map_err(|_| ToolError::new("the message cannot be read: it is no valid mail"))?;
        let text = text_of(&parsed).unwrap_or_else(|| "(no text)".to_owned());
        let text = shortened(text);
        let mut all = headers(epoch, uid, &parsed);
        all["text"] = json!(text);
        let part = |name: &str| all[name].as_str().unwrap_or_default().to_owned();
        let words = format!(
            "From: {}\nTo: {}\nDate: {}\nSubject: {}\n\n{text}",
            part("from"),
            part("to"),
            part("date"),
            part("subject"),
        );
        Ok(Output::structured(words, all))
    }

    /// The folder, and its epoch: numbers of messages of another epoch are of other messages.
    async fn open(&self) -> Result<(Mail, u32), Problem> {
        let settings = &self.settings;
        let tcp = TcpStream::connect((settings.host.as_str(), settings.port)).await?;
        let stream: Box<dyn Wire> = match &self.tls {
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                Box::new(connector.connect(name.clone(), tcp).await?)
            }
            None => Box::new(tcp),
        };
        let mut client = Client::new(stream);
        // It greets first.
        client
            .read_response()
            .await?
            .ok_or(ImapError::ConnectionLost)?;
        let (user, password) = &settings.login;
        let mut mail = client
            .login(user, password)
            .await
            .map_err(|(error, _)| error)?;
        let folder = mail.examine(&settings.folder).await?;
        Ok((mail, folder.uid_validity.unwrap_or_default()))
    }
}

/// By the authorities of the system, as the SMTP connection.
fn authorities() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    // What cannot be read is not trusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// `UID SEARCH`'s words: each must be somewhere in the message.
fn criteria(query: &str) -> Result<String, ToolError> {
    let wrong = |words: String| Err(ToolError::new(words));
    if query.len() > MAX_QUERY {
        return wrong(format!("'query' must have at most {MAX_QUERY} bytes"));
    }
    if query.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return wrong("'query' must not have control characters".to_owned());
    }
    let words: Vec<String> = query
        .split_whitespace()
        .map(|word| {
            let quoted = word.replace('\\', "\\\\").replace('"', "\\\"");
            format!("TEXT \"{quoted}\"")
        })
        .collect();
    if words.is_empty() {
        return wrong("'query' must name at least one word".to_owned());
    }
    let all = words.join(" ");
    // US-ASCII is every server's default; few need to be told of it, and some refuse to be.
    Ok(if query.is_ascii() {
        all
    } else {
        format!("CHARSET UTF-8 {all}")
    })
}

fn numbers(uids: &[u32]) -> String {
    let all: Vec<String> = uids.iter().map(u32::to_string).collect();
    all.join(",")
}

async fn fetch(mail: &mut Mail, uids: &str, what: &str) -> Result<Vec<Fetch>, Problem> {
    Ok(mail.uid_fetch(uids, what).await?.try_collect().await?)
}

/// The answer is there: how the server takes leave is nobody's concern.
async fn leave(mut mail: Mail) {
    if let Err(error) = mail.logout().await {
        tracing::debug!(%error, "the mail server did not take leave");
    }
}

fn summary(epoch: u32, message: &Fetch) -> Json {
    let raw = message.header().or_else(|| message.body());
    let uid = message.uid.unwrap_or_default();
    match mailparse::parse_mail(raw.unwrap_or_default()) {
        Ok(parsed) => headers(epoch, uid, &parsed),
        Err(_) => json!({"id": format!("{epoch}-{uid}")}),
    }
}

fn in_words(summary: &Json) -> String {
    let part = |name: &str| summary[name].as_str().unwrap_or_default();
    let (id, date, from, subject) = (part("id"), part("date"), part("from"), part("subject"));
    format!("{id}: {subject} (from {from}, {date})")
}

fn headers(epoch: u32, uid: u32, mail: &ParsedMail<'_>) -> Json {
    let header = |name: &str| mail.headers.get_first_value(name).unwrap_or_default();
    json!({
        "id": format!("{epoch}-{uid}"),
        "from": header("From"),
        "to": header("To"),
        "subject": header("Subject"),
        "date": header("Date"),
    })
}

/// The first plain text, else the first HTML as Markdown. Attachments are none.
fn text_of(mail: &ParsedMail<'_>) -> Option<String> {
    let of_type = |wanted: &str| {
        let mut parts = mail.parts().filter(|part| {
            let is_attached = part.get_content_disposition().disposition
                == mailparse::DispositionType::Attachment;
            part.ctype.mimetype == wanted && !is_attached
        });
        parts.find_map(|part| part.get_body().ok())
    };
    of_type("text/plain").or_else(|| {
        let html = of_type("text/html")?;
        htmd::convert(&html).ok()
    })
}

fn shortened(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text += "\n[the rest is left out]";
    }
    text
}

/// In words without the server's address or answer.
fn failed(problem: &Problem) -> ToolError {
    tracing::warn!(error = %problem, "the mailbox was not read");
    ToolError::new(match problem {
        Problem::Imap(ImapError::No(_) | ImapError::Bad(_)) => {
            "the mail server refuses: check the account, the folder and the words of the query"
        }
        _ => "the mail server cannot be reached or does not speak IMAP",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_quoted_and_none_is_a_command() {
        let quoted = |query: &str| criteria(query).unwrap();
        assert_eq!(quoted("disk  full"), r#"TEXT "disk" TEXT "full""#);
        assert_eq!(quoted(r#"a"b\c"#), r#"TEXT "a\"b\\c""#);
        assert_eq!(quoted("tür"), r#"CHARSET UTF-8 TEXT "tür""#);
        assert_eq!(
            quoted("a\r\nb LOGOUT"),
            r#"TEXT "a" TEXT "b" TEXT "LOGOUT""#
        );
        for bad in ["", " \n", "a\u{0}b"] {
            assert!(criteria(bad).is_err(), "{bad:?}");
        }
        assert!(criteria(&"x".repeat(MAX_QUERY + 1)).is_err());
    }

    #[test]
    fn plain_text_comes_before_html_and_attachments_are_none() {
        let of = |text: &str| text_of(&mailparse::parse_mail(text.as_bytes()).unwrap());
        let parts = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\nContent-Disposition: attachment\n\nattached\n--b\nContent-Type: text/html\n\n<p>Hello <b>you</b></p>\n--b--\n";
        assert_eq!(of(parts).unwrap().trim(), "Hello **you**");
        assert_eq!(of("Subject: x\n\nplain").unwrap().trim(), "plain");
        assert_eq!(of("Content-Type: image/png\n\nx"), None);
    }

    #[test]
    fn a_long_text_says_that_it_was_cut() {
        let text = shortened("ä".repeat(MAX_TEXT));
        assert!(text.ends_with("[the rest is left out]"));
        assert!(text.len() <= MAX_TEXT + 30);
    }
}
