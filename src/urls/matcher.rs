//! The exact answer for one pattern: whether it matches a whole path, and with which values.

use std::ops::Range;
use std::sync::Arc;

use regex_automata::meta;

use crate::urls::converters::Conversion;
use crate::urls::error::Problem;
use crate::urls::params::Params;

/// A compiled pattern. Matching takes time linear in the path; a clone is cheap.
#[derive(Clone, Debug)]
pub(super) struct Matcher {
    regex: meta::Regex,
    groups: Arc<[Group]>,
}

impl Matcher {
    /// `regex` is anchored at both ends.
    pub(super) fn new(regex: &str, groups: Vec<Group>) -> Result<Self, Problem> {
        let regex = meta::Regex::new(regex).map_err(|error| not_built(&error))?;
        Ok(Self {
            regex,
            groups: groups.into(),
        })
    }

    /// The values with which the pattern matches `path`, or `None` where it does not or a converter
    /// refuses.
    pub(super) fn matches(&self, path: &str) -> Option<Params> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(path, &mut captures);
        if !captures.is_match() {
            return None;
        }
        let mut named: Vec<(Arc<str>, Range<usize>)> = Vec::new();
        let mut args = Vec::new();
        for group in self.groups.iter() {
            let range = captures.get_group(group.index).map(|span| span.range());
            if !group.accepts(path, range.clone()) {
                return None;
            }
            let Some(name) = &group.name else {
                args.push(range);
                continue;
            };
            let Some(range) = range else {
                continue;
            };
            match named.iter_mut().find(|(known, _)| known == name) {
                Some((_, outer)) => *outer = range,
                None => named.push((Arc::clone(name), range)),
            }
        }
        Some(Params::new(named, args))
    }
}

/// The meaning of a capture group of the compiled expression.
#[derive(Debug)]
pub(super) struct Group {
    index: usize,
    /// `None` is a positional argument.
    name: Option<Arc<str>>,
    conversion: Option<Arc<Conversion>>,
}

impl Group {
    /// A parameter of `path()`.
    pub(super) fn parameter(index: usize, name: &Arc<str>, conversion: &Arc<Conversion>) -> Self {
        Self {
            index,
            name: Some(Arc::clone(name)),
            conversion: Some(Arc::clone(conversion)),
        }
    }

    /// The groups of `re_path()`, numbered from `first`. As soon as one has a name, those without
    /// are dropped, as in Django.
    pub(super) fn of_expression(
        first: usize,
        names: &[Option<Arc<str>>],
    ) -> impl Iterator<Item = Self> {
        let any_named = names.iter().any(Option::is_some);
        names
            .iter()
            .zip(first..)
            .filter(move |(name, _)| name.is_some() || !any_named)
            .map(|(name, index)| Self {
                index,
                name: name.clone(),
                conversion: None,
            })
    }

    pub(super) fn name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    fn accepts(&self, path: &str, range: Option<Range<usize>>) -> bool {
        match (&self.conversion, range) {
            (Some(conversion), Some(range)) => conversion.accepts(&path[range]),
            _ => true,
        }
    }
}

/// Says why an expression that parsed did not compile.
pub(super) fn not_built(error: &meta::BuildError) -> Problem {
    match error.size_limit() {
        Some(limit) => Problem::TooLarge(limit),
        None => Problem::Syntax(
            error
                .syntax_error()
                .map_or_else(|| error.to_string(), ToString::to_string),
        ),
    }
}
