//! The syntax of `path()`: plain text with `<converter:name>`, `<name>` or matchit's `{name}` in
//! between.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use crate::urls::converters::{Converters, DEFAULT_NAME};
use crate::urls::error::{PatternError, Problem};
use crate::urls::params::is_identifier;
use crate::urls::pattern::Part;

/// Reads `pattern`; slashes in front of it say nothing and are dropped.
pub(super) fn parse(pattern: &str, converters: &Converters) -> Result<Vec<Part>, PatternError> {
    let mut reader = Reader {
        pattern,
        at: pattern.len() - pattern.trim_start_matches('/').len(),
        converters,
        literal: String::new(),
        parts: Vec::new(),
    };
    reader.refuse_expression()?;
    while let Some(next) = reader.rest().chars().next() {
        reader.step(next)?;
    }
    reader.end_literal();
    Ok(reader.parts)
}

struct Reader<'a> {
    pattern: &'a str,
    /// The byte of `pattern` that is read next.
    at: usize,
    converters: &'a Converters,
    /// Plain text read since the last parameter.
    literal: String,
    parts: Vec<Part>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.pattern[self.at..]
    }

    fn step(&mut self, next: char) -> Result<(), PatternError> {
        let doubled = self.rest()[next.len_utf8()..].starts_with(next);
        match next {
            '{' | '}' if doubled => {
                self.literal.push(next);
                self.at += 2;
                Ok(())
            }
            '<' => self.parameter('>'),
            '{' => self.parameter('}'),
            '}' => self.refuse(self.at..self.at + 1, Problem::STRAY_BRACE),
            _ => {
                self.literal.push(next);
                self.at += next.len_utf8();
                Ok(())
            }
        }
    }

    /// Reads from an opening `<` or `{` through `close`.
    fn parameter(&mut self, close: char) -> Result<(), PatternError> {
        let open = if close == '>' { '<' } else { '{' };
        let Some(length) = self.rest().find(close) else {
            let place = self.at..self.pattern.len();
            return self.refuse(place, Problem::Unclosed { open, close });
        };
        let place = self.at..self.at + length + 1;
        let inside = &self.pattern[place.start + 1..place.end - 1];
        let (converter, name) = match inside.split_once(':') {
            Some(both) if close == '>' => both,
            _ if close == '}' && inside.starts_with('*') => {
                return self.refuse(place, Problem::CATCH_ALL);
            }
            _ => (DEFAULT_NAME, inside),
        };
        if !is_identifier(name) {
            return self.refuse(place, Problem::Identifier(name.to_owned()));
        }
        if self.declares(name) {
            return self.refuse(place, Problem::Duplicate(name.to_owned()));
        }
        let Some(conversion) = self.converters.find(converter) else {
            let problem = Problem::UnknownConverter {
                name: converter.to_owned(),
                known: self.converters.names().map(str::to_owned).collect(),
            };
            return self.refuse(place, problem);
        };
        self.end_literal();
        self.at = place.end;
        self.parts.push(Part::Parameter {
            name: name.into(),
            conversion: Arc::clone(conversion),
        });
        Ok(())
    }

    fn declares(&self, wanted: &str) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::Parameter { name, .. } if **name == *wanted))
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            self.parts.push(Part::Literal(mem::take(&mut self.literal)));
        }
    }

    /// Django's check urls.W001 warns of this: such a pattern would be taken literally and match
    /// nothing, silently.
    fn refuse_expression(&self) -> Result<(), PatternError> {
        let end = self.pattern.len();
        let place = if let Some(group) = self.pattern.find("(?P<") {
            group..group + "(?P<".len()
        } else if self.rest().starts_with('^') {
            self.at..self.at + 1
        } else if self.rest().ends_with('$') {
            end - 1..end
        } else {
            return Ok(());
        };
        self.refuse(place, Problem::LOOKS_LIKE_EXPRESSION)
    }

    fn refuse<T>(&self, place: Range<usize>, problem: Problem) -> Result<T, PatternError> {
        Err(PatternError::new(self.pattern, Some(place), problem))
    }
}
