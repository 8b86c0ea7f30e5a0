//! `path()`: its syntax and its matches.

use crate::urls::tests::fixture::{matched, path};

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
        let found = matched(&path(row.pattern), row.path);
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
fn the_whole_path_matches_or_nothing_does() {
    check(&[
        row("", "", Some("")),
        row("", "/", Some("")),
        row("", "/x", None),
        row("ws/", "/ws/", Some("")),
        row("ws/", "/ws", None),
        row("ws", "/ws/", None),
        row("ws/", "/WS/", None),
        row("ws/", "/ws/\n", None),
        row("ws", "/xws", None),
        row("ws/<int:id>/", "/ws/5/", Some("id=5")),
        row("ws/<int:id>/", "/ws/5/more", None),
        row("ws/<int:id>/", "/ws/5/\n", None),
        row("ws/<int:id>/", "/x/ws/5/", None),
        row("ws/<int:id>/", "/ws/", None),
        row("ws/<int:id>/", "/ws//", None),
    ]);
}

#[test]
fn leading_slashes_of_path_and_pattern_say_nothing() {
    check(&[
        row("ws/", "ws/", Some("")),
        row("ws/", "//ws/", Some("")),
        row("ws/", "////ws/", Some("")),
        row("/ws/", "ws/", Some("")),
        row("//ws/", "/ws/", Some("")),
        row("/", "/", Some("")),
        row("/<name>", "//x", Some("name=x")),
        row("ws//x", "/ws//x", Some("")),
        row("ws//x", "/ws/x", None),
        row("ws/x", "/ws//x", None),
        row("ws/x", "/ws/x//", None),
        row("<a>/<b>", "/x//y", None),
        row("<path:rest>", "//a//b", Some("rest=a//b")),
    ]);
}

#[test]
fn literals_are_literal() {
    check(&[
        row("a.b+(c)*[d]|e?", "/a.b+(c)*[d]|e?", Some("")),
        row("a.b", "/axb", None),
        row("a$b^c\\d", "/a$b^c\\d", Some("")),
        row("a\\d", "/a5", None),
        row("{{x}}", "/{x}", Some("")),
        row("{{{name}}}", "/{ada}", Some("name=ada")),
        row("a{{<int:n>}}b", "/a{5}b", Some("n=5")),
        row("{{{{", "/{{", Some("")),
        row("a>b", "/a>b", Some("")),
        row("a:b#c d-e&&f~~g", "/a:b#c d-e&&f~~g", Some("")),
        row("grüße/<slug:s>/", "/grüße/x/", Some("s=x")),
        row("grüße", "/gru\u{308}ße", None),
        row("日本/<name>", "/日本/語", Some("name=語")),
        row("a\nb", "/a\nb", Some("")),
        row("*rest", "/*rest", Some("")),
    ]);
}

#[test]
fn parameters_stand_anywhere_in_a_segment() {
    check(&[
        row("<name>", "/ada", Some("name=ada")),
        row("{name}", "/ada", Some("name=ada")),
        row("f/{name}.json", "/f/a.b.json", Some("name=a.b")),
        row("f/{name}.json", "/f/.json", None),
        row("f/pre-{x}", "/f/pre-1", Some("x=1")),
        row("f/pre-{x}", "/f/pre-", None),
        row(
            "<int:y>-<slug:s>/x.json",
            "/7-a-b/x.json",
            Some("y=7 s=a-b"),
        ),
        row("<a>-<b>", "/x-y-z", Some("a=x-y b=z")),
        row("<int:a><int:b>", "/123", Some("a=12 b=3")),
        row("<slug:a>{b}", "/xé", Some("a=x b=é")),
        row("<a><b>", "/x", None),
        row("{größe}", "/1", Some("größe=1")),
        row("<_x1>", "/1", Some("_x1=1")),
    ]);
}

#[test]
fn a_path_parameter_spans_slashes_wherever_it_stands() {
    check(&[
        row("<path:rest>", "/a", Some("rest=a")),
        row("<path:rest>", "/a/b/", Some("rest=a/b/")),
        row("<path:rest>", "/", None),
        row("x/<path:rest>", "/x/", None),
        row("x/<path:rest>/end", "/x/a/b/end", Some("rest=a/b")),
        row("x/<path:rest>/end", "/x/end/end", Some("rest=end")),
        row("x/<path:rest>/end", "/x//end", None),
        row("<path:a>/<path:b>", "/x/y/z", Some("a=x/y b=z")),
        row("v<path:a>.<int:n>", "/v1/2.3", Some("a=1/2 n=3")),
        row("<path:rest>", "/a\nb", None),
    ]);
}

#[test]
fn the_source_is_what_was_written_and_names_are_in_its_order() {
    for (pattern, names) in [
        ("", &[][..]),
        ("/ws/{{x}}/", &[]),
        ("/<int:b>/{a}-<z>", &["b", "a", "z"]),
    ] {
        let read = path(pattern);
        assert_eq!(read.source(), pattern);
        assert_eq!(read.parameters().collect::<Vec<_>>(), names, "{pattern}");
    }
}
