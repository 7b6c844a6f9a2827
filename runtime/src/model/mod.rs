//! Models behind their proxies: which one is asked, how often it is asked again, and what an answer
//! costs. [`wire`] is what is written and read; [`client`] sends.

pub mod client;
pub mod wire;
