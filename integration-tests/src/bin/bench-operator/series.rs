//! What runs of different sizes cost, one small file for each number of agents, kept from run to
//! run; and the picture of all of them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{
    cost::Cost,
    figures::{Figures, progress},
    plot,
};

/// Puts this run into the series in `folder`, and draws the series anew. A run that failed before
/// all of it was measured leaves both as they are.
pub(crate) fn keep(figures: &Figures, folder: &Path) -> Result<()> {
    let cost = Cost::of(figures);
    if !cost.is_whole() {
        return Ok(());
    }
    let path = folder.join(format!("operator-{}.json", cost.agents));
    write(&path, &(serde_json::to_string_pretty(&cost)? + "\n"))?;
    write(&folder.join("operator.svg"), &plot::svg(&read(folder)?))
}

/// The series, fewest agents first.
fn read(folder: &Path) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let agents = name.strip_prefix("operator-");
        let agents = agents.and_then(|rest| rest.strip_suffix(".json"));
        if agents.is_some_and(|agents| agents.parse::<u32>().is_ok()) {
            let text = fs::read_to_string(&path)?;
            let cost = serde_json::from_str(&text);
            costs.push(cost.with_context(|| format!("{}; remove it", path.display()))?);
        }
    }
    costs.sort_by_key(|cost: &Cost| cost.agents);
    Ok(costs)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    progress(&format!("written to {}", path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{keep, read};
    use crate::{cost::Cost, figures::Figures, scale::Scale};

    #[test]
    fn the_last_run_of_each_size_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        for (agents, rss) in [
            (1_000, Some(44.0)),
            (100, Some(31.0)),
            (100, None),
            (1_000, Some(40.0)),
        ] {
            let mut figures = Figures::new(Scale::of(agents));
            figures.rss_mib = rss;
            figures.restart_seconds = Some(1.5);
            figures.bring_up_operator_cpu_seconds = Some(0.8);
            keep(&figures, folder.path()).unwrap();
        }
        let rows = read(folder.path()).unwrap();
        let rows: Vec<_> = rows
            .iter()
            .map(
                |Cost {
                     agents, rss_mib, ..
                 }| (*agents, *rss_mib),
            )
            .collect();
        assert_eq!(rows, [(100, Some(31.0)), (1_000, Some(40.0))]);
        let picture = std::fs::read_to_string(folder.path().join("operator.svg")).unwrap();
        assert!(
            picture.contains(">40<") && !picture.contains(">44<"),
            "{picture}"
        );
    }
}
