//! What a match found: named parameters and positional arguments, kept as places in the matched path.

use std::ops::Range;
use std::sync::Arc;

/// The values of one match.
///
/// The path is stored once and every value is a range of it; names are shared with the pattern.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    path: Arc<str>,
    named: Box<[(Arc<str>, Range<usize>)]>,
    args: Box<[Option<Range<usize>>]>,
}

impl Params {
    /// `named` holds each name once, and all ranges lie on character borders of `path`.
    pub(super) fn new(
        path: &str,
        named: Vec<(Arc<str>, Range<usize>)>,
        args: Vec<Option<Range<usize>>>,
    ) -> Self {
        Self {
            path: path.into(),
            named: named.into(),
            args: args.into(),
        }
    }

    /// Names with their values, in the order of the pattern; an optional group that matched nothing
    /// is left out.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named
            .iter()
            .map(|(name, range)| (&**name, &self.path[range.clone()]))
    }

    /// The value of the parameter `name`.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    /// The unnamed groups of a `re_path()` without named ones; an optional group that matched
    /// nothing is `None`.
    pub(crate) fn args(&self) -> impl Iterator<Item = Option<&str>> {
        self.args
            .iter()
            .map(|range| range.clone().map(|range| &self.path[range]))
    }
}

/// Whether `name` may name a parameter or a converter: a letter or `_`, then letters, digits and
/// `_`, of any script.
pub(super) fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}
