//! The table against an oracle that shares none of its means: each route in turn, `path()` by
//! backtracking over its pieces, `re_path()` by one plain regular expression.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, any};
use proptest::sample::select;
use proptest::strategy::Strategy;
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert_eq, prop_oneof, proptest};
use regex_automata::meta::Regex;

use crate::urls::pattern::Pattern;
use crate::urls::table::Table;
use crate::urls::tests::fixture::converters;

/// A route as it is generated: prefixes from the outermost to the innermost, then the pattern
/// itself.
#[derive(Clone, Debug)]
struct Route {
    prefixes: Vec<Vec<Piece>>,
    own: Own,
}

#[derive(Clone, Debug)]
enum Own {
    Path(Vec<Piece>),
    Expression {
        /// The expression for `re_path()`.
        written: String,
        /// The same for the oracle: without beginning and end, and with classes spelled out.
        plain: String,
        /// Texts it is likely to match.
        near: String,
    },
}

#[derive(Clone, Debug)]
enum Piece {
    Text(&'static str),
    Parameter(&'static Kind),
}

/// A converter as the oracle knows it.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    /// How many bytes of a text it may take, in the order of preference.
    takes: fn(&str) -> Vec<usize>,
    accepts: fn(&str) -> bool,
    near: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        name: "int",
        takes: |text| longest_first(text, 1, |c| c.is_ascii_digit()),
        accepts: |value| value.trim_start_matches('0').len() < 20,
        near: &["1", "22", "99999999999999999999", "-1", "٤"],
    },
    Kind {
        name: "str",
        takes: |text| longest_first(text, 1, |c| c != '/'),
        accepts: |_| true,
        near: &["a", "new", "1", "é-1", "x\n"],
    },
    Kind {
        name: "slug",
        takes: |text| longest_first(text, 1, |c| c.is_ascii_alphanumeric() || "-_".contains(c)),
        accepts: |_| true,
        near: &["a-b", "new", "_", "1", "é"],
    },
    Kind {
        name: "uuid",
        takes: uuid,
        accepts: |_| true,
        near: &["075194d3-6885-417e-a8a8-6c931e272f00", "a"],
    },
    Kind {
        name: "path",
        takes: |text| longest_first(text, 1, |c| c != '\n'),
        accepts: |_| true,
        near: &["a", "a/b", "new/1/", "//"],
    },
    Kind {
        name: "even",
        takes: |text| longest_first(text, 1, |c| c.is_ascii_digit()),
        accepts: |value| value.bytes().last().is_some_and(|digit| digit % 2 == 0),
        near: &["2", "1", "14"],
    },
    Kind {
        name: "maybe",
        takes: |text| longest_first(text, 0, |c| "ab".contains(c)),
        accepts: |_| true,
        near: &["", "a", "ab"],
    },
    Kind {
        name: "wide",
        takes: |text| longest_first(text, 1, |c| "a/".contains(c)),
        accepts: |_| true,
        near: &["a", "a/a", "/"],
    },
    Kind {
        name: "short",
        takes: |text| match (text.starts_with('a'), text.starts_with("ab")) {
            (_, true) => vec![1, 2],
            (true, false) => vec![1],
            (false, _) => vec![],
        },
        accepts: |_| true,
        near: &["a", "ab"],
    },
];

fn longest_first(text: &str, least: usize, member: impl Fn(char) -> bool) -> Vec<usize> {
    let run = text.find(|c| !member(c)).unwrap_or(text.len());
    let borders = (least..=run).filter(|&at| text.is_char_boundary(at));
    borders.rev().collect()
}

fn uuid(text: &str) -> Vec<usize> {
    let fits = text.len() >= 36
        && text
            .bytes()
            .take(36)
            .enumerate()
            .all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => b"0123456789abcdef".contains(&byte),
            });
    if fits { vec![36] } else { vec![] }
}

/// The result for a route: named values and positional arguments.
type Values = (BTreeMap<String, String>, Vec<Option<String>>);

