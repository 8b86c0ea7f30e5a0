//! Every refusal names the offender, its place, and what to do.
#![allow(clippy::unwrap_used, reason = "a row that fails shall fail the test")]

use crate::urls::error::PatternError;
use crate::urls::pattern::Pattern;
use crate::urls::table::Table;
use crate::urls::tests::fixture::{Custom, converters, path, re_path};

struct Row {
    text: &'static str,
    says: &'static [&'static str],
}

const fn row(text: &'static str, says: &'static [&'static str]) -> Row {
    Row { text, says }
}

fn check<T>(rows: &[Row], read: impl Fn(&str) -> Result<T, PatternError>) {
    for row in rows {
        let Err(error) = read(row.text) else {
            panic!("`{}` was accepted", row.text);
        };
        let message = error.to_string();
        assert!(message.contains(&format!("`{}`", row.text)), "{message}");
        for part in row.says {
            assert!(message.contains(part), "{message} does not say {part}");
        }
    }
}

#[test]
fn of_path() {
    let rows = [
        row(
            "ws/<flot:x>/",
            &[
                "character 4 (`<flot:x>`)",
                "no converter `flot`",
                "even, int, maybe, path, short, slug, str, uuid, wide",
                "Register `flot`",
            ],
        ),
        row("é/<Int:x>", &["character 3", "`Int`"]),
        row("<int :x>", &["no converter `int `"]),
        row("<:x>", &["no converter ``"]),
        row(
            "<x>/<int:x>",
            &["character 5 (`<int:x>`)", "`x` is there twice"],
        ),
        row("{x}-{x}", &["character 5 (`{x}`)", "`x` is there twice"]),
        row(
            "<1x>",
            &["character 1 (`<1x>`)", "`1x` is no name", "letters"],
        ),
        row("<int:a-b>", &["`a-b` is no name"]),
        row("<int:>", &["`` is no name"]),
        row("<>", &["`` is no name"]),
        row("{}", &["character 1 (`{}`)", "`` is no name"]),
        row("{int:x}", &["`int:x` is no name"]),
        row("<int: x>", &["` x` is no name"]),
        row("<a:b:c>", &["`b:c` is no name"]),
        row(
            "ws/<int:x",
            &["character 4 (`<int:x`)", "`<` is never closed", "add `>`"],
        ),
        row(
            "ws/{x",
            &["character 4 (`{x`)", "`{` is never closed", "`{{`"],
        ),
        row("ws/x}/", &["character 5 (`}`)", "closes nothing", "`}}`"]),
        row("{x}}", &["character 4 (`}`)"]),
        row("files/{*rest}", &["character 7 (`{*rest}`)", "<path:name>"]),
        row(r"ws/(?P<id>\d+)/", &["character 4 (`(?P<`)", "re_path()"]),
        row("^ws/", &["character 1 (`^`)", "re_path()"]),
        row("/^ws/", &["character 2 (`^`)", "re_path()"]),
        row("ws/$", &["character 4 (`$`)", "re_path()"]),
    ];
    check(&rows, |text| Pattern::path(text, &converters()));
}

#[test]
fn of_re_path() {
    let rows = [
        row("ws/(?=x)", &["character 4 (`(?=`)", "look-ahead", "linear"]),
        row("é(?!x)", &["character 2 (`(?!`)", "look-ahead"]),
        row("(?<=x)y", &["character 1 (`(?<=`)", "look-behind"]),
        row("(?<!x)y", &["character 1 (`(?<!`)", "look-behind"]),
        row(r"(.)\1", &["character 4 (`\\1`)", "back-references"]),
        row(
            "(?P<a>.)(?P=a)",
            &["character 9 (`(?P=`)", "back-references"],
        ),
        row(
            "(?P<a>.)(?P<a>.)",
            &["character 13 (`a`)", "`a` is there twice"],
        ),
        row("(?P<1a>.)", &["character 5 (`1a`)", "`1a` is no name"]),
        row("(?<a.b>.)", &["character 4 (`a.b`)", "`a.b` is no name"]),
        row("(?P<>.)", &["`` is no name"]),
        row(
            "a|",
            &["character 3", "alternative of `|` is empty", "(?:..)?"],
        ),
        row("|a", &["character 1", "alternative of `|` is empty"]),
        row("a||b", &["character 3", "alternative of `|` is empty"]),
        row("x(a|)y", &["character 5", "alternative of `|` is empty"]),
        row("x(?:|a)y", &["character 5", "alternative of `|` is empty"]),
        row(
            "x(?P<n>|a)y",
            &["character 8", "alternative of `|` is empty"],
        ),
        row(
            "(?:/en)?/ws",
            &["character 7 (`)?`)", "may be absent", "(?:en/)?ws/"],
        ),
        row(
            "^((?:/en)/x)*/ws",
            &["character 12 (`)*`)", "may be absent"],
        ),
        row("^(/en){0,1}/ws", &["may be absent"]),
        row("(?x) a", &["character 1 (`(?x)`)", "flag `x`"]),
        row("(?i-s)(?sx:a)", &["character 7 (`(?sx:`)", "flag `x`"]),
        row(
            "ws/<int:id>/",
            &[
                "character 4 (`<int:id>`)",
                "parameter of path()",
                "(?P<name>..)",
                "`[<]`",
            ],
        ),
        row("é/<id>$", &["character 3 (`<id>`)", "parameter of path()"]),
        row(r"(?P<a>\d+)/(<b>)", &["character 13 (`<b>`)"]),
        row("a(", &["unclosed group"]),
        row("a)", &["unopened group"]),
        row("(?", &["error:"]),
        row("(?i", &["error:"]),
        row("(?é)", &["error:"]),
        row("(?P<a", &["error:"]),
        row("(?#note)", &["unrecognized flag"]),
        row("(?>a)", &["unrecognized flag"]),
        row("[a", &["unclosed character class"]),
        row(r"[a\", &["error:"]),
        row(r"[\é]", &["error:"]),
        row("[z-a]", &["invalid character class range"]),
        row(r"a\", &["incomplete escape"]),
        row(r"\é", &["unrecognized escape"]),
        row(r"\p{Elvish}", &["property not found"]),
        row("*a", &["missing expression"]),
        row(r"(?-u:\xFF)", &["invalid UTF-8"]),
        row(
            r"\w{999}{999}",
            &["would exceed 10485760 bytes", "counted repetitions"],
        ),
    ];
    check(&rows, Pattern::re_path);
}

#[test]
fn of_converters() {
    let register = |name: &'static str| {
        move |regex: &str| {
            let regex: &'static str = regex.to_owned().leak();
            let custom = Custom {
                regex,
                accepts: |_| true,
            };
            converters().register(name, custom)
        }
    };
    let rows = [
        row("^a", &["converter `own`", "inside a path", "leave out `^`"]),
        row("a$", &["converter `own`", "leave out"]),
        row(r"a\Z", &["converter `own`", "leave out"]),
        row("(?m)a$", &["converter `own`", "leave out"]),
        row("a(?=b)", &["converter `own`", "character 2", "look-ahead"]),
        row("a|", &["converter `own`", "alternative of `|` is empty"]),
        row("(a", &["converter `own`", "unclosed group"]),
        row("a)(b", &["converter `own`", "unopened group"]),
    ];
    check(&rows, register("own"));
    check(
        &[row("x", &["converter `int`", "exists already"])],
        register("int"),
    );
    check(
        &[row("x", &["converter `wide`", "exists already"])],
        register("wide"),
    );
    check(
        &[row("x", &["converter `my-own`", "`my-own` is no name"])],
        register("my-own"),
    );
    check(
        &[row("x", &["converter ``", "`` is no name"])],
        register(""),
    );
}

#[test]
fn of_patterns_that_are_too_large_only_together() {
    let large = re_path(r"\p{L}{100}");
    assert!(Table::new(vec![large.clone()]).is_ok());
    let error = Table::new(vec![large; 20]).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("20 patterns"), "{message}");
    assert!(message.contains("10485760 bytes"), "{message}");
}

#[test]
fn of_a_prefix_that_makes_a_pattern_too_large() {
    let large = r"\p{L}{150}";
    let mut converters = converters();
    let custom = Custom {
        regex: large,
        accepts: |_| true,
    };
    converters.register("large", custom).unwrap();
    let mut pattern = path("x");
    let prefix = Pattern::path("<large:x>", &converters).unwrap();
    let error = loop {
        match pattern.nested_in(&prefix) {
            Ok(nested) => pattern = nested,
            Err(error) => break error,
        }
    };
    assert!(
        error
            .to_string()
            .contains("<large:x>/x`: the compiled expression would exceed"),
        "{error}"
    );
}
