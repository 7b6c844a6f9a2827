//! A chat front end for people, over the models and tools that its environment names. The loop that
//! answers is the runtime's; here are the page ([`page`]), who may come in ([`door`], pure), the
//! settings ([`settings`], pure) and the process ([`program`]). It keeps nothing: a conversation
//! lives in the page, and is sent with every question.

pub mod door;
pub mod page;
pub mod program;
pub mod settings;
