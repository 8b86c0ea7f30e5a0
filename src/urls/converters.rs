//! Converters, as in `<int:id>`: the five built-in ones and those that an application registers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use regex_automata::nfa::thompson::{NFA, State};

use crate::urls::error::{PatternError, Problem};
use crate::urls::expression::Expression;
use crate::urls::params::is_identifier;

/// How a custom `<name:param>` of `path()` matches.
///
/// This is Django's converter: [`regex`](Self::regex) says which text the parameter takes, and
/// [`accepts`](Self::accepts) stands for a `to_python` that does not raise `ValueError`.
///
/// The expression is read as `re_path()` reads its own: `\d`, `\w` and `\s` are ASCII. Its groups
/// are not captured, and `^` and `$` are refused, since a converter matches inside a path.
pub trait Converter: Send + Sync + 'static {
    /// The regular expression of one value. It is read once, when the converter is registered.
    fn regex(&self) -> &str;

    /// Whether `value`, which matches [`regex`](Self::regex), is one after all. If it is not,
    /// routing continues with the next route.
    fn accepts(&self, value: &str) -> bool {
        let _ = value;
        true
    }
}

/// The converters a pattern may use, by name. A clone shares them until one of the two registers
/// another.
#[derive(Clone, Debug)]
pub(crate) struct Converters {
    by_name: Arc<BTreeMap<String, Arc<Conversion>>>,
}

impl Converters {
    /// The built-in `int`, `str`, `slug`, `uuid` and `path`.
    pub(crate) fn new() -> Self {
        let mut converters = Self {
            by_name: Arc::default(),
        };
        for (name, converter) in BUILT_IN {
            converters
                .register(name, converter)
                .expect("built-in converters are well-formed");
        }
        converters
    }

    /// Adds `converter` as `name`.
    pub(crate) fn register(
        &mut self,
        name: &str,
        converter: impl Converter,
    ) -> Result<(), PatternError> {
        let regex = converter.regex();
        let refuse = |problem| Err(PatternError::new(regex, None, problem).of_converter(name));
        if !is_identifier(name) {
            return refuse(Problem::Identifier(name.to_owned()));
        }
        if self.by_name.contains_key(name) {
            return refuse(Problem::CONVERTER_TAKEN);
        }
        let expression =
            Expression::of_converter(regex).map_err(|error| error.of_converter(name))?;
        let conversion = Conversion {
            stays_in_segment: !expression.may_be_empty() && !may_hold_slash(expression.regex()),
            expression,
            converter: Box::new(converter),
        };
        Arc::make_mut(&mut self.by_name).insert(name.to_owned(), Arc::new(conversion));
        Ok(())
    }

    pub(super) fn find(&self, name: &str) -> Option<&Arc<Conversion>> {
        self.by_name.get(name)
    }

    /// All names, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// The converter of `<name>` and `{name}`.
pub(super) const DEFAULT_NAME: &str = "str";

/// A registered converter with its expression read.
pub(super) struct Conversion {
    expression: Expression,
    stays_in_segment: bool,
    converter: Box<dyn Converter>,
}

impl Conversion {
    /// The expression to compile, which has neither groups nor anchors.
    pub(super) fn regex(&self) -> &str {
        self.expression.regex()
    }

    /// Whether every value is part of one segment: never empty and without `/`.
    pub(super) fn stays_in_segment(&self) -> bool {
        self.stays_in_segment
    }

    pub(super) fn accepts(&self, value: &str) -> bool {
        self.converter.accepts(value)
    }
}

impl fmt::Debug for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Conversion")
            .field(&self.converter.regex())
            .finish()
    }
}

/// A converter that is always there.
struct BuiltIn {
    regex: &'static str,
    accepts: fn(&str) -> bool,
}

impl Converter for BuiltIn {
    fn regex(&self) -> &str {
        self.regex
    }

    fn accepts(&self, value: &str) -> bool {
        (self.accepts)(value)
    }
}

/// Whether a match of `regex` may contain `/`. If that is hard to decide, the answer is yes.
fn may_hold_slash(regex: &str) -> bool {
    let config = NFA::config().nfa_size_limit(Some(EXAMINED_BYTES));
    // Anchored, since otherwise the automaton begins by skipping text of any kind.
    let built = NFA::compiler()
        .configure(config)
        .build(&format!(r"\A(?:{regex})"));
    let Ok(automaton) = built else {
        return true;
    };
    automaton.states().iter().any(|state| match state {
        State::ByteRange { trans } => trans.matches_byte(b'/'),
        State::Sparse(sparse) => sparse.matches_byte(b'/').is_some(),
        State::Dense(dense) => dense.matches_byte(b'/').is_some(),
        _ => false,
    })
}

/// The largest automaton of a converter that is searched for slashes.
const EXAMINED_BYTES: usize = 1 << 20;

const BUILT_IN: [(&str, BuiltIn); 5] = [
    (
        "int",
        BuiltIn {
            regex: "[0-9]+",
            accepts: |value| value.parse::<u64>().is_ok(),
        },
    ),
    ("path", matching(".+")),
    ("slug", matching("[-a-zA-Z0-9_]+")),
    (DEFAULT_NAME, matching("[^/]+")),
    (
        "uuid",
        matching("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    ),
];

/// Accepts whatever `regex` matches.
const fn matching(regex: &'static str) -> BuiltIn {
    BuiltIn {
        regex,
        accepts: |_| true,
    }
}
