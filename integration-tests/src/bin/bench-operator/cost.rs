//! What a run of one size cost: the little of its figures that is kept from run to run. Measures
//! nothing.

use serde::{Deserialize, Serialize};

use crate::figures::Figures;

/// What so many agents cost, in the last run of so many.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) agents: u32,
    /// They are scheduled and suspended.
    pub(crate) suspended: bool,
    pub(crate) rss_mib: Option<f64>,
    pub(crate) rss_peak_mib: Option<f64>,
    pub(crate) restart_seconds: Option<f64>,
    pub(crate) bring_up_operator_cpu_seconds: Option<f64>,
    pub(crate) bring_up_writes: Option<usize>,
}

impl Cost {
    pub(crate) fn of(figures: &Figures) -> Self {
        Self {
            agents: figures.agents,
            suspended: figures.suspended,
            rss_mib: figures.rss_mib,
            rss_peak_mib: figures.rss_peak_mib,
            restart_seconds: figures.restart_seconds,
            bring_up_operator_cpu_seconds: figures.bring_up_operator_cpu_seconds,
            bring_up_writes: figures.bring_up_writes,
        }
    }

    /// Whether all that is drawn was measured.
    pub(crate) fn is_whole(&self) -> bool {
        let drawn = [
            self.rss_mib,
            self.restart_seconds,
            self.bring_up_operator_cpu_seconds,
        ];
        drawn.iter().all(Option::is_some)
    }
}
