//! The result of a match: named parameters and positional arguments, as ranges of the matched path.

use std::ops::Range;
use std::sync::Arc;

/// The values of one match.
///
/// Every value is a range of the path, so the owner of the parameters keeps the path as well; names
/// are shared with the pattern.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Box<[Param]>);

/// A named parameter, or a positional argument, which may have taken no part in the match.
#[derive(Clone, Debug)]
enum Param {
    Named(Arc<str>, Place),
    Arg(Option<Place>),
}

impl Params {
    /// `named` holds each name once, and all ranges lie on character borders of the path without
    /// its leading slashes.
    pub(super) fn new(
        named: Vec<(Arc<str>, Range<usize>)>,
        args: Vec<Option<Range<usize>>>,
    ) -> Self {
        let named = named
            .into_iter()
            .map(|(name, range)| Param::Named(name, Place::of(range)));
        let args = args
            .into_iter()
            .map(|range| Param::Arg(range.map(Place::of)));
        Self(named.chain(args).collect())
    }

    /// Names with their values, in the order of the pattern; an optional group that matched nothing
    /// is left out.
    pub(crate) fn iter<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(|param| match param {
            Param::Named(name, place) => Some((&**name, place.in_path(path))),
            Param::Arg(_) => None,
        })
    }

    /// The value of the parameter `name`.
    pub(crate) fn value<'a>(&'a self, name: &str, path: &'a str) -> Option<&'a str> {
        self.iter(path)
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    /// The unnamed groups of a `re_path()` without named ones; an optional group that matched
    /// nothing is `None`.
    pub(crate) fn args<'a>(&'a self, path: &'a str) -> impl Iterator<Item = Option<&'a str>> {
        self.0.iter().filter_map(|param| match param {
            Param::Arg(place) => Some(place.map(|place| place.in_path(path))),
            Param::Named(..) => None,
        })
    }
}

/// A range of a path. In half the room of a `Range<usize>`: each connection keeps some.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    end: u32,
}

impl Place {
    /// A path of 4 GiB does not pass any HTTP parser.
    fn of(range: Range<usize>) -> Self {
        let [start, end] = [range.start, range.end].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        Self { start, end }
    }

    fn in_path(self, path: &str) -> &str {
        let path = path.trim_start_matches('/');
        let range = self.start as usize..self.end as usize;
        path.get(range).unwrap_or_default()
    }
}

/// Whether `name` may name a parameter or a converter: a letter or `_`, then letters, digits and
/// `_`, of any script.
pub(super) fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}
