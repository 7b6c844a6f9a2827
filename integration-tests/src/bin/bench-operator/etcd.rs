//! The state of etcd once the fleet is there: what else it takes to hold so many agents.

use anyhow::Result;
use langop_integration_tests::{ControlPlane, metrics::metric_value};

use crate::figures::Figures;

pub(crate) async fn measure(cp: &ControlPlane, figures: &mut Figures) -> Result<()> {
    let page = cp.etcd_metrics().await?;
    let mib = |name| metric_value(&page, name, &[]).map(|bytes| bytes / f64::from(1 << 20));
    figures.etcd_mib = mib("etcd_mvcc_db_total_size_in_bytes");
    figures.etcd_in_use_mib = mib("etcd_mvcc_db_total_size_in_use_in_bytes");
    figures.etcd_quota_mib = mib("etcd_server_quota_backend_bytes");
    Ok(())
}
