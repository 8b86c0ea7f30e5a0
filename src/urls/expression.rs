//! The syntax of `re_path()` and of converters: regular expressions as Django's users write them.
//!
//! An expression is parsed once and rewritten to keep this crate's promises: `\d \w \s \b` are
//! ASCII, Python's `\Z` is `\z`, and the beginning of the path need not be written. Whether it is
//! well-formed is for the regex parser to say; refused here is only that for which we have a better
//! sentence.

use std::ops::Range;
use std::sync::Arc;

use regex_automata::util::syntax;

use crate::urls::error::{PatternError, Problem};
use crate::urls::params::is_identifier;

/// A regular expression that was read.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    regex: String,
    groups: Vec<Option<Arc<str>>>,
    min_len: Option<usize>,
    max_len: Option<usize>,
    is_anchored: bool,
}

impl Expression {
    /// Reads an expression of `re_path()`.
    pub(super) fn of_path(pattern: &str) -> Result<Self, PatternError> {
        Writer::new(pattern, true).write()
    }

    /// Reads the expression of a converter, whose groups capture nothing and which matches inside a
    /// path.
    pub(super) fn of_converter(pattern: &str) -> Result<Self, PatternError> {
        let expression = Writer::new(pattern, false).write()?;
        if expression.is_anchored {
            let problem = Problem::CONVERTER_ANCHORED;
            return Err(PatternError::new(pattern, None, problem));
        }
        Ok(expression)
    }

    /// The expression to compile, well-formed by itself; its groups have no names.
    pub(super) fn regex(&self) -> &str {
        &self.regex
    }

    /// The names of the groups in their order.
    pub(super) fn groups(&self) -> &[Option<Arc<str>>] {
        &self.groups
    }

    /// Whether the empty text is among what it matches.
    pub(super) fn may_be_empty(&self) -> bool {
        self.min_len == Some(0)
    }

    /// Whether the empty text is all it matches.
    pub(super) fn is_empty(&self) -> bool {
        self.max_len == Some(0)
    }
}

/// Parses a pattern from its beginning and rewrites it.
struct Writer<'a> {
    pattern: &'a str,
    /// The byte of `pattern` that is read next.
    at: usize,
    regex: String,
    /// Whether groups capture.
    captures: bool,
    groups: Vec<Option<Arc<str>>>,
    /// Whether all that stands in front of the next byte says no more than that the path begins.
    at_start: bool,
    outermost: Level,
    /// The groups that are not closed yet, the innermost last.
    open: Vec<Level>,
}

/// The inside of a group, or the whole expression.
#[derive(Default)]
struct Level {
    /// [`Writer::at_start`] where each of the alternatives begins.
    at_start: bool,
    /// Whether an alternative that has ended says more than that the path begins.
    says_more: bool,
    has_alternatives: bool,
    /// Whether a slash that is the path's own was left out.
    drops_slash: bool,
    /// Whether the present alternative is more than nothing.
    has_content: bool,
}

impl<'a> Writer<'a> {
    fn new(pattern: &'a str, is_path: bool) -> Self {
        Self {
            pattern,
            at: 0,
            regex: String::with_capacity(pattern.len()),
            captures: is_path,
            groups: Vec::new(),
            at_start: is_path,
            outermost: Level {
                at_start: is_path,
                ..Level::default()
            },
            open: Vec::new(),
        }
    }

    fn write(mut self) -> Result<Expression, PatternError> {
        while let Some(next) = self.rest().chars().next() {
            self.step(next)?;
        }
        if self.open.is_empty() {
            self.end_alternative(false)?;
        }
        let refuse = |message| PatternError::new(self.pattern, None, Problem::Syntax(message));
        // The original is parsed only for the error text, which quotes it.
        if let Err(error) = syntax::parse(&with_rust_end(self.pattern)) {
            return Err(refuse(error.to_string()));
        }
        let parsed = syntax::parse(&self.regex).map_err(|error| refuse(error.to_string()))?;
        Ok(Expression {
            min_len: parsed.properties().minimum_len(),
            max_len: parsed.properties().maximum_len(),
            is_anchored: parsed.properties().look_set().contains_anchor(),
            regex: self.regex,
            groups: self.groups,
        })
    }

