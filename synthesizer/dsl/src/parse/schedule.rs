//! Reads `schedule`: either `every:`, or `cron:`, one expression or a list, with an optional
//! `time_zone:` and `only:`. What they may say is decided elsewhere.

use ruby_prism::{CallNode, Node};

use super::call::{Part, Parts, Shape};
use super::{Reader, words};
use crate::definition::Schedule;
use crate::diagnostic::DiagnosticCode;
use crate::schedule::{
    Calendar, CronSchedule, MAX_CRONS, ScheduleError, ScheduleErrorKind, parse_duration,
};
use crate::source::Span;

const SCHEDULE: Shape = Shape {
    usage: "`schedule every: '5m'` or `schedule cron: '0 9 * * 1-5', time_zone: 'Europe/Berlin'`",
    positional: Part::None,
    keywords: &["every", "cron", "time_zone", "only"],
    block: Part::None,
};

impl Reader<'_> {
    pub(super) fn schedule(&mut self, call: &CallNode<'_>) -> Option<Schedule> {
        let parts = self.parts(call, &SCHEDULE);
        let has = |keyword| parts.keywords.contains_key(keyword);
        let beside_every = ["time_zone", "only"]
            .into_iter()
            .find(|keyword| parts.keywords.contains_key(*keyword));
        match (has("every"), has("cron"), beside_every) {
            (true, true, _) => self.conflict(
                &parts,
                "cron",
                "`every:` and `cron:` exclude each other",
                "keep one of them",
            ),
            (true, false, Some(keyword)) => self.conflict(
                &parts,
                keyword,
                &format!("`{keyword}:` goes only with `cron:`"),
                "remove it: `every:` is a distance in time",
            ),
            (false, false, _) => {
                let message = "the schedule says no time".to_owned();
                let hint = format!("write {}", SCHEDULE.usage);
                self.findings.error(
                    parts.name_span,
                    DiagnosticCode::MissingArgument,
                    message,
                    hint,
                );
                None
            }
            (true, false, None) => self.every(&parts.keywords.get("every")?.value),
            (false, true, _) => self.cron(&parts),
        }
    }

    fn conflict(
        &mut self,
        parts: &Parts<'_>,
        keyword: &str,
        message: &str,
        hint: &str,
    ) -> Option<Schedule> {
        let span = parts.keywords.get(keyword)?.span;
        self.findings.error(
            span,
            DiagnosticCode::Conflict,
            message.to_owned(),
            hint.to_owned(),
        );
        None
    }

    fn every(&mut self, node: &Node<'_>) -> Option<Schedule> {
        self.duration(node, "`every`")
            .map(|seconds| Schedule::Every { seconds })
    }

    /// A duration such as `'10m'`, in seconds.
    pub(super) fn duration(&mut self, node: &Node<'_>, what: &str) -> Option<u64> {
        if node.as_integer_node().is_some() || node.as_float_node().is_some() {
            self.wrong_type(node, what, "a duration", "a duration such as `'10m'`");
            return None;
        }
        let text = self.text(node, what)?;
        parse_duration(&text)
            .map_err(|error| self.schedule_error(node.location().into(), &error))
            .ok()
    }

    fn cron(&mut self, parts: &Parts<'_>) -> Option<Schedule> {
        let given = |keyword| parts.keywords.get(keyword).map(|keyword| &keyword.value);
        let zone = given("time_zone");
        let texts = self.crons(given("cron")?);
        let time_zone = match zone {
            Some(node) => Some(self.text(node, "`time_zone`")?),
            None => None,
        };
        let only = match given("only") {
            Some(node) => Some(self.only(node)?),
            None => None,
        };
        let zone_span = zone.map(|node| Span::from(node.location()));
        let mut schedules: Vec<CronSchedule> = Vec::new();
        for (text, span) in texts? {
            let schedule =
                CronSchedule::parse(&text, time_zone.as_deref(), self.now).and_then(|schedule| {
                    only.map_or(Ok(()), |only| schedule.check_only(&only, self.now))?;
                    Ok(schedule)
                });
            match schedule {
                Ok(schedule) if schedules.iter().any(|known| known.fires_like(&schedule)) => {
                    self.cron_twice(&text, span);
                }
                Ok(schedule) => schedules.push(schedule),
                // the zone is one for all, so that once is enough
                Err(error) if error.kind() == ScheduleErrorKind::TimeZone => {
                    self.schedule_error(zone_span.unwrap_or(span), &error);
                    return None;
                }
                Err(error) => self.schedule_error(span, &error),
            }
        }
        let mut expressions = schedules
            .into_iter()
            .map(|schedule| schedule.expression().to_owned());
        Some(Schedule::Cron {
            expression: expressions.next()?,
            also: expressions.collect(),
            time_zone,
            only,
        })
    }

    /// The days of `only:`.
    fn only(&mut self, node: &Node<'_>) -> Option<Calendar> {
        let text = self.text(node, "`only`")?;
        text.parse()
            .map_err(|error| self.schedule_error(node.location().into(), &error))
            .ok()
    }

    /// The expressions of `cron:`, one or a list, each with its place. One that is not a string was
    /// diagnosed and is left out.
    fn crons(&mut self, node: &Node<'_>) -> Option<Vec<(String, Span)>> {
        let span = Span::from(node.location());
        let Some(array) = node.as_array_node() else {
            return Some(vec![(self.text(node, "`cron`")?, span)]);
        };
        let texts: Vec<(String, Span)> = array
            .elements()
            .iter()
            .filter_map(|element| {
                let text = self.text(&element, "a cron expression")?;
                Some((text, element.location().into()))
            })
            .collect();
        match array.elements().iter().count() {
            0 => {
                let message = "the list of cron expressions is empty".to_owned();
                let hint = "write `schedule cron: ['0 9 * * 1-5', '30 13 * * 6']`".to_owned();
                self.findings
                    .error(span, DiagnosticCode::Empty, message, hint);
                None
            }
            count if count > MAX_CRONS => {
                let message = format!(
                    "the schedule has {count} cron expressions; at most {MAX_CRONS} are allowed"
                );
                let hint = "merge those that differ in one field only, such as `0 8,12,16 * * *`";
                self.findings
                    .error(span, DiagnosticCode::OutOfRange, message, hint.to_owned());
                None
            }
            _ => Some(texts),
        }
    }

    fn cron_twice(&mut self, text: &str, span: Span) {
        let message = format!(
            "the cron expression {} fires at the times of another",
            words::code(text)
        );
        self.findings.error(
            span,
            DiagnosticCode::Duplicate,
            message,
            "keep one of them".to_owned(),
        );
    }

    /// The one place that turns a refused schedule or duration into a finding.
    fn schedule_error(&mut self, span: Span, error: &ScheduleError) {
        let code = match error.kind() {
            ScheduleErrorKind::Cron
            | ScheduleErrorKind::NeverFires
            | ScheduleErrorKind::Calendar => DiagnosticCode::BadSchedule,
            ScheduleErrorKind::TimeZone => DiagnosticCode::BadTimeZone,
            ScheduleErrorKind::Duration => DiagnosticCode::BadDuration,
        };
        self.findings.error(
            span,
            code,
            error.problem().to_owned(),
            error.advice().to_owned(),
        );
    }
}
