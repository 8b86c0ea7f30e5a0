//! Why a pattern was refused: the pattern, the place in it, and what to write instead.

use std::error::Error;
use std::fmt;
use std::ops::Range;

/// A pattern or a converter that was refused.
///
/// Its text names the pattern, the place in it, and the remedy.
#[derive(Debug)]
pub(crate) struct PatternError {
    subject: Subject,
    text: String,
    place: Option<Range<usize>>,
    problem: Problem,
}

impl PatternError {
    /// An error at the bytes `place` of `pattern`, or about the whole of it.
    pub(super) fn new(pattern: &str, place: Option<Range<usize>>, problem: Problem) -> Self {
        Self {
            subject: Subject::Pattern,
            text: pattern.to_owned(),
            place,
            problem,
        }
    }

    /// An error about `count` patterns that were compiled together.
    pub(super) fn of_table(count: usize, problem: Problem) -> Self {
        Self {
            subject: Subject::Table(count),
            text: String::new(),
            place: None,
            problem,
        }
    }

    /// The same error, said of the expression of the converter `name`.
    pub(super) fn of_converter(self, name: &str) -> Self {
        Self {
            subject: Subject::Converter(name.to_owned()),
            ..self
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Pattern => write!(f, "pattern `{}`", self.text)?,
            Subject::Table(count) => write!(f, "{count} patterns that were each accepted")?,
            Subject::Converter(name) => write!(f, "converter `{name}` with `{}`", self.text)?,
        }
        if let Some(place) = &self.place {
            let before = self.text.get(..place.start).unwrap_or(&self.text);
            write!(f, ", character {}", before.chars().count() + 1)?;
            match self.text.get(place.clone()) {
                Some(excerpt) if !excerpt.is_empty() => write!(f, " (`{excerpt}`)")?,
                Some(_) | None => {}
            }
        }
        write!(f, ": {}", self.problem)
    }
}

impl Error for PatternError {}

/// Whose text is quoted.
#[derive(Debug)]
enum Subject {
    Pattern,
    Converter(String),
    /// This many patterns together; none of them is quoted.
    Table(usize),
}

/// The fault.
#[derive(Debug)]
pub(super) enum Problem {
    /// `<name` without `>`, or `{name` without `}`.
    Unclosed { open: char, close: char },
    /// `<name:..>` where nobody registered `name`.
    UnknownConverter { name: String, known: Vec<String> },
    /// A parameter or a converter whose name is no identifier.
    Identifier(String),
    /// One name for two parameters of a pattern.
    Duplicate(String),
    /// The compiled expression needs more than this many bytes.
    TooLarge(usize),
    /// The regex parser's refusal, in its words.
    Syntax(String),
    /// Something that can be said in one sentence; see the constants.
    Fixed(&'static str),
}

impl Problem {
    pub(super) const STRAY_BRACE: Self =
        Self::Fixed("`}` closes nothing; write `}}` for a brace in the path");
    /// `{*name}`, matchit's notation for the rest of a path.
    pub(super) const CATCH_ALL: Self = Self::Fixed(
        "path() has no catch-all braces; write `<path:name>` for a parameter that spans slashes",
    );
    pub(super) const LOOKS_LIKE_EXPRESSION: Self = Self::Fixed(
        "path() takes plain text with `<converter:name>`, and this is a regular expression; use re_path()",
    );
    /// `<int:id>` or `<id>` in a regular expression.
    pub(super) const PATH_PARAMETER: Self = Self::Fixed(
        "re_path() takes a regular expression, and this is a parameter of path(); \
         write a group such as `(?P<name>..)`, or `[<]` for a `<` in the path",
    );
    /// `(?=..)`, `(?!..)`, `(?<=..)`, `(?<!..)`.
    pub(super) const LOOK_AROUND: Self = Self::Fixed(
        "look-ahead and look-behind are not supported, because matching takes linear time; \
         declare the exception as a route of its own in front of this one",
    );
    /// `\1` or `(?P=name)`.
    pub(super) const BACK_REFERENCE: Self = Self::Fixed(
        "back-references are not supported, because matching takes linear time; \
         capture both places and compare them in the factory",
    );
    /// `a|` or `(|a)`.
    pub(super) const EMPTY_ALTERNATIVE: Self = Self::Fixed(
        "an alternative of `|` is empty; write `(?:..)?` for something that may be absent",
    );
    /// `(?:/en)?/ws`: without the group, the slash behind it would be the one in front of the path.
    pub(super) const OPTIONAL_START: Self = Self::Fixed(
        "a group that may be absent begins with the slash in front of the path; \
         let it end with its slash, as in `(?:en/)?ws/`",
    );
    /// `(?x)`.
    pub(super) const VERBOSE: Self = Self::Fixed(
        "the flag `x` is not supported; write the expression without blanks and comments",
    );
    pub(super) const CONVERTER_TAKEN: Self =
        Self::Fixed("a converter of this name exists already; choose another name");
    pub(super) const CONVERTER_ANCHORED: Self =
        Self::Fixed("a converter matches inside a path; leave out `^`, `$`, `\\A` and `\\z`");
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed { open: '{', close } => write!(
                f,
                "`{{` is never closed; add `{close}`, or write `{{{{` for a brace in the path"
            ),
            Self::Unclosed { open, close } => write!(
                f,
                "`{open}` is never closed; add `{close}`, or use re_path() if the path itself holds it"
            ),
            Self::UnknownConverter { name, known } => write!(
                f,
                "there is no converter `{name}`; known are {}. Register `{name}` before the route that uses it",
                known.join(", ")
            ),
            Self::Identifier(name) => write!(
                f,
                "`{name}` is no name; use letters, digits and `_`, and no digit in front"
            ),
            Self::Duplicate(name) => write!(
                f,
                "the parameter `{name}` is there twice; give each its own name"
            ),
            Self::TooLarge(limit) => write!(
                f,
                "the compiled expression would exceed {limit} bytes; \
                 lower its counted repetitions, or split it into several routes"
            ),
            Self::Syntax(message) => f.write_str(message),
            Self::Fixed(sentence) => f.write_str(sentence),
        }
    }
}
