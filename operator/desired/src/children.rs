//! The children of one resource, as a value. `Children<Prepared>` is what is wanted; applying it
//! makes a `Children<Applied>`, and a status is computed only from that: the type proves the order.

use std::marker::PhantomData;

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::CronJob,
    core::v1::{ConfigMap, LimitRange, PersistentVolumeClaim, ResourceQuota, Service},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::Resource;
use serde::Serialize;

use crate::{
    digest::{self, Desired},
    observed::ChildKind,
};

/// Built, not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared;

/// In the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied;

/// All children of one resource, complete: what a kind lists here exists, what it does not list and
/// we own is removed (code ConfigMaps and workspace claims excepted, whose removal is decided
/// elsewhere).
#[derive(Clone, Debug, PartialEq)]
pub struct Children<State> {
    /// ConfigMaps other than code (LiteLLM configuration).
    pub config_maps: Vec<ConfigMap>,
    /// Workspaces.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Policies come before what they protect.
    pub network_policies: Vec<NetworkPolicy>,
    /// Services.
    pub services: Vec<Service>,
    /// Deployments.
    pub deployments: Vec<Deployment>,
    /// CronJobs.
    pub cron_jobs: Vec<CronJob>,
    /// Quotas.
    pub resource_quotas: Vec<ResourceQuota>,
    /// Default requests and limits.
    pub limit_ranges: Vec<LimitRange>,
    /// Members' bindings.
    pub role_bindings: Vec<RoleBinding>,
    state: PhantomData<State>,
}

impl Default for Children<Prepared> {
    fn default() -> Self {
        Self {
            config_maps: Vec::new(),
            claims: Vec::new(),
            network_policies: Vec::new(),
            services: Vec::new(),
            deployments: Vec::new(),
            cron_jobs: Vec::new(),
            resource_quotas: Vec::new(),
            limit_ranges: Vec::new(),
            role_bindings: Vec::new(),
            state: PhantomData,
        }
    }
}

impl Children<Prepared> {
    /// To be called by whoever applied every one of them.
    pub fn into_applied(self) -> Children<Applied> {
        let Self {
            config_maps,
            claims,
            network_policies,
            services,
            deployments,
            cron_jobs,
            resource_quotas,
            limit_ranges,
            role_bindings,
            state: _,
        } = self;
        Children {
            config_maps,
            claims,
            network_policies,
            services,
            deployments,
            cron_jobs,
            resource_quotas,
            limit_ranges,
            role_bindings,
            state: PhantomData,
        }
    }
}

impl Children<Prepared> {
    /// Of these, only what says who may reach whom.
    #[must_use]
    pub fn policies(self) -> Self {
        Self {
            network_policies: self.network_policies,
            ..Self::default()
        }
    }
}

/// One child, ready to be applied.
#[derive(Clone, Debug)]
pub struct Child {
    /// Its kind.
    pub kind: ChildKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it should be.
    pub desired: Desired,
}

impl Children<Prepared> {
    /// All of them in the order in which they are written: what protects comes before what is
    /// protected, and before what users can make the API server refuse (a claim's size, a quota's
    /// key).
    pub fn in_order(&self) -> Vec<Child> {
        // Without `..`, so that a new kind of child cannot be forgotten here.
        let Self {
            config_maps,
            claims,
            network_policies,
            services,
            deployments,
            cron_jobs,
            resource_quotas,
            limit_ranges,
            role_bindings,
            state: _,
        } = self;
        let mut all = Vec::new();
        add(&mut all, ChildKind::NetworkPolicy, network_policies);
        add(&mut all, ChildKind::RoleBinding, role_bindings);
        add(&mut all, ChildKind::ResourceQuota, resource_quotas);
        add(&mut all, ChildKind::LimitRange, limit_ranges);
        add(&mut all, ChildKind::ConfigMap, config_maps);
        add(&mut all, ChildKind::PersistentVolumeClaim, claims);
        add(&mut all, ChildKind::Service, services);
        add(&mut all, ChildKind::Deployment, deployments);
        add(&mut all, ChildKind::CronJob, cron_jobs);
        all
    }
}

fn add<K: Serialize + Resource>(all: &mut Vec<Child>, kind: ChildKind, objects: &[K]) {
    all.extend(objects.iter().map(|object| Child {
        kind,
        namespace: object.meta().namespace.clone().unwrap_or_default(),
        name: object.meta().name.clone().unwrap_or_default(),
        desired: digest::desired(object),
    }));
}
