//! From a path to the route it means: Django's `path()` and `re_path()`, as pure functions of text.
//!
//! Read in this order:
//!
//! - [`path`] and [`expression`] read the two kinds of pattern a user writes; [`converters`] are what `<int:id>` refers to.
//! - [`pattern`] is one parsed route, alone or under prefixes, and [`matcher`] the exact answer whether it matches.
//! - [`table`] asks many routes at once, with the help of two indices: [`shapes`] for patterns that have a fixed number of
//!   segments, [`set`] for all others.
//! - [`params`] is what a match found, [`error`] why a pattern was refused.
//!
//! `matchit` and `regex-automata` are named in this folder only.

mod converters;
mod error;
mod expression;
mod matcher;
mod params;
mod path;
mod pattern;
mod set;
mod shapes;
mod table;

#[cfg(test)]
mod tests;

pub use converters::Converter;
pub(crate) use converters::Converters;
pub use error::PatternError;
pub(crate) use params::Params;
pub(crate) use pattern::Pattern;
pub(crate) use table::Found;
pub(crate) use table::Table;