    fn rest(&self) -> &'a str {
        &self.pattern[self.at..]
    }

    fn level(&mut self) -> &mut Level {
        self.open.last_mut().unwrap_or(&mut self.outermost)
    }

    fn step(&mut self, next: char) -> Result<(), PatternError> {
        match next {
            '^' | '/' if self.at_start => self.drop_start(1),
            '\\' => self.escape()?,
            '[' => self.class(),
            '(' => self.open_group()?,
            '<' if self.captures => self.angle()?,
            ')' => self.close_group()?,
            '|' => {
                self.end_alternative(true)?;
                self.at_start = self.level().at_start;
                self.write_as("|", 1);
            }
            _ => self.copy(next.len_utf8()),
        }
        Ok(())
    }

    /// Writes `text` for the next `length` bytes.
    fn write_as(&mut self, text: &str, length: usize) {
        self.regex.push_str(text);
        self.at += length;
    }

    /// Writes `text`, which says more than that the path begins, for the next `length` bytes.
    fn replace(&mut self, length: usize, text: &str) {
        self.at_start = false;
        self.level().has_content = true;
        self.write_as(text, length);
    }

    fn copy(&mut self, length: usize) {
        self.replace(length, &self.rest()[..length]);
    }

    /// Leaves out `length` bytes that say that the path begins, and a quantifier behind them: the
    /// path comes without its leading slashes, and an expression may stand behind a prefix.
    fn drop_start(&mut self, length: usize) {
        let is_slash = self.rest()[..length].ends_with('/');
        let level = self.level();
        level.has_content = true;
        level.drops_slash |= is_slash;
        self.at += length;
        self.at += quantifier_len(self.rest());
    }

    fn escape(&mut self) -> Result<(), PatternError> {
        let rest = self.rest();
        let Some(escaped) = rest.chars().nth(1) else {
            self.copy(1);
            return Ok(());
        };
        let length = 1 + escaped.len_utf8();
        match escaped {
            'A' | '/' if self.at_start => self.drop_start(length),
            'Z' => self.replace(length, "\\z"),
            '1'..='9' => return self.refuse(self.at..self.at + length, Problem::BACK_REFERENCE),
            'b' | 'B' | '<' | '>' => {
                let length = length + boundary_kind_len(&rest[length..]);
                self.replace(length, &format!("(?-u:{})", &rest[..length]));
            }
            _ => match ascii_class(escaped) {
                // Two letters beyond ASCII fold into `k` and `s`, hence no folding.
                Some(class) => self.replace(length, &format!("(?-i:{class})")),
                None => self.copy(length),
            },
        }
        Ok(())
    }

    /// Copies a bracketed class, in which nothing but escaped classes is changed.
    fn class(&mut self) {
        let mut depth = 0;
        while let Some(next) = self.rest().chars().next() {
            let escaped = self.rest().chars().nth(1).unwrap_or_default();
            match next {
                '\\' => match ascii_class(escaped) {
                    Some(class) => self.replace(2, class),
                    None => self.copy((1 + escaped.len_utf8()).min(self.rest().len())),
                },
                '[' => {
                    depth += 1;
                    self.copy(class_opening_len(self.rest()));
                }
                ']' => {
                    depth -= 1;
                    self.copy(1);
                }
                _ => self.copy(next.len_utf8()),
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Copies a `<` that opens no parameter of path(): as a literal, it would match no path that
    /// was meant.
    fn angle(&mut self) -> Result<(), PatternError> {
        let rest = &self.rest()[1..];
        let Some((inside, _)) = rest.split_once('>') else {
            self.copy(1);
            return Ok(());
        };
        let mut names = inside.splitn(2, ':');
        if names.all(is_identifier) {
            let place = self.at..self.at + inside.len() + 2;
            return self.refuse(place, Problem::PATH_PARAMETER);
        }
        self.copy(1);
        Ok(())
    }

    fn open_group(&mut self) -> Result<(), PatternError> {
        let rest = self.rest();
        for (opening, problem) in refused_groups() {
            if rest.starts_with(opening) {
                return self.refuse(self.at..self.at + opening.len(), problem);
            }
        }
        for opening in ["(?P<", "(?<"] {
            let name = rest.strip_prefix(opening);
            if let Some((name, _)) = name.and_then(|name| name.split_once('>')) {
                self.check_name(name, self.at + opening.len())?;
                self.begin_capture(opening.len() + name.len() + 1, Some(name.into()));
                return Ok(());
            }
        }
        match rest.strip_prefix("(?") {
            Some(flags) => self.open_flags(flags),
            None => {
                self.begin_capture(1, None);
                Ok(())
            }
        }
    }

    /// Reads `(?flags)` or `(?flags:`.
    fn open_flags(&mut self, flags: &str) -> Result<(), PatternError> {
        let end = flags.find(|c: char| !c.is_ascii_alphabetic() && c != '-');
        let length = "(?".len() + end.map_or(0, |end| end + 1);
        let Some(opening) = self.rest().get(..length) else {
            self.copy("(?".len());
            return Ok(());
        };
        let set = opening.split('-').next();
        if set.is_some_and(|set| set.contains('x')) {
            return self.refuse(self.at..self.at + length, Problem::VERBOSE);
        }
        if opening.ends_with(':') {
            self.begin_group(length, opening);
        } else {
            self.write_as(opening, length);
        }
        Ok(())
    }

    fn begin_capture(&mut self, length: usize, name: Option<Arc<str>>) {
        if self.captures {
            self.groups.push(name);
            self.begin_group(length, "(");
        } else {
            self.begin_group(length, "(?:");
        }
    }

    fn begin_group(&mut self, length: usize, opening: &str) {
        self.level().has_content = true;
        self.open.push(Level {
            at_start: self.at_start,
            ..Level::default()
        });
        self.write_as(opening, length);
    }

    fn close_group(&mut self) -> Result<(), PatternError> {
        if !self.open.is_empty() {
            self.end_alternative(false)?;
        }
        let closed = self.at;
        self.write_as(")", 1);
        let Some(level) = self.open.pop() else {
            return Ok(());
        };
        self.at_start = !level.says_more;
        self.level().drops_slash |= level.drops_slash;
        if level.drops_slash && level.says_more && may_be_absent(self.rest()) {
            return self.refuse(closed..self.at + 1, Problem::OPTIONAL_START);
        }
        Ok(())
    }

    fn end_alternative(&mut self, another_follows: bool) -> Result<(), PatternError> {
        let at_start = self.at_start;
        let level = self.level();
        if !level.has_content && (level.has_alternatives || another_follows) {
            return self.refuse(self.at..self.at, Problem::EMPTY_ALTERNATIVE);
        }
        level.says_more |= !at_start;
        level.has_alternatives = true;
        level.has_content = false;
        Ok(())
    }

    fn check_name(&self, name: &str, at: usize) -> Result<(), PatternError> {
        let place = at..at + name.len();
        if !is_identifier(name) {
            return self.refuse(place, Problem::Identifier(name.to_owned()));
        }
        if self.groups.iter().flatten().any(|known| **known == *name) {
            return self.refuse(place, Problem::Duplicate(name.to_owned()));
        }
        Ok(())
    }

    fn refuse<T>(&self, place: Range<usize>, problem: Problem) -> Result<T, PatternError> {
        Err(PatternError::new(self.pattern, Some(place), problem))
    }
}

/// Writes Python's `\Z` as `\z`.
fn with_rust_end(pattern: &str) -> String {
    let mut escaped = false;
    pattern
        .chars()
        .map(|c| {
            let is_end = escaped && c == 'Z';
            escaped = c == '\\' && !escaped;
            if is_end { 'z' } else { c }
        })
        .collect()
}

fn refused_groups() -> [(&'static str, Problem); 5] {
    [
        ("(?=", Problem::LOOK_AROUND),
        ("(?!", Problem::LOOK_AROUND),
        ("(?<=", Problem::LOOK_AROUND),
        ("(?<!", Problem::LOOK_AROUND),
        ("(?P=", Problem::BACK_REFERENCE),
    ]
}

/// The ASCII meaning of `\d` and its like, as a class that may stand inside another.
fn ascii_class(escaped: char) -> Option<&'static str> {
    match escaped {
        'd' => Some("[0-9]"),
        'D' => Some("[^0-9]"),
        's' => Some("[\\t\\n\\x0B\\f\\r ]"),
        'S' => Some("[^\\t\\n\\x0B\\f\\r ]"),
        'w' => Some("[0-9A-Za-z_]"),
        'W' => Some("[^0-9A-Za-z_]"),
        _ => None,
    }
}

/// The length of `{start}`, `{end}` and their halves behind `\b`, which without them is followed by
/// anything.
fn boundary_kind_len(rest: &str) -> usize {
    if !rest.starts_with("{start") && !rest.starts_with("{end") {
        return 0;
    }
    rest.find('}').map_or(0, |end| end + 1)
}

/// The length of the `[` or `[^` of a class, and of a `]` behind it, which is a member.
fn class_opening_len(rest: &str) -> usize {
    ["[^]", "[]", "[^"]
        .iter()
        .find(|opening| rest.starts_with(**opening))
        .map_or(1, |opening| opening.len())
}

/// Whether a group is optional, by the quantifier behind it.
fn may_be_absent(rest: &str) -> bool {
    rest.starts_with(['?', '*']) || rest.starts_with("{0")
}

/// The length of `?`, `*`, `+` or `{..}`, with the `?` that makes it lazy.
fn quantifier_len(rest: &str) -> usize {
    let length = match rest.chars().next() {
        Some('?' | '*' | '+') => 1,
        Some('{') => rest.find('}').map_or(0, |end| end + 1),
        _ => return 0,
    };
    length + usize::from(rest[length..].starts_with('?'))
}
