//! Reads the API server's audit log: an exact count, from outside, of who wrote what.
//!
//! The server writes each request's line before it ends the response (blocking mode), so a client
//! that has its answer finds its line here.

use std::fmt::{self, Display, Write as _};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// The audit log of one API server, one JSON object a line.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
}

/// A point of the log: everything before it is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

/// One finished request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, …
    pub verb: String,
    /// API group, empty for the core one.
    pub group: String,
    /// Plural name, empty for URLs that are no resources (`/readyz`).
    pub resource: String,
    /// `status`, `scale`, …, or empty.
    pub subresource: String,
    /// Empty for cluster-scoped resources.
    pub namespace: String,
    /// Empty where the request names none (list, or create).
    pub name: String,
    /// Authenticated user, e.g. `system:serviceaccount:NS:langop-operator`.
    pub user: String,
    /// Whatever the client called itself.
    pub user_agent: String,
    /// HTTP status of the response.
    pub code: u16,
    /// Nothing was stored because the client asked for that.
    pub dry_run: bool,
    /// `fieldManager` of the request, or empty.
    pub field_manager: String,
    /// When the response was complete.
    pub at: Timestamp,
}

/// A finished request with all that is needed to make it again.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Who, what and with which response.
    pub event: AuditEvent,
    /// Path and query.
    pub uri: String,
    /// Its body; `null` if it had none, or the log holds only its metadata.
    pub body: Value,
}

impl AuditEvent {
    /// It is of a verb that stores something.
    pub fn is_write(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        )
    }

    fn is_lease(&self) -> bool {
        self.group == "coordination.k8s.io" && self.resource == "leases"
    }
}

impl Display for AuditEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verb,
            resource,
            namespace,
            name,
            code,
            user,
            user_agent,
            ..
        } = self;
        write!(f, "{} {verb} {resource}", self.at)?;
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        write!(f, " {namespace}/{name} {code}")?;
        if self.dry_run {
            write!(f, " dry-run")?;
        }
        if !self.field_manager.is_empty() {
            write!(f, " manager={}", self.field_manager)?;
        }
        write!(f, " by {user} ({user_agent})")
    }
}

/// One event a line, for messages of assertions.
pub fn pretty(events: &[AuditEvent]) -> String {
    events.iter().fold(String::new(), |mut text, event| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{event}");
        text
    })
}

/// Which events are wanted. The default is every write but those of Leases.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    user: Option<String>,
    user_agent: Option<String>,
    namespace: Option<String>,
    leases: bool,
    reads: bool,
}

impl Filter {
    /// Every write but those of Leases.
    pub fn writes() -> Self {
        Self::default()
    }

    /// Every request, reads and Leases included.
    pub fn all() -> Self {
        Self {
            leases: true,
            reads: true,
            ..Self::default()
        }
    }

    /// Only of this authenticated user.
    #[must_use]
    pub fn user(self, name: impl Into<String>) -> Self {
        Self {
            user: Some(name.into()),
            ..self
        }
    }

    /// Only of clients whose user agent begins so.
    #[must_use]
    pub fn user_agent(self, prefix: impl Into<String>) -> Self {
        Self {
            user_agent: Some(prefix.into()),
            ..self
        }
    }

    /// Only on objects of this namespace.
    #[must_use]
    pub fn namespace(self, name: impl Into<String>) -> Self {
        Self {
            namespace: Some(name.into()),
            ..self
        }
    }

    /// Writes of Leases (leader election, node heartbeats) too.
    #[must_use]
    pub fn with_leases(self) -> Self {
        Self {
            leases: true,
            ..self
        }
    }

    /// Whether it wants the event.
    pub fn matches(&self, event: &AuditEvent) -> bool {
        (self.reads || event.is_write())
            && (self.leases || !event.is_lease())
            && self.user.as_ref().is_none_or(|user| event.user == *user)
            && self
                .user_agent
                .as_ref()
                .is_none_or(|prefix| event.user_agent.starts_with(prefix.as_str()))
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| event.namespace == *namespace)
    }
}

impl AuditLog {
    /// The log in this file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log's beginning.
    pub const BEGINNING: Mark = Mark(0);

    /// The log's present end.
    ///
    /// # Errors
    /// If the file is missing.
    pub fn mark(&self) -> Result<Mark> {
        let end = std::fs::metadata(&self.path)
            .with_context(|| format!("no audit log {}", self.path.display()))?;
        Ok(Mark(end.len()))
    }

    /// The events after `mark` that the filter wants, oldest first.
    ///
    /// # Errors
    /// If the file is missing or a line cannot be read.
    pub fn events_since(&self, mark: Mark, filter: &Filter) -> Result<Vec<AuditEvent>> {
        Ok(self.read_from(mark, filter)?.0)
    }

