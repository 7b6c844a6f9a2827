//! Reads `schedule`: either `every:`, or `cron:` with an optional `time_zone:`. What they may say
//! is decided elsewhere.

use ruby_prism::{CallNode, Node};

use super::Reader;
use super::call::{Part, Parts, Shape};
use crate::definition::Schedule;
use crate::diagnostic::DiagnosticCode;
use crate::schedule::{CronSchedule, ScheduleError, ScheduleErrorKind, parse_duration};

const SCHEDULE: Shape = Shape {
    usage: "`schedule every: '5m'` or `schedule cron: '0 9 * * 1-5', time_zone: 'Europe/Berlin'`",
    positional: Part::None,
    keywords: &["every", "cron", "time_zone"],
    block: Part::None,
};

impl Reader<'_> {
    pub(super) fn schedule(&mut self, call: &CallNode<'_>) -> Option<Schedule> {
        let parts = self.parts(call, &SCHEDULE);
        let has = |keyword| parts.keywords.contains_key(keyword);
        match (has("every"), has("cron"), has("time_zone")) {
            (true, true, _) => self.conflict(
                &parts,
                "cron",
                "`every:` and `cron:` exclude each other",
                "keep one of them",
            ),
            (true, false, true) => self.conflict(
                &parts,
                "time_zone",
                "`time_zone:` goes only with `cron:`",
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
            (true, false, false) => self.every(&parts.keywords.get("every")?.value),
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
            .map_err(|error| self.schedule_error(node, &error))
            .ok()
    }

    fn cron(&mut self, parts: &Parts<'_>) -> Option<Schedule> {
        let cron = &parts.keywords.get("cron")?.value;
        let zone = parts
            .keywords
            .get("time_zone")
            .map(|keyword| &keyword.value);
        let expression = self.text(cron, "`cron`");
        let time_zone = match zone {
            Some(node) => Some(self.text(node, "`time_zone`")?),
            None => None,
        };
        match CronSchedule::parse(&expression?, time_zone.as_deref(), self.now) {
            Ok(schedule) => Some(Schedule::Cron {
                expression: schedule.expression().to_owned(),
                time_zone,
            }),
            Err(error) => {
                let is_zone = error.kind() == ScheduleErrorKind::TimeZone;
                self.schedule_error(zone.filter(|_| is_zone).unwrap_or(cron), &error);
                None
            }
        }
    }

    /// The one place that turns a refused schedule or duration into a finding.
    pub(super) fn schedule_error(&mut self, node: &Node<'_>, error: &ScheduleError) {
        let code = match error.kind() {
            ScheduleErrorKind::Cron | ScheduleErrorKind::NeverFires => DiagnosticCode::BadSchedule,
            ScheduleErrorKind::TimeZone => DiagnosticCode::BadTimeZone,
            ScheduleErrorKind::Duration => DiagnosticCode::BadDuration,
        };
        self.findings.error(
            node.location().into(),
            code,
            error.problem().to_owned(),
            error.advice().to_owned(),
        );
    }
}
