//! How answers look: tones, tables, times in words, and the formats that programs read. Pure, but
//! for `ask`, which asks; what else is written where is decided in `program`.

pub(crate) mod ask;
pub(crate) mod format;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod tone;
