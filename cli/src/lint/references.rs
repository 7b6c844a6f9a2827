//! References between the documents.

use std::collections::BTreeSet;

use super::document::{Document, Remark};
use crate::kind::Kind;

/// Names of the namespaced objects of ours in all documents.
pub(crate) struct Names<'a>(BTreeSet<(Kind, &'a str, &'a str)>);

impl<'a> Names<'a> {
    pub(crate) fn of(documents: &'a [Document], default: &'a str) -> Self {
        let names = documents.iter().filter_map(|document| {
            Some((
                document.kind()?,
                document.namespace(default),
                document.name(),
            ))
        });
        Self(names.collect())
    }

    fn has(&self, kind: Kind, namespace: &str, name: &str) -> bool {
        self.0.contains(&(kind, namespace, name))
    }

    fn others(&self, kind: Kind, namespace: &str) -> String {
        let names = self
            .0
            .iter()
            .filter(|(other, place, _)| *other == kind && *place == namespace);
        let names: Vec<&str> = names.map(|(.., name)| *name).collect();
        match &names[..] {
            [] => format!("these files have no {}", kind.word()),
            names => format!("these files have {}", names.join(", ")),
        }
    }
}

/// References of a document to what is not among the others: it may be in the cluster.
pub(crate) fn check(document: &Document, names: &Names<'_>, default: &str) -> Vec<Remark> {
    let namespace = document.namespace(default);
    let spec = &document.value["spec"];
    let lists = [("toolRefs", Kind::Tool), ("modelRefs", Kind::Model)];
    let mut references: Vec<(String, Kind, &str)> = Vec::new();
    for (field, kind) in lists {
        let items = spec[field].as_array().into_iter().flatten().enumerate();
        references.extend(items.filter_map(|(nth, item)| {
            Some((format!("spec.{field}[{nth}]"), kind, item["name"].as_str()?))
        }));
    }
    if let Some(name) = spec["personaRef"]["name"].as_str() {
        references.push(("spec.personaRef".to_owned(), Kind::Persona, name));
    }
    references
        .into_iter()
        .filter(|(_, kind, name)| !names.has(*kind, namespace, name))
        .map(|(path, kind, name)| {
            let others = names.others(kind, namespace);
            Remark::warning(
                path,
                format!("{} '{name}' is not in these files ({others})", kind.word()),
            )
        })
        .collect()
}
