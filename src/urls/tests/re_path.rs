//! `re_path()`: the promises for regular expressions.

use crate::urls::tests::fixture::{matched, re_path};

/// The expression of Django's order-tracking tutorial, verbatim.
const TUTORIAL: &str = r"ws/order-tracking/(?P<order_id>\d+)/$";

struct Row {
    pattern: &'static str,
    path: &'static str,
    finds: Option<&'static str>,
}

const fn row(pattern: &'static str, path: &'static str, finds: Option<&'static str>) -> Row {
    Row {
        pattern,
        path,
        finds,
    }
}

fn check(rows: &[Row]) {
    for row in rows {
        let found = matched(&re_path(row.pattern), row.path);
        assert_eq!(
            found.as_deref(),
            row.finds,
            "`{}` on {:?}",
            row.pattern,
            row.path
        );
    }
}

#[test]
fn the_tutorials_pattern_works_verbatim() {
    assert_eq!(re_path(TUTORIAL).source(), TUTORIAL);
    assert_eq!(
        re_path(TUTORIAL).parameters().collect::<Vec<_>>(),
        ["order_id"]
    );
    check(&[
        row(TUTORIAL, "/ws/order-tracking/5/", Some("order_id=5")),
        row(TUTORIAL, "ws/order-tracking/5/", Some("order_id=5")),
        row(TUTORIAL, "//ws/order-tracking/5/", Some("order_id=5")),
        row(
            TUTORIAL,
            "/ws/order-tracking/99999999999999999999999/",
            Some("order_id=99999999999999999999999"),
        ),
        row(TUTORIAL, "/ws/order-tracking/٤٢/", None),
        row(TUTORIAL, "/ws/order-tracking/5", None),
        row(TUTORIAL, "/ws/order-tracking/5/\n", None),
        row(TUTORIAL, "/ws/order-tracking/5/x", None),
        row(TUTORIAL, "/x/ws/order-tracking/5/", None),
        row(TUTORIAL, "/ws/order-tracking//", None),
    ]);
}

#[test]
fn an_expression_is_about_the_whole_path() {
    check(&[
        row("bar", "/bar", Some("")),
        row("bar", "/xx/bar/yy", None),
        row("bar", "/bar/yy", None),
        row("a|b", "/a", Some("")),
        row("a|b", "/b", Some("")),
        row("a|b", "/ab", None),
        row("a|b", "/ax", None),
        row("a|b", "/xb", None),
        row("^a|b$", "/ax", None),
        row("(?m)^a$", "/a\nb", None),
        row("(?m)a$", "/a\n", None),
        row("a$", "/a\n", None),
        row("", "/", Some("")),
        row("^$", "/", Some("")),
        row("^$", "/\n", None),
        row("a(?i)b", "/aB", Some("")),
        row("a(?i)b", "/AB", None),
    ]);
}

#[test]
fn the_beginning_and_the_end_may_be_written() {
    for beginning in [
        "", "^", "/", "^/", r"\A", r"\A/", r"^\/", "/?", "^/?", "//", "/+", "(?i)^/", "(?:^|/)",
        "(?:^/)",
    ] {
        for end in ["", "$", r"\z", r"\Z", "$$", "(?:$)", r"(?:\Z)"] {
            let pattern = re_path(&format!(r"{beginning}ws/(?P<id>\d+){end}"));
            for (path, finds) in [
                ("/ws/5", Some("id=5")),
                ("ws/5", Some("id=5")),
                ("//ws/5", Some("id=5")),
                ("/ws/5\n", None),
                ("/x/ws/5", None),
                ("/ws/5/", None),
            ] {
                let found = matched(&pattern, path);
                assert_eq!(
                    found.as_deref(),
                    finds,
                    "`{}` on {path:?}",
                    pattern.source()
                );
            }
        }
    }
}

#[test]
fn each_alternative_may_write_its_beginning() {
    check(&[
        row("^/a/$|^/b/$", "/b/", Some("")),
        row("/a|/b", "/b", Some("")),
        row("(?:/a|/b)/c", "/b/c", Some("")),
        row("(?:/a|/b)/c", "/bc", None),
        row("(/a|b)/c", "/a/c", Some("[a]")),
        row("(^|/)(x)", "/x", Some("[, x]")),
        row("(?:a|^)/b", "/a/b", Some("")),
        row("a/^b", "/a/b", None),
        row("(/)?a", "/a", Some("[]")),
        row("^(?:en/)?ws", "/ws", Some("")),
        row("^(?:en/)?ws", "/en/ws", Some("")),
        row("^(?:/en)+/ws", "/en/ws", Some("")),
        row(r"a\Zb|c\Z", "/c", Some("")),
        row(r"a\\Z", r"/a\Z", Some("")),
    ]);
}