    /// The file at the first line that begins after `mark`, and where that is; `None` if the line
    /// before is not whole yet. The server may have been in the middle of a line when the mark was
    /// made, and that line is one of before.
    fn open_after(&self, mark: Mark) -> Result<Option<(BufReader<File>, Mark)>> {
        let mut file = File::open(&self.path)
            .with_context(|| format!("no audit log {}", self.path.display()))?;
        let Some(last) = mark.0.checked_sub(1) else {
            return Ok(Some((BufReader::new(file), mark)));
        };
        file.seek(SeekFrom::Start(last))?;
        let mut lines = BufReader::new(file);
        let mut rest = Vec::new();
        lines.read_until(b'\n', &mut rest)?;
        let begins = Mark(last + rest.len() as u64);
        Ok(rest.ends_with(b"\n").then_some((lines, begins)))
    }

    /// The wanted events after `mark`, and where the next reading goes on.
    fn read_from(&self, mark: Mark, filter: &Filter) -> Result<(Vec<AuditEvent>, Mark)> {
        let Some((mut lines, mark)) = self.open_after(mark)? else {
            return Ok((Vec::new(), mark));
        };
        let mut text = Vec::new();
        lines.read_to_end(&mut text)?;
        let complete = complete_lines(&text);
        let mut events = parse(complete)?;
        events.retain(|event| filter.matches(event));
        Ok((events, Mark(mark.0 + complete.len() as u64)))
    }

    /// The writes after `mark` that the filter wants; the same as [`Self::events_since`], under the
    /// name that tests read best.
    ///
    /// # Errors
    /// If the file is missing or a line cannot be read.
    pub fn writes_since(&self, mark: Mark, filter: &Filter) -> Result<Vec<AuditEvent>> {
        let mut events = self.events_since(mark, filter)?;
        events.retain(AuditEvent::is_write);
        Ok(events)
    }

    /// Hands on the events after `mark` that the filter wants, oldest first, with their bodies
    /// where the control plane was told to log those. Reads line by line: a benchmark's bodies are
    /// more than memory should hold at once.
    ///
    /// # Errors
    /// If the file is missing, a line cannot be read, or `take` fails.
    pub fn each_recorded(
        &self,
        mark: Mark,
        filter: &Filter,
        mut take: impl FnMut(Recorded) -> Result<()>,
    ) -> Result<()> {
        let Some((mut lines, _)) = self.open_after(mark)? else {
            return Ok(());
        };
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            let event = parse(&line)?.pop().filter(|event| filter.matches(event));
            if let Some(event) = event {
                let Request { uri, body } = serde_json::from_slice(&line)?;
                take(Recorded { event, uri, body })?;
            }
            line.clear();
        }
        Ok(())
    }

    /// Waits until the filter has matched nothing for `quiet`, measured from the last event's own
    /// time (or from now if there is none), then returns all it matched after `mark`.
    ///
    /// # Errors
    /// If it has not been quiet within ten times that, but at least 30 s; shows the last events.
    pub async fn settle(
        &self,
        mark: Mark,
        filter: &Filter,
        quiet: Duration,
    ) -> Result<Vec<AuditEvent>> {
        let within = (quiet * 10).max(Duration::from_secs(30));
        self.settle_within(mark, filter, quiet, within).await
    }

    /// As [`Self::settle`], for what may go on longer.
    ///
    /// # Errors
    /// If it has not been quiet within `within`; shows the last events.
    pub async fn settle_within(
        &self,
        mark: Mark,
        filter: &Filter,
        quiet: Duration,
        within: Duration,
    ) -> Result<Vec<AuditEvent>> {
        let start = Timestamp::now();
        let deadline = Instant::now() + within;
        let (mut events, mut next) = (Vec::new(), mark);
        loop {
            let (new, end) = self.read_from(next, filter)?;
            events.extend(new);
            next = end;
            let last = events.last().map_or(start, |event| event.at.max(start));
            let silent =
                Duration::try_from(Timestamp::now().duration_since(last)).unwrap_or_default();
            if silent >= quiet {
                return Ok(events);
            }
            if Instant::now() >= deadline {
                let tail = &events[events.len().saturating_sub(10)..];
                bail!(
                    "no {quiet:?} without such a request; {} so far, the last:\n{}",
                    events.len(),
                    pretty(tail)
                );
            }
            tokio::time::sleep(quiet.saturating_sub(silent).min(Duration::from_millis(200))).await;
        }
    }
}

/// The server may be in the middle of the last line.
fn complete_lines(text: &[u8]) -> &[u8] {
    let end = text
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    &text[..end]
}

fn parse(lines: &[u8]) -> Result<Vec<AuditEvent>> {
    lines
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            serde_json::from_slice::<Line>(line)
                .with_context(|| String::from_utf8_lossy(line).into_owned())
        })
        .filter_map(|line| match line {
            // A watch has two stages, of which the first is not its end.
            Ok(line) if line.stage == "ResponseStarted" => None,
            line => Some(line.map(AuditEvent::from)),
        })
        .collect()
}

/// The part of `audit.k8s.io/v1` Event that is used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    verb: String,
    #[serde(default, rename = "requestURI")]
    request_uri: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: Status,
    stage_timestamp: Timestamp,
}

