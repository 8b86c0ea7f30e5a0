//! The index of all other patterns: one automaton that reads a path once and says which of many
//! expressions match it.

use regex_automata::{Input, MatchKind, PatternSet, meta};

use crate::urls::error::PatternError;
use crate::urls::matcher::not_built;
use crate::urls::pattern::Pattern;

/// The expressions of many patterns, with the route of each.
#[derive(Debug)]
pub(super) struct Set {
    regex: meta::Regex,
    routes: Vec<usize>,
}

impl Set {
    /// Indexes those of `patterns` that `routes` names.
    pub(super) fn new(patterns: &[Pattern], routes: Vec<usize>) -> Result<Self, PatternError> {
        let regexes: Vec<&str> = routes
            .iter()
            .map(|&route| patterns[route].regex())
            .collect();
        let regex = meta::Regex::builder()
            // Otherwise the search ends with the first of several that match.
            .configure(meta::Config::new().match_kind(MatchKind::All))
            .build_many(&regexes)
            .map_err(|error| PatternError::of_table(routes.len(), not_built(&error)))?;
        Ok(Self { regex, routes })
    }

    /// The routes whose expressions match `path`; a converter may still refuse.
    pub(super) fn candidates(&self, path: &str) -> Vec<usize> {
        let mut matched = PatternSet::new(self.routes.len());
        self.regex
            .which_overlapping_matches(&Input::new(path), &mut matched);
        matched
            .iter()
            .map(|id| self.routes[id.as_usize()])
            .collect()
    }
}
