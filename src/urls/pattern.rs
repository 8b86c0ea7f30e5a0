//! One route as the user wrote it, alone or under the prefixes of the routers around it.

use std::fmt::Write;
use std::sync::Arc;

use crate::urls::converters::{Conversion, Converters};
use crate::urls::error::PatternError;
use crate::urls::expression::Expression;
use crate::urls::matcher::{Group, Matcher};
use crate::urls::path;

/// A parsed `path()` or `re_path()`.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    source: String,
    /// The result of [`parameters`](Self::parameters).
    names: Vec<Arc<str>>,
    parts: Vec<Part>,
    /// The parts as one regular expression for a whole path.
    regex: String,
    matcher: Matcher,
}

impl Pattern {
    /// Reads `"ws/couriers/<int:courier_id>/"`.
    pub(crate) fn path(pattern: &str, converters: &Converters) -> Result<Self, PatternError> {
        Self::from_parts(pattern.to_owned(), path::parse(pattern, converters)?)
    }

    /// Reads `r"ws/order-tracking/(?P<order_id>\d+)/$"`. It always stands for a whole path.
    pub(crate) fn re_path(pattern: &str) -> Result<Self, PatternError> {
        let expression = Expression::of_path(pattern)?;
        Self::from_parts(pattern.to_owned(), vec![Part::Expression(expression)])
    }

    /// This pattern behind `prefix`, which is a `path()`.
    ///
    /// The two meet at exactly one slash, whether the one ends in it, the other begins with it, or
    /// neither does. Of parameters with equal names this pattern's win.
    pub(crate) fn nested_in(&self, prefix: &Self) -> Result<Self, PatternError> {
        let inner = self.source.trim_start_matches('/');
        let slash = if prefix.needs_slash() && !self.is_empty() {
            "/"
        } else {
            ""
        };
        let mut parts = prefix.parts.clone();
        if !slash.is_empty() {
            parts.push(Part::Literal(slash.to_owned()));
        }
        parts.extend(self.parts.iter().cloned());
        Self::from_parts(format!("{}{slash}{inner}", prefix.source), parts)
    }

    /// The pattern as it was written, with the prefix in front.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The declared names, each once, in the order of the pattern.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(super) fn regex(&self) -> &str {
        &self.regex
    }

    pub(super) fn into_matcher(self) -> Matcher {
        self.matcher
    }

    fn from_parts(source: String, parts: Vec<Part>) -> Result<Self, PatternError> {
        let (regex, groups) = assemble(&parts);
        let mut names: Vec<Arc<str>> = Vec::new();
        for name in groups.iter().filter_map(Group::name) {
            if !names.contains(name) {
                names.push(Arc::clone(name));
            }
        }
        let matcher = Matcher::new(&regex, groups)
            .map_err(|problem| PatternError::new(&source, None, problem))?;
        Ok(Self {
            source,
            names,
            parts,
            regex,
            matcher,
        })
    }

    fn needs_slash(&self) -> bool {
        match self.parts.last() {
            None => false,
            Some(Part::Literal(text)) => !text.ends_with('/'),
            Some(Part::Parameter { .. } | Part::Expression(_)) => true,
        }
    }

    fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Literal(_) | Part::Parameter { .. } => false,
            Part::Expression(expression) => expression.is_empty(),
        })
    }
}

/// A piece of a pattern. An expression is the last one, and the only one of its kind.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Literal(String),
    Parameter {
        name: Arc<str>,
        conversion: Arc<Conversion>,
    },
    Expression(Expression),
}

/// Joins the parts to one regular expression for a whole path, and lists what its groups mean.
fn assemble(parts: &[Part]) -> (String, Vec<Group>) {
    let mut regex = String::from(r"\A");
    let mut groups = Vec::new();
    let mut next_group = 1;
    for part in parts {
        match part {
            Part::Literal(text) => text.chars().for_each(|c| push_literal(&mut regex, c)),
            Part::Parameter { name, conversion } => {
                groups.push(Group::parameter(next_group, name, conversion));
                next_group += 1;
                let _ = write!(regex, "({})", conversion.regex());
            }
            Part::Expression(expression) => {
                let names = expression.groups();
                groups.extend(Group::of_expression(next_group, names));
                next_group += names.len();
                let _ = write!(regex, "(?:{})", expression.regex());
            }
        }
    }
    regex.push_str(r"\z");
    (regex, groups)
}

/// Writes `c` as an expression that matches only itself.
fn push_literal(regex: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || c == '/' {
        regex.push(c);
    } else {
        let _ = write!(regex, r"\x{{{:X}}}", u32::from(c));
    }
}