#[test]
fn escaped_classes_are_ascii_and_everything_else_is_unicode() {
    check(&[
        row(r"\d", "/5", Some("")),
        row(r"\d", "/٥", None),
        row(r"[\d]+", "/٥", None),
        row(r"[^\d]", "/٥", Some("")),
        row(r"\D", "/٥", Some("")),
        row(r"[\D]", "/5", None),
        row(r"\w+", "/aZ_9", Some("")),
        row(r"\w", "/é", None),
        row(r"(?i)\w", "/\u{212a}", None),
        row(r"[\w-]+", "/a-b", Some("")),
        row(r"[-\w.]+", "/a-b.c", Some("")),
        row(r"[\w-]+", "/é", None),
        row(r"\W", "/é", Some("")),
        row(r"[^\W]", "/é", None),
        row(r"a\sb", "/a b", Some("")),
        row(r"a\sb", "/a\u{a0}b", None),
        row(r"a\Sb", "/a\u{a0}b", Some("")),
        row(r"[\s]", "/\u{b}", Some("")),
        row(r"a\b.", "/aé", Some("")),
        row(r"a\b.", "/ab", None),
        row(r"a\B.", "/ab", Some("")),
        row(r"a\B.", "/aé", None),
        row(r"é\Bé", "/éé", Some("")),
        row(r"a\b{end}.", "/aé", Some("")),
        row(r"a\>.", "/aé", Some("")),
        row(".", "/é", Some("")),
        row("..", "/é", None),
        row(".", "/\n", None),
        row("(?s).", "/\n", Some("")),
        row("é+", "/ééé", Some("")),
        row("[à-ü]+", "/éü", Some("")),
        row("(?i)É", "/é", Some("")),
        row(r"\p{Greek}+", "/λόγος", Some("")),
        row(r"[\]\d]+", "/]5", Some("")),
        row(r"[]\d]+", "/]5", Some("")),
        row(r"[^]\d]+", "/x", Some("")),
        row(r"[a[\d]]+", "/a5", Some("")),
        row(r"[\d&&[^5]]", "/5", None),
        row(r"\\d", r"/\d", Some("")),
        row("[](|]+", "/](|", Some("")),
        row("[^](|]+", "/x", Some("")),
        row("[^](|]+", "/(", None),
        row(r"[a\](|]+", "/](|", Some("")),
        row("[[:alpha:](|]+", "/(|a", Some("")),
    ]);
}

#[test]
fn an_angle_bracket_that_opens_no_parameter_of_path_is_itself() {
    check(&[
        row("[<]int:id>", "/<int:id>", Some("")),
        row(r"\x3Cid>", "/<id>", Some("")),
        row("[<id>]+", "/<id>", Some("")),
        row("<-id>", "/<-id>", Some("")),
        row("<a:b:c>", "/<a:b:c>", Some("")),
        row("<>", "/<>", Some("")),
        row("a<b", "/a<b", Some("")),
        row("a>b<c", "/a>b<c", Some("")),
        row(r"\<id\>", "/id", Some("")),
    ]);
}

#[test]
fn groups_are_named_or_positional_as_in_django() {
    check(&[
        row(r"(?P<a>\d)(?<b>\d)", "/12", Some("a=1 b=2")),
        row(r"(\d)/(\w+)", "/1/x", Some("[1, x]")),
        row(r"(\d)/(?P<a>\w+)", "/1/x", Some("a=x")),
        row(r"(?:(\d)|(\w))", "/x", Some("[-, x]")),
        row(r"(?P<a>\d)?x", "/x", Some("")),
        row(r"(\d)?x", "/x", Some("[-]")),
        row(r"(\d)?(?P<a>x)", "/x", Some("a=x")),
        row("()x", "/x", Some("[]")),
        row("(a(b)?)(c)", "/ac", Some("[a, -, c]")),
        row("(a)+", "/aaa", Some("[a]")),
        row("(a){0}b", "/b", Some("[-]")),
        row("(?P<größe>x)", "/x", Some("größe=x")),
        row("(?P<a>.+)/(?P<b>.+)", "/x/y/z", Some("a=x/y b=z")),
        row("(?P<a>.+?)/(?P<b>.+)", "/x/y/z", Some("a=x b=y/z")),
        row("(?P<a>a|ab)(?P<b>b?)", "/ab", Some("a=a b=b")),
    ]);
}

#[test]
fn a_long_path_takes_linear_time() {
    let pattern = re_path("(?:a+)+b|(?:a|a)*c|(.*)(.*)(.*)(.*)d");
    let path = "a".repeat(100_000);
    assert_eq!(matched(&pattern, &path), None);
}
