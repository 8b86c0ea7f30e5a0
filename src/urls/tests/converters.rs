//! The built-in converters row by row, and what an application may register.
#![allow(clippy::unwrap_used, reason = "a row that fails shall fail the test")]

use crate::urls::converters::Converters;
use crate::urls::pattern::Pattern;
use crate::urls::tests::fixture::{Custom, converters, matched, path, table};

struct Row {
    converter: &'static str,
    accepts: &'static [&'static str],
    refuses: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        converter: "int",
        accepts: &[
            "0",
            "7",
            "007",
            "18446744073709551615",
            "00018446744073709551615",
        ],
        refuses: &[
            "",
            "-1",
            "+1",
            "1.0",
            "1e3",
            "0x1",
            " 1",
            "1 ",
            "1\n",
            "٤٢",
            "a",
            "1/2",
            "18446744073709551616",
            "99999999999999999999999",
        ],
    },
    Row {
        converter: "str",
        accepts: &["a", "-1", "a b", "é", "日本", "a.b", "a\nb", "%2F", "🦀"],
        refuses: &["", "a/b", "/", "a/"],
    },
    Row {
        converter: "slug",
        accepts: &["a", "A-b_9", "-", "_", "007"],
        refuses: &["", "a b", "é", "a.b", "a/b", "a\n", "٤"],
    },
    Row {
        converter: "uuid",
        accepts: &[
            "075194d3-6885-417e-a8a8-6c931e272f00",
            "00000000-0000-0000-0000-000000000000",
        ],
        refuses: &[
            "",
            "075194D3-6885-417E-A8A8-6C931E272F00",
            "075194d36885417ea8a86c931e272f00",
            "{075194d3-6885-417e-a8a8-6c931e272f00}",
            "075194d3-6885-417e-a8a8-6c931e272f0",
            "075194d3-6885-417e-a8a8-6c931e272f000",
            "g75194d3-6885-417e-a8a8-6c931e272f00",
        ],
    },
    Row {
        converter: "path",
        accepts: &["a", "a/b", "a//b", "a/", "é/日本"],
        refuses: &["", "a\n", "a\nb"],
    },
    Row {
        converter: "even",
        accepts: &["2", "10"],
        refuses: &["", "1", "21", "٤"],
    },
    Row {
        converter: "maybe",
        accepts: &["", "a", "abba"],
        refuses: &["c", "a/"],
    },
    Row {
        converter: "wide",
        accepts: &["a", "a/", "a//a", "/"],
        refuses: &["", "b"],
    },
    Row {
        converter: "short",
        accepts: &["a", "ab"],
        refuses: &["", "b", "aba"],
    },
];

#[test]
fn each_converter_takes_its_texts_and_no_others() {
    for row in ROWS {
        let pattern = path(&format!("x/<{}:value>", row.converter));
        for &text in row.accepts {
            let found = matched(&pattern, &format!("/x/{text}"));
            assert_eq!(found, Some(format!("value={text}")), "{}", row.converter);
        }
        for &text in row.refuses {
            let found = matched(&pattern, &format!("/x/{text}"));
            assert_eq!(found, None, "{} took {text:?}", row.converter);
        }
    }
}

#[test]
fn a_value_knows_its_border_inside_a_segment() {
    for (pattern, path_text, finds) in [
        ("<maybe:a>-<int:b>", "/-5", Some("a= b=5")),
        ("<short:a>b", "/ab", Some("a=a")),
        ("<short:a>b", "/abb", Some("a=ab")),
        ("<wide:a>b", "/a/ab", Some("a=a/a")),
        ("<even:a><int:b>", "/1234", None),
        ("<even:a><int:b>", "/1243", Some("a=124 b=3")),
    ] {
        let found = matched(&path(pattern), path_text);
        assert_eq!(found.as_deref(), finds, "{pattern} on {path_text}");
    }
}

#[test]
fn a_refusing_converter_leaves_the_path_to_the_next_route() {
    let routes = table(&[path("n/<even:n>/"), path("n/<int:n>/"), path("n/<name>/")]);
    for (text, route) in [
        ("/n/4/", 0),
        ("/n/5/", 1),
        ("/n/18446744073709551617/", 2),
        ("/n/x/", 2),
    ] {
        assert_eq!(
            routes.find(text).map(|found| found.route),
            Some(route),
            "{text}"
        );
    }
}

#[test]
fn a_registered_converter_is_read_as_re_path_reads() {
    struct Case {
        regex: &'static str,
        takes: &'static str,
        leaves: &'static str,
    }
    for case in [
        Case {
            regex: r"\d{4}",
            takes: "2024",
            leaves: "٢٠٢٤",
        },
        Case {
            regex: "a|b",
            takes: "b",
            leaves: "ab",
        },
        Case {
            regex: "(?i)yes|(no)",
            takes: "NO",
            leaves: "yesno",
        },
        Case {
            regex: "(?P<inner>x)+",
            takes: "xxx",
            leaves: "y",
        },
        Case {
            regex: ".",
            takes: "é",
            leaves: "éé",
        },
        Case {
            regex: "[[:alpha:]]+",
            takes: "ab",
            leaves: "a1",
        },
    ] {
        let mut converters = Converters::new();
        let custom = Custom {
            regex: case.regex,
            accepts: |_| true,
        };
        converters.register("own", custom).unwrap();
        let pattern = Pattern::path("<own:v>/<int:n>", &converters).unwrap();
        assert_eq!(pattern.parameters().collect::<Vec<_>>(), ["v", "n"]);
        let found = matched(&pattern, &format!("/{}/7", case.takes));
        assert_eq!(
            found,
            Some(format!("v={} n=7", case.takes)),
            "{}",
            case.regex
        );
        let found = matched(&pattern, &format!("/{}/7", case.leaves));
        assert_eq!(found, None, "{} took {}", case.regex, case.leaves);
    }
}

#[test]
fn a_clone_does_not_see_what_is_registered_later() {
    let mut original = converters();
    let clone = original.clone();
    let custom = Custom {
        regex: "x",
        accepts: |_| true,
    };
    original.register("later", custom).unwrap();
    assert!(Pattern::path("<later:x>", &original).is_ok());
    assert!(Pattern::path("<later:x>", &clone).is_err());
}

#[test]
fn values_that_stay_in_a_segment_are_told_from_those_that_may_not() {
    let mut converters = converters();
    for (name, regex) in [
        ("any", "(?s)."),
        ("not_slash", "[^/]"),
        ("literal", "a/b"),
        ("escaped", r"\x2f"),
        ("range", "[!-~]"),
        ("optional", "a?"),
        ("not_word", r"\W"),
        ("not_space", r"\S+"),
    ] {
        converters
            .register(
                name,
                Custom {
                    regex,
                    accepts: |_| true,
                },
            )
            .unwrap();
    }
    for (name, stays) in [
        ("int", true),
        ("str", true),
        ("slug", true),
        ("uuid", true),
        ("path", false),
        ("even", true),
        ("maybe", false),
        ("wide", false),
        ("short", true),
        ("any", false),
        ("not_slash", true),
        ("literal", false),
        ("escaped", false),
        ("range", false),
        ("optional", false),
        ("not_word", false),
        ("not_space", false),
    ] {
        let conversion = converters.find(name).unwrap();
        assert_eq!(conversion.stays_in_segment(), stays, "{name}");
    }
}