impl Route {
    /// The pattern under test.
    fn pattern(&self) -> Result<Pattern, TestCaseError> {
        let converters = converters();
        let fail = |error| TestCaseError::fail(format!("{error}"));
        let mut pattern = match &self.own {
            Own::Path(pieces) => Pattern::path(&written(pieces), &converters),
            Own::Expression { written, .. } => Pattern::re_path(written),
        }
        .map_err(fail)?;
        for prefix in self.prefixes.iter().rev() {
            let prefix = Pattern::path(&written(prefix), &converters).map_err(fail)?;
            pattern = pattern.nested_in(&prefix).map_err(fail)?;
        }
        Ok(pattern)
    }

    /// Prefixes and pattern in a row, joined at slashes; each parameter with its name.
    fn pieces(&self) -> Vec<(Piece, String)> {
        let own: &[Piece] = match &self.own {
            Own::Path(pieces) => pieces,
            Own::Expression { .. } => &[],
        };
        let mut joined: Vec<(Piece, String)> = Vec::new();
        for pieces in self.prefixes.iter().map(Vec::as_slice).chain([own]) {
            let begins_with_more = named(pieces).next().is_some();
            if begins_with_more && needs_slash(&joined) {
                joined.push((Piece::Text("/"), String::new()));
            }
            joined.extend(named(pieces));
        }
        if matches!(&self.own, Own::Expression { plain, .. } if !plain.is_empty())
            && needs_slash(&joined)
        {
            joined.push((Piece::Text("/"), String::new()));
        }
        joined
    }

    /// The oracle's result.
    fn means(&self, path: &str) -> Option<Values> {
        let pieces = self.pieces();
        let rest = match &self.own {
            Own::Path(_) => None,
            Own::Expression { plain, .. } => Regex::new(&format!(r"^(?:{plain})$")).ok(),
        };
        let mut taken = Vec::new();
        let end = walk(&pieces, path, &mut taken, &|rest_of_path| match &rest {
            None => rest_of_path.is_empty(),
            Some(regex) => regex.is_match(rest_of_path),
        })?;
        let mut named = BTreeMap::new();
        for ((kind, name), value) in pieces.iter().filter_map(parameter).zip(taken) {
            if !(kind.accepts)(value) {
                return None;
            }
            named.insert(name.to_owned(), value.to_owned());
        }
        let mut args = Vec::new();
        if let Some(regex) = rest {
            let mut captures = regex.create_captures();
            regex.captures(end, &mut captures);
            let names: Vec<Option<String>> = captures
                .group_info()
                .pattern_names(captures.pattern()?)
                .map(|name| name.map(str::to_owned))
                .collect();
            let any_named = names.iter().any(Option::is_some);
            for (at, name) in names.into_iter().enumerate().skip(1) {
                let value = captures.get_group(at).map(|span| end[span].to_owned());
                match (name, value) {
                    (Some(name), Some(value)) => drop(named.insert(name, value)),
                    (None, value) if !any_named => args.push(value),
                    _ => {}
                }
            }
        }
        Some((named, args))
    }

    /// A path that this route is likely to mean; `choices` are spent on alternatives.
    fn near(&self, mut choices: impl Iterator<Item = usize>) -> String {
        let mut path = String::new();
        for (piece, _) in self.pieces() {
            path.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Parameter(kind) => kind.near[choices.next().unwrap_or(0) % kind.near.len()],
            });
        }
        if let Own::Expression { near, .. } = &self.own {
            path.push_str(near);
        }
        path
    }
}

/// The pieces as `path()` is given them, with the parameters named by their order.
fn written(pieces: &[Piece]) -> String {
    let mut names = NAMES.iter();
    let words = pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text.replace('{', "{{").replace('}', "}}"),
        Piece::Parameter(kind) => {
            let name = names.next().copied().unwrap_or("z");
            match kind.name {
                "str" => format!("{{{name}}}"),
                other => format!("<{other}:{name}>"),
            }
        }
    });
    words.collect()
}