/// What of it a repetition needs beside.
#[derive(Deserialize)]
struct Request {
    #[serde(rename = "requestURI")]
    uri: String,
    #[serde(default, rename = "requestObject")]
    body: Value,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

impl From<Line> for AuditEvent {
    fn from(line: Line) -> Self {
        Self {
            dry_run: parameter(&line.request_uri, "dryRun").is_some(),
            field_manager: parameter(&line.request_uri, "fieldManager")
                .unwrap_or_default()
                .to_owned(),
            verb: line.verb,
            group: line.object_ref.api_group,
            resource: line.object_ref.resource,
            subresource: line.object_ref.subresource,
            namespace: line.object_ref.namespace,
            name: line.object_ref.name,
            user: line.user.username,
            user_agent: line.user_agent,
            code: line.response_status.code,
            at: line.stage_timestamp,
        }
    }
}

fn parameter<'a>(uri: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = uri.split_once('?')?;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verb: &str, resource: &str, group: &str, user: &str) -> String {
        format!(
            r#"{{"kind":"Event","stage":"ResponseComplete","verb":"{verb}","requestURI":"/x?fieldManager=me&dryRun=All","user":{{"username":"{user}"}},"userAgent":"agent/1","objectRef":{{"resource":"{resource}","namespace":"n","name":"o","apiGroup":"{group}"}},"responseStatus":{{"code":200}},"stageTimestamp":"2026-01-02T03:04:05.000006Z"}}"#
        )
    }

    #[test]
    fn only_complete_lines_and_only_writes_count() {
        let text = [
            line("patch", "configmaps", "", "operator"),
            line("get", "configmaps", "", "operator"),
            line("update", "leases", "coordination.k8s.io", "operator"),
            line("create", "pods", "", "somebody"),
            r#"{"stage":"Resp"#.to_owned(),
        ]
        .join("\n");
        let events = parse(complete_lines(text.as_bytes())).unwrap();
        assert_eq!(events.len(), 4);
        let count = |filter: Filter| events.iter().filter(|event| filter.matches(event)).count();
        assert_eq!(count(Filter::writes()), 2);
        assert_eq!(count(Filter::writes().with_leases()), 3);
        assert_eq!(count(Filter::writes().user("operator")), 1);
        assert_eq!(count(Filter::writes().user_agent("agent/")), 2);
        assert_eq!(count(Filter::all().user("operator")), 3);
        assert_eq!(count(Filter::writes().namespace("other")), 0);
    }

    #[test]
    fn an_event_says_all_an_assertion_needs() {
        let events = parse(format!("{}\n", line("patch", "pods", "", "u")).as_bytes()).unwrap();
        assert_eq!(
            pretty(&events),
            "2026-01-02T03:04:05.000006Z patch pods n/o 200 dry-run manager=me by u (agent/1)\n"
        );
    }

    #[test]
    fn recorded_requests_have_their_bodies() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let with_body = line("patch", "pods", "", "u")
            .replace("\"stage\"", "\"requestObject\":{\"a\":1},\"stage\"");
        let text = [
            with_body,
            line("patch", "pods", "", "other"),
            line("create", "pods", "", "u"),
        ];
        std::fs::write(file.path(), format!("{}\n{{\"sta", text.join("\n"))).unwrap();
        let filter = Filter::writes().user("u");
        let mut recorded = Vec::new();
        AuditLog::at(file.path())
            .each_recorded(AuditLog::BEGINNING, &filter, |request| {
                recorded.push(request);
                Ok(())
            })
            .unwrap();
        let bodies: Vec<_> = recorded.iter().map(|r| r.body.to_string()).collect();
        assert_eq!(bodies, [r#"{"a":1}"#, "null"]);
        assert_eq!(recorded[0].uri, "/x?fieldManager=me&dryRun=All");
    }

    #[test]
    fn a_line_that_was_not_whole_at_the_mark_is_one_of_before() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let log = AuditLog::at(file.path());
        let (first, second) = (
            line("patch", "pods", "", "u"),
            line("create", "pods", "", "u"),
        );
        std::fs::write(file.path(), &first[..20]).unwrap();
        let mark = log.mark().unwrap();
        let since = || log.events_since(mark, &Filter::all()).unwrap();
        assert!(since().is_empty());
        std::fs::write(file.path(), format!("{first}\n{second}\n")).unwrap();
        let verbs: Vec<_> = since().into_iter().map(|event| event.verb).collect();
        assert_eq!(verbs, ["create"]);
    }

    #[tokio::test]
    async fn settle_waits_for_quiet_and_gives_up_at_a_deadline() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let log = AuditLog::at(file.path());
        std::fs::write(file.path(), format!("{}\n", line("patch", "pods", "", "u"))).unwrap();
        let begun = Instant::now();
        let events = log
            .settle(
                AuditLog::BEGINNING,
                &Filter::writes(),
                Duration::from_millis(100),
            )
            .await
            .unwrap();
        assert_eq!(events.len(), 1);
        assert!(begun.elapsed() >= Duration::from_millis(100));
        let after = log.mark().unwrap();
        assert!(log.events_since(after, &Filter::all()).unwrap().is_empty());
    }
}
