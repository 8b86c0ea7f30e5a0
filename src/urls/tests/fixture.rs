//! Short ways to make patterns, and matches written as text.
#![allow(
    clippy::unwrap_used,
    reason = "a fixture that fails shall fail its test"
)]

use std::slice;
use std::sync::LazyLock;

use crate::urls::converters::{Converter, Converters};
use crate::urls::params::Params;
use crate::urls::pattern::Pattern;
use crate::urls::table::Table;

/// A converter made of an expression and a predicate.
pub(super) struct Custom {
    pub(super) regex: &'static str,
    pub(super) accepts: fn(&str) -> bool,
}

impl Converter for Custom {
    fn regex(&self) -> &str {
        self.regex
    }

    fn accepts(&self, value: &str) -> bool {
        (self.accepts)(value)
    }
}

/// The built-in converters and a few that are odd in one way each.
pub(super) fn converters() -> Converters {
    static CONVERTERS: LazyLock<Converters> = LazyLock::new(registered);
    CONVERTERS.clone()
}

fn registered() -> Converters {
    let mut converters = Converters::new();
    let custom = [
        // Refuses half of the values that it matches.
        (
            "even",
            r"\d+",
            (|value| value.ends_with(['0', '2', '4', '6', '8'])) as fn(&str) -> bool,
        ),
        // Matches nothing at all, too.
        ("maybe", "[ab]*", |_| true),
        // Spans slashes.
        ("wide", "[a/]+", |_| true),
        // Prefers the shorter alternative, and has a group.
        ("short", "a|(ab)", |_| true),
    ];
    for (name, regex, accepts) in custom {
        converters
            .register(name, Custom { regex, accepts })
            .unwrap();
    }
    converters
}

pub(super) fn path(pattern: &str) -> Pattern {
    Pattern::path(pattern, &converters()).unwrap()
}

pub(super) fn re_path(pattern: &str) -> Pattern {
    Pattern::re_path(pattern).unwrap()
}

pub(super) fn table(patterns: &[Pattern]) -> Table {
    Table::new(patterns.to_vec()).unwrap()
}

/// The parameters that `pattern`, alone in a table, finds in `path`: `"id=5 name=x"`, then
/// `"[arg, -]"` if there are positional arguments.
pub(super) fn matched(pattern: &Pattern, path: &str) -> Option<String> {
    let found = table(slice::from_ref(pattern)).find(path)?;
    assert_eq!(found.route, 0);
    Some(written(&found.params, path))
}

pub(super) fn written(params: &Params, path: &str) -> String {
    let mut words: Vec<String> = params
        .iter(path)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let args: Vec<&str> = params.args(path).map(|arg| arg.unwrap_or("-")).collect();
    if !args.is_empty() {
        words.push(format!("[{}]", args.join(", ")));
    }
    words.join(" ")
}
