//! All routes of a router: which one does a path mean?
//!
//! The meaning is that of a loop: **the first declared pattern that matches the whole path**, where
//! a converter that refuses makes a pattern not match. [`Matcher`] is that question for one
//! pattern, and the table still runs that loop; the two indices only tell it which routes it may
//! skip.
//!
//! Every route is in one of them, and each leaves out only routes that cannot match: [`Shapes`]
//! because a pattern's shape matches whatever the pattern does, [`Set`] because it runs the
//! expression itself. The routes that they name are tried in the order of declaration, for the
//! exact answer. So an index that names too many routes costs time, and the answer stays that of
//! the loop.

use crate::urls::error::PatternError;
use crate::urls::matcher::Matcher;
use crate::urls::params::Params;
use crate::urls::pattern::Pattern;
use crate::urls::set::Set;
use crate::urls::shapes::Shapes;

/// Patterns in the order of their declaration.
#[derive(Debug)]
pub(crate) struct Table {
    matchers: Vec<Matcher>,
    shapes: Shapes,
    set: Set,
}

/// The route a path means.
#[derive(Debug)]
pub(crate) struct Found {
    /// The place of its pattern among those the table was made of.
    pub(crate) route: usize,
    pub(crate) params: Params,
}

impl Table {
    /// Fails only where the expressions together exceed what a single one may.
    pub(crate) fn new(patterns: Vec<Pattern>) -> Result<Self, PatternError> {
        let (shapes, others) = Shapes::new(&patterns);
        Ok(Self {
            set: Set::new(&patterns, others)?,
            shapes,
            matchers: patterns.into_iter().map(Pattern::into_matcher).collect(),
        })
    }

    /// The first declared pattern that matches the whole of `path`, which is percent-decoded
    /// already. Leading slashes, however many, say nothing.
    pub(crate) fn find(&self, path: &str) -> Option<Found> {
        let path = path.trim_start_matches('/');
        let mut candidates = self.shapes.candidates(path).to_vec();
        candidates.extend(self.set.candidates(path));
        candidates.sort_unstable();
        candidates.into_iter().find_map(|route| {
            let params = self.matchers[route].matches(path)?;
            Some(Found { route, params })
        })
    }
}
