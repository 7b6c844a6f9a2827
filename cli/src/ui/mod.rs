//! How answers look: tones, tables, times in words, and the formats that programs read. Pure, but
//! for `confirm`, which asks; what else is written where is decided in `program`.

pub(crate) mod confirm;
pub(crate) mod format;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod tone;
