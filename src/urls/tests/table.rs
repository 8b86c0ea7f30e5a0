//! Many routes: order, fall-through, nesting, and the borders of the indices.
#![allow(clippy::unwrap_used, reason = "a row that fails shall fail the test")]

use crate::urls::params::Params;
use crate::urls::pattern::Pattern;
use crate::urls::table::Table;
use crate::urls::tests::fixture::{matched, path, re_path, table, written};

struct Row {
    patterns: Vec<Pattern>,
    path: &'static str,
    finds: Option<(usize, &'static str)>,
}

fn check(rows: &[Row]) {
    for row in rows {
        let found = table(&row.patterns).find(row.path);
        let found = found.map(|found| (found.route, written(&found.params, row.path)));
        let sources: Vec<&str> = row.patterns.iter().map(Pattern::source).collect();
        let expected = row.finds.map(|(route, params)| (route, params.to_owned()));
        assert_eq!(found, expected, "{:?} in {sources:?}", row.path);
    }
}

#[test]
fn the_first_declared_wins_over_both_kinds() {
    let row = |patterns, path, finds| Row {
        patterns,
        path,
        finds,
    };
    check(&[
        row(vec![], "/", None),
        row(
            vec![path("x/{id}"), path("x/new")],
            "/x/new",
            Some((0, "id=new")),
        ),
        row(vec![path("x/new"), path("x/{id}")], "/x/new", Some((0, ""))),
        row(
            vec![path("x/new"), path("x/{id}")],
            "/x/old",
            Some((1, "id=old")),
        ),
        row(
            vec![path("x/<int:id>"), path("x/<name>")],
            "/x/5",
            Some((0, "id=5")),
        ),
        row(
            vec![path("x/<name>"), path("x/<int:id>")],
            "/x/5",
            Some((0, "name=5")),
        ),
        row(
            vec![path("{a}/new"), path("x/{b}")],
            "/x/new",
            Some((0, "a=x")),
        ),
        row(
            vec![path("x/{b}"), path("{a}/new")],
            "/x/new",
            Some((0, "b=new")),
        ),
        row(
            vec![re_path(r"x/(?P<id>\d+)"), path("x/<int:n>")],
            "/x/5",
            Some((0, "id=5")),
        ),
        row(
            vec![path("x/<int:n>"), re_path(r"x/(?P<id>\d+)")],
            "/x/5",
            Some((0, "n=5")),
        ),
        row(
            vec![path("<path:rest>"), path("x/")],
            "/x/",
            Some((0, "rest=x/")),
        ),
        row(vec![path("x/"), path("<path:rest>")], "/x/", Some((0, ""))),
        row(vec![path("a"), path("a")], "/a", Some((0, ""))),
        row(vec![re_path("a|b"), re_path("b|c")], "/b", Some((0, ""))),
        row(vec![path("<maybe:m>"), path("")], "/", Some((0, "m="))),
        row(vec![path(""), path("<maybe:m>")], "/", Some((0, ""))),
    ]);
}

#[test]
fn a_path_without_a_match_falls_through_routes_of_every_kind() {
    let routes = table(&[
        path("x/<even:n>/"),
        re_path(r"x/(?P<n>1\d*)/"),
        path("x/<int:n>/"),
        path("x/<path:rest>/end/"),
        path("<a>/<b>/"),
        re_path("(?s).*"),
    ]);
    for (text, route) in [
        ("/x/2/", 0),
        ("/x/11/", 1),
        ("/x/3/", 2),
        ("/x/99999999999999999999/", 4),
        ("/x/y/end/", 3),
        ("/x/y/", 4),
        ("/x//", 5),
        ("/", 5),
    ] {
        assert_eq!(
            routes.find(text).map(|found| found.route),
            Some(route),
            "{text}"
        );
    }
}

#[test]
fn a_converter_that_refuses_falls_through_where_values_span_slashes() {
    let routes = table(&[
        path("x/<even:n>/<path:rest>"),
        path("x/<int:n>/<path:rest>"),
        path("x/<name>/<path:rest>"),
    ]);
    for (text, route) in [
        ("/x/2/y/", 0),
        ("/x/3/y/", 1),
        ("/x/99999999999999999999/y/", 2),
    ] {
        assert_eq!(
            routes.find(text).map(|found| found.route),
            Some(route),
            "{text}"
        );
    }
}

#[test]
fn prefixes_join_at_one_slash_and_inner_parameters_win() {
    struct Nested {
        prefixes: &'static [&'static str],
        inner: Pattern,
        source: &'static str,
        path: &'static str,
        finds: Option<&'static str>,
    }
    let row = |prefixes, inner, source, path, finds| Nested {
        prefixes,
        inner,
        source,
        path,
        finds,
    };
    let rows = [
        row(&["api/"], path("ws/"), "api/ws/", "/api/ws/", Some("")),
        row(&["api"], path("ws/"), "api/ws/", "/api/ws/", Some("")),
        row(&["api"], path("ws/"), "api/ws/", "/apiws/", None),
        row(&["/api"], path("/ws"), "/api/ws", "/api/ws", Some("")),
        row(&["api/"], path("/ws"), "api/ws", "//api/ws", Some("")),
        row(&["api/"], path("/ws"), "api/ws", "/api//ws", None),
        row(&[""], path("ws"), "ws", "/ws", Some("")),
        row(&["/"], path("/ws"), "/ws", "/ws", Some("")),
        row(&["api"], path(""), "api", "/api", Some("")),
        row(&["api"], path("/"), "api", "/api", Some("")),
        row(&["api/"], path(""), "api/", "/api/", Some("")),
        row(&["api"], re_path("^$"), "api^$", "/api", Some("")),
        row(&["api/"], re_path("^$"), "api/^$", "/api/", Some("")),
        row(&["<a>"], path("<b>"), "<a>/<b>", "/1/2", Some("a=1 b=2")),
        row(&["<a>"], path("<a>"), "<a>/<a>", "/1/2", Some("a=2")),
        row(
            &["<a>/<b>"],
            path("<a>"),
            "<a>/<b>/<a>",
            "/1/2/3",
            Some("a=3 b=2"),
        ),
        row(&["<int:a>"], path("<a>"), "<int:a>/<a>", "/x/2", None),
        row(
            &["v{v}"],
            re_path(r"^/(\d)(x)?$"),
            r"v{v}/^/(\d)(x)?$",
            "/v1/2",
            Some("v=1 [2, -]"),
        ),
        row(
            &["<a>"],
            re_path("(?P<a>x)?y"),
            "<a>/(?P<a>x)?y",
            "/1/xy",
            Some("a=x"),
        ),
        row(
            &["<a>"],
            re_path("(?P<a>x)?y"),
            "<a>/(?P<a>x)?y",
            "/1/y",
            Some("a=1"),
        ),
        row(&["<a>"], re_path("x|y"), "<a>/x|y", "/1/y", Some("a=1")),
        row(&["<a>"], re_path("x|y"), "<a>/x|y", "/y", None),
        row(
            &["in/", "mid/", "out/"],
            path("x"),
            "out/mid/in/x",
            "/out/mid/in/x",
            Some(""),
        ),
        row(
            &["{b}", "{a}"],
            path("{c}"),
            "{a}/{b}/{c}",
            "/1/2/3",
            Some("a=1 b=2 c=3"),
        ),
        row(
            &["<path:p>/end"],
            path("<int:n>"),
            "<path:p>/end/<int:n>",
            "/a/b/end/4",
            Some("p=a/b n=4"),
        ),
        row(&["{{x}}"], path("y"), "{{x}}/y", "/{x}/y", Some("")),
    ];
    for row in rows {
        let mut pattern = row.inner;
        for prefix in row.prefixes {
            pattern = pattern.nested_in(&path(prefix)).unwrap();
        }
        assert_eq!(pattern.source(), row.source);
        let found = matched(&pattern, row.path);
        assert_eq!(
            found.as_deref(),
            row.finds,
            "`{}` on {}",
            row.source,
            row.path
        );
    }
}

