//! Images of all components, made without an engine: static programs, each alone with the certificate
//! authorities; and programs in Ruby and Python on packages of Debian. Knows nothing of registries;
//! what it writes, any standard tool can push.

pub mod components;
pub mod debian;
pub mod image;
pub mod index;
pub mod model;
pub mod reproduction;
pub mod ruby;

pub use components::{Component, Components, Profile};
pub use image::Image;