/// The same pieces with their names, without the slashes in front.
fn named(pieces: &[Piece]) -> impl Iterator<Item = (Piece, String)> {
    let mut names = NAMES.iter();
    let mut in_front = true;
    pieces.iter().filter_map(move |piece| match piece {
        Piece::Text(text) => {
            let text = if in_front {
                text.trim_start_matches('/')
            } else {
                text
            };
            in_front &= text.is_empty();
            (!text.is_empty()).then(|| (Piece::Text(text), String::new()))
        }
        Piece::Parameter(_) => {
            in_front = false;
            let name = names.next().copied().unwrap_or("z");
            Some((piece.clone(), name.to_owned()))
        }
    })
}

fn needs_slash(joined: &[(Piece, String)]) -> bool {
    match joined.last() {
        None => false,
        Some((Piece::Text(text), _)) => !text.ends_with('/'),
        Some((Piece::Parameter(_), _)) => true,
    }
}

fn parameter((piece, name): &(Piece, String)) -> Option<(&'static Kind, &str)> {
    match piece {
        Piece::Text(_) => None,
        Piece::Parameter(kind) => Some((kind, name)),
    }
}

/// Takes the pieces off `path` one by one, trying the next choice where the rest does not fit.
/// Answers with what is left.
fn walk<'p>(
    pieces: &[(Piece, String)],
    path: &'p str,
    taken: &mut Vec<&'p str>,
    fits: &dyn Fn(&str) -> bool,
) -> Option<&'p str> {
    let Some(((first, _), others)) = pieces.split_first() else {
        return fits(path).then_some(path);
    };
    match first {
        Piece::Text(text) => walk(others, path.strip_prefix(text)?, taken, fits),
        Piece::Parameter(kind) => {
            for length in (kind.takes)(path) {
                let (value, rest) = path.split_at(length);
                taken.push(value);
                if let Some(end) = walk(others, rest, taken, fits) {
                    return Some(end);
                }
                taken.pop();
            }
            None
        }
    }
}

const NAMES: &[&str] = &["a", "b", "c", "d", "e", "f", "g", "h"];

fn pieces(most: usize) -> impl Strategy<Value = Vec<Piece>> {
    let text = select(
        &[
            "/", "/", "/", "a", "b", "new", "1", "-", ".", "é", "{", "}", "+", "x/", "//",
        ][..],
    );
    let piece = prop_oneof![
        3 => text.prop_map(Piece::Text),
        2 => select(KINDS.iter().collect::<Vec<_>>()).prop_map(Piece::Parameter),
    ];
    vec(piece, 0..most)
}

/// Pieces of an expression: as written, spelled out, and a text that matches.
const WRITTEN: &[(&str, &str, &str)] = &[
    (r"\d+", "[0-9]+", "12"),
    (r"(\d)", "([0-9])", "1"),
    (r"(?P<a>\w+)", "(?P<a>[0-9A-Za-z_]+)", "new"),
    (r"(?<b>[^/]+)", "(?P<b>[^/]+)", "a-b"),
    (r"(?P<c>[\w-]+)?", "(?P<c>[-0-9A-Za-z_]+)?", "a"),
    ("(x)?", "(x)?", ""),
    ("(?P<q>x)?", "(?P<q>x)?", "x"),
    (".", ".", "é"),
    (".*", ".*", "a/b"),
    (r"\s", "[\t\n\u{b}\u{c}\r ]", " "),
    ("/", "/", "/"),
    ("/", "/", "/"),
    ("new", "new", "new"),
    ("a", "a", "a"),
    (r"\.", "[.]", "."),
    ("(?:a|b)", "(?:a|b)", "b"),
    ("|", "|", ""),
];