#[test]
fn nested_patterns_declare_each_name_once() {
    let pattern = path("<b>/<a>").nested_in(&path("<a>/<c>")).unwrap();
    assert_eq!(pattern.parameters().collect::<Vec<_>>(), ["a", "c", "b"]);
}

#[test]
fn more_parameters_than_the_tree_can_name_are_no_problem() {
    for count in [24, 25, 26, 27, 60] {
        let names: Vec<String> = (0..count).map(|n| format!("<int:p{n}>")).collect();
        let values: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        let routes = table(&[path("x"), path(&names.join("/")), path("<path:rest>")]);
        let path = values.join("/");
        let found = routes.find(&path).unwrap();
        assert_eq!(found.route, 1);
        assert_eq!(found.params.iter(&path).count(), count);
        let last = format!("p{}", count - 1);
        assert_eq!(
            found.params.value(&last, &path),
            values.last().map(String::as_str)
        );
    }
}

#[test]
fn a_thousand_routes_keep_their_order() {
    let patterns: Vec<Pattern> = (0..1000)
        .map(|n| match n % 4 {
            0 => path(&format!("ws/room{n}/")),
            1 => path(&format!("ws/room{n}/<int:id>/")),
            2 => re_path(&format!(r"ws/room{n}/(?P<id>\d+)/$")),
            _ => path(&format!("ws/room{n}/<path:rest>")),
        })
        .collect();
    let routes = table(&patterns);
    for n in 0..1000 {
        let text = match n % 4 {
            0 => format!("/ws/room{n}/"),
            _ => format!("/ws/room{n}/5/"),
        };
        assert_eq!(
            routes.find(&text).map(|found| found.route),
            Some(n),
            "{text}"
        );
    }
    assert!(routes.find("/ws/room1000/5/").is_none());
}

#[test]
fn a_table_serves_many_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Table>();
    check::<Pattern>();
    check::<Params>();
}

#[test]
fn params_without_a_match_are_empty() {
    let params = Params::default();
    assert_eq!(params.iter("").count(), 0);
    assert_eq!(params.args("").count(), 0);
    assert_eq!(params.value("id", ""), None);
}
