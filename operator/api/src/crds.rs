//! The CustomResourceDefinitions of all kinds, as the server takes them without warnings.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// All six, in a stable order.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        crate::LanguageAgent::crd(),
        crate::LanguageClient::crd(),
        crate::LanguageCluster::crd(),
        crate::LanguageModel::crd(),
        crate::LanguagePersona::crd(),
        crate::LanguageTool::crd(),
    ]
}