fn expression() -> impl Strategy<Value = Own> {
    let beginning = select(&["", "", "^", "/", "^/", r"\A"][..]);
    let end = select(&["", "", "$", r"\Z", r"\z"][..]);
    (vec(select(WRITTEN), 1..6), beginning, end).prop_filter_map(
        "well-formed, and the oracle's part does not begin with a slash",
        |(pieces, beginning, end)| {
            let joined = |part: fn(&(&'static str, &'static str, &'static str)) -> &'static str| {
                pieces.iter().map(part).collect::<String>()
            };
            let plain = joined(|piece| piece.1);
            let slash_first = plain.split('|').any(|branch| branch.starts_with('/'));
            let empty = plain.split('|').any(str::is_empty);
            (!slash_first && !empty && Regex::new(&plain).is_ok()).then(|| Own::Expression {
                written: format!("{beginning}{}{end}", joined(|piece| piece.0)),
                near: joined(|piece| piece.2),
                plain,
            })
        },
    )
}

/// Few texts and parameters in few segments, so that many routes share a path.
fn segments() -> impl Strategy<Value = Vec<Piece>> {
    let is_plain = |kind: &&Kind| ["int", "str", "slug", "even"].contains(&kind.name);
    let plain: Vec<&Kind> = KINDS.iter().filter(is_plain).collect();
    let segment = prop_oneof![
        select(&["a", "new", "1"][..]).prop_map(Piece::Text),
        select(plain).prop_map(Piece::Parameter),
    ];
    vec(segment, 1..4).prop_map(|segments| {
        let joined = segments
            .into_iter()
            .flat_map(|segment| [Piece::Text("/"), segment]);
        joined.skip(1).collect()
    })
}

fn route() -> impl Strategy<Value = Route> {
    let own = prop_oneof![
        2 => pieces(7).prop_map(Own::Path),
        2 => segments().prop_map(Own::Path),
        1 => expression(),
    ];
    let prefixes = prop_oneof![
        3 => Just(Vec::new()),
        1 => vec(pieces(4), 1..3),
    ];
    (prefixes, own).prop_map(|(prefixes, own)| Route { prefixes, own })
}

/// A change that makes a fitting path a near miss, or leaves it.
#[derive(Clone, Debug)]
enum Change {
    Nothing,
    Drop(usize),
    Insert(usize, &'static str),
    Append(&'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let text = || select(&["/", "a", "1", "-", "é", "\n", "b", "x"][..]);
    prop_oneof![
        3 => Just(Change::Nothing),
        1 => any::<usize>().prop_map(Change::Drop),
        1 => (any::<usize>(), text()).prop_map(|(at, text)| Change::Insert(at, text)),
        1 => text().prop_map(Change::Append),
    ]
}

fn changed(path: &str, change: &Change) -> String {
    let mut chars: Vec<char> = path.chars().collect();
    match change {
        Change::Nothing => {}
        Change::Drop(at) if !chars.is_empty() => drop(chars.remove(at % chars.len())),
        Change::Drop(_) => {}
        Change::Insert(at, text) => {
            let at = at % (chars.len() + 1);
            chars.splice(at..at, text.chars());
        }
        Change::Append(text) => chars.extend(text.chars()),
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_table_answers_as_trying_each_route_in_turn(
        routes in vec(route(), 1..9),
        visits in vec((any::<usize>(), vec(any::<usize>(), 6), change(), select(&["", "/", "//"][..])), 12),
    ) {
        let patterns = routes.iter().map(Route::pattern).collect::<Result<Vec<_>, _>>()?;
        let table = Table::new(patterns).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for (route, choices, change, slashes) in visits {
            let near = routes[route % routes.len()].near(choices.into_iter());
            let path = changed(&near, &change);
            let stripped = path.trim_start_matches('/');
            let expected = routes
                .iter()
                .enumerate()
                .find_map(|(at, route)| Some((at, route.means(stripped)?)));
            let asked = format!("{slashes}{path}");
            let found = table.find(&asked).map(|found| {
                let named = found.params.iter(&asked);
                let named = named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                let args = found.params.args(&asked).map(|arg| arg.map(str::to_owned)).collect();
                (found.route, (named, args))
            });
            prop_assert_eq!(found, expected, "{:?}", path);
        }
    }
}
