//! The sizes the .proto states, once: whoever checks a request uses these. Units are bytes of UTF-8
//! unless said otherwise.

/// Longest `instructions`.
pub const INSTRUCTIONS: usize = 32 * 1024;
/// Longest `code`.
pub const CODE: usize = 128 * 1024;
/// Longest `refused_code`; longer code is left out.
pub const REFUSED_CODE: usize = 32 * 1024;
/// Longest `Persona.system_prompt`.
pub const SYSTEM_PROMPT: usize = 16 * 1024;
/// Longest description of a tool or an operation.
pub const DESCRIPTION: usize = 4 * 1024;
/// Longest JSON Schema of an operation.
pub const INPUT_SCHEMA: usize = 16 * 1024;
/// Longest other short text: names, tone, language, variant, model ids.
pub const SHORT_TEXT: usize = 256;
/// Longest distilled prompt of a persona.
pub const DISTILLED_PROMPT: usize = 8 * 1024;
/// Most tools, models, or operations of one tool (a count).
pub const ITEMS: usize = 64;
/// Most diagnostics in one answer (a count).
pub const DIAGNOSTICS: usize = 50;
/// Most repairs of one request (a count).
pub const REPAIRS: u32 = 2;
/// Longest gRPC message: a request with every field at its limit would be larger, and nobody means
/// one.
pub const MESSAGE: usize = 4 * 1024 * 1024;
