//! A rewritten expression matches the same ASCII text.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any};
use proptest::sample::select;
use proptest::strategy::Strategy;
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq, proptest};
use regex_automata::meta::Regex;

use crate::urls::expression::Expression;
use crate::urls::pattern::Pattern;
use crate::urls::tests::fixture::converters;

const PIECES: &[&str] = &[
    "a",
    "b",
    "5",
    "-",
    "_",
    " ",
    "é",
    "/",
    ".",
    "[",
    "[^",
    "]",
    "[a-z]",
    "[^/]",
    "[[:alpha:]]",
    "[:^digit:]",
    "&&",
    "--",
    "~~",
    r"\d",
    r"\D",
    r"\w",
    r"\W",
    r"\s",
    r"\S",
    r"\b",
    r"\B",
    r"\b{start}",
    r"\<",
    r"\]",
    r"\[",
    r"\\",
    r"\.",
    r"\/",
    r"\x61",
    r"\x{35}",
    r"\p{L}",
    r"\PL",
    "(",
    "(?:",
    "(?i)",
    "(?-i:",
    "(?P<n>",
    "(?<m>",
    ")",
    ")",
    "|",
    "*",
    "+",
    "?",
    "{2}",
    "{1,}",
    "{",
    "}",
    "^",
    "$",
];

/// The refusals that are ours and not the parser's, by a word of each.
const OURS: &[&str] = &["alternative of", "leave out"];

fn texts(pieces: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    vec(select(pieces), 0..most).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn on_ascii_text_an_expression_means_what_was_written(
        pattern in texts(PIECES, 9),
        texts in vec(texts(&["a", "b", "5", "-", "_", " ", "/", "]", "[", "\\", "A", "&", "\n"], 5), 6),
    ) {
        let written = Regex::new(&format!(r"\A(?:{pattern})\z"));
        let read = Expression::of_converter(&pattern);
        let expression = match (&written, read) {
            (Err(_), read) => {
                // Unbalanced by itself, though it may be balanced inside the parentheses above.
                prop_assert!(read.is_err() || Regex::new(&pattern).is_ok());
                return Ok(());
            }
            (Ok(_), Err(error)) => {
                let error = error.to_string();
                let ours = OURS.iter().any(|words| error.contains(words));
                prop_assert!(ours || Regex::new(&pattern).is_err(), "{error}");
                return Ok(());
            }
            (Ok(_), Ok(expression)) => expression,
        };
        let anew = Regex::new(&format!(r"\A(?:{})\z", expression.regex()))
            .map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        for text in texts {
            let same = written.as_ref().is_ok_and(|written| written.is_match(&text));
            prop_assert_eq!(anew.is_match(&text), same, "{:?} as {}", text, expression.regex());
        }
    }

    #[test]
    fn no_text_whatever_makes_the_reader_panic(
        pattern in any::<String>(),
        ascii in "[ -~]{0,20}",
        pieces in texts(PIECES, 20),
    ) {
        for text in [pattern, ascii, pieces] {
            let _ = Expression::of_path(&text);
            let _ = Pattern::path(&text, &converters());
        }
    }
}
