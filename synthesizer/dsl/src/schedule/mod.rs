//! Schedules: the one cron dialect, used for code and for the Kubernetes `spec.schedule`, and
//! durations.
//!
//! The dialect is a subset of what Kubernetes accepts (robfig/cron `ParseStandard`), and means the
//! same there. `cron` reads expressions, `occurrence` finds times, `distance` the shortest time
//! between two, `duration` reads `5m`; `calendar` says the days that no expression says.

mod calendar;
mod cron;
mod distance;
mod duration;
mod error;
mod occurrence;
mod zone;

pub use calendar::{Calendar, Which};
pub use distance::shortest_distance;
pub use duration::{MAX_DURATION_SECONDS, cron_for_every, format_duration, parse_duration};
pub use error::{ScheduleError, ScheduleErrorKind};
pub use occurrence::{CronSchedule, MAX_CRONS};
