//! Everything about the synthesizer: what it is asked ([`request`]), how ([`client`],
//! [`endpoints`], [`health`]), what comes of it ([`failure`], [`answer`]), the calls under way
//! ([`calls`]), which of them a budget pays ([`budget`]), and whose code counts ([`provenance`]). An
//! answer is an input of a later reconcile like any other.

pub(crate) mod answer;
pub(crate) mod attest;
pub(crate) mod budget;
pub(crate) mod calls;
pub(crate) mod client;
pub(crate) mod endpoints;
pub(crate) mod failure;
mod health;
mod pace;
pub(crate) mod provenance;
pub(crate) mod request;
