//! From a path to the route it means: Django's `path()` and `re_path()`, as pure functions of text.
//!
//! Read in this order:
//!
//! - [`path`] and [`expression`] read the two kinds of pattern a user writes; [`converters`] are
//!   what `<int:id>` refers to.
//! - [`pattern`] is one parsed route, alone or under prefixes, and [`matcher`] the exact answer
//!   whether it matches.
//! - [`table`] asks many routes at once, with the help of two indices: [`shapes`] for patterns that
//!   have a fixed number of segments, [`set`] for all others.
//! - [`params`] is what a match found, [`error`] why a pattern was refused.
//!
//! `matchit` and `regex-automata` are named in this folder only.
//!
//! # As in Django
//!
//! The first declared pattern wins, and a converter that refuses leaves the path to the next. `str`
//! takes a line break and `path` does not, for `[^/]+` and `.+` say so. As soon as one group of a
//! `re_path()` has a name, those without are dropped; an optional group that matched nothing is
//! left out where it has a name and `None` where it has none. Of equal names in a prefix and behind
//! it the inner one's value counts, if it has one.
//!
//! # Unlike Django
//!
//! - `re_path()` is always about the whole path: `bar` does not match `/xx/bar/yy`. A `$` is the
//!   very end, never the place in front of a line break.
//! - A leading slash may be written in both kinds of pattern, and `\d \w \s \b` are ASCII.
//! - `int` ends at the largest `u64`; larger numbers do not match.
//! - A prefix ends at a slash, written or not: `api` and `ws/` make `api/ws/` and nothing else. In
//!   Django they make `apiws/`, in Channels both, with any number of slashes between.
//! - There are no look-around, back-references, verbose expressions or empty alternatives. A
//!   `path()` that reads as a regular expression is refused, where Django's checks warn.
//! - `{name}` is `<str:name>`, and hence a brace in a path is written twice.

mod converters;
mod error;
mod expression;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
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
pub(crate) use error::PatternError;
pub(crate) use params::Params;
pub(crate) use pattern::Pattern;
pub(crate) use table::Table;
