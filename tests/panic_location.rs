//! A mistake in the program's own routes panics at the line that made it; the `try_` forms return
//! an error that names the pattern.
//!
//! A program of its own, since the panic hook that it sets is the process's.

#![allow(clippy::unwrap_used, reason = "a failing row should panic")]

use std::panic::{AssertUnwindSafe, Location};
use std::sync::{Arc, Mutex, PoisonError};
use std::{panic, thread};

use strait::handshake::{Limits, Origins};
use strait::router::{Converter, path, re_path};
use strait::{Consumer, Error, Reject, Router, Scope};

struct Nobody;

impl Consumer for Nobody {}

fn nobody(_scope: &Scope) -> Result<Nobody, Reject> {
    Ok(Nobody)
}

struct Regex(&'static str);

impl Converter for Regex {
    fn regex(&self) -> &str {
        self.0
    }
}

/// The location and the message of a panic.
#[derive(Clone, Debug, Default, PartialEq)]
struct Panicked {
    file: String,
    line: u32,
    message: String,
}

/// The panic hook is the process's: one test at a time.
static HOOK: Mutex<()> = Mutex::new(());

/// Runs what must panic.
fn panicked(mistake: impl FnOnce()) -> Panicked {
    let _guard = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = Arc::new(Mutex::new(Panicked::default()));
    let before = Arc::new(panic::take_hook());
    panic::set_hook(Box::new({
        let (seen, before) = (seen.clone(), before.clone());
        let here = thread::current().id();
        move |info| {
            if thread::current().id() != here {
                return before(info);
            }
            let place = info.location().unwrap();
            *seen.lock().unwrap() = Panicked {
                file: place.file().to_owned(),
                line: place.line(),
                message: info.payload().downcast_ref::<String>().unwrap().clone(),
            };
        }
    }));
    let result = panic::catch_unwind(AssertUnwindSafe(mistake));
    panic::set_hook(Box::new(move |info| before(info)));
    assert!(result.is_err(), "it did not panic");
    seen.lock().unwrap().clone()
}

/// The line this is called on.
#[track_caller]
fn here() -> u32 {
    Location::caller().line()
}

/// A mistake that was made on `line`.
struct Row {
    line: u32,
    panicked: Panicked,
    names: &'static str,
}

#[test]
#[rustfmt::skip]
fn a_bad_pattern_panics_at_the_callers_line() {
    // Each row on one line, so that the line it was written on is the line that must be blamed.
    let rows = [
        Row { line: here(), panicked: panicked(|| drop(Router::new().path("ws/<int:id/", nobody))), names: "`ws/<int:id/`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().path("ws/<year:y>/", nobody))), names: "`ws/<year:y>/`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().path("ws/<a>/<a>/", nobody))), names: "`ws/<a>/<a>/`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().path(r"ws/(?P<id>\d+)/$", nobody))), names: r"`ws/(?P<id>\d+)/$`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().path("ws/{*rest}", nobody))), names: "`ws/{*rest}`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().re_path(r"ws/(\d+", nobody))), names: r"`ws/(\d+`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().re_path("ws/(?=x)", nobody))), names: "`ws/(?=x)`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().re_path(r"(?P<a>x)\1", nobody))), names: r"`(?P<a>x)\1`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().nest("api/<int:/", Router::new().path("x/", nobody)))), names: "`api/<int:/`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().route(path("ws/<int:id/", nobody)))), names: "`ws/<int:id/`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().route(re_path(r"ws/(\d+", nobody)))), names: r"`ws/(\d+`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().nest("api/", Router::new().limits(Limits::new())))), names: "`api/`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().converter("int", Regex(r"\d")))), names: "`int`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().converter("year", Regex("[")))), names: "`year`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().converter("4d", Regex(r"\d{4}")))), names: "`4d`" },
        Row { line: here(), panicked: panicked(|| drop(Router::new().converter("end", Regex("x$")))), names: "`end`" },
        Row { line: here(), panicked: panicked(|| drop(Origins::list(["ok.example", "*.example.com"]))), names: r#""*.example.com""# },
        Row { line: here(), panicked: panicked(|| drop(Origins::list(["example.com:80"]))), names: r#""example.com:80""# },
        Row { line: here(), panicked: panicked(|| drop(Origins::list([""]))), names: r#""""# },
        Row { line: here(), panicked: panicked(|| drop(large(Router::new()).into_service())), names: "5 patterns" },
    ];
    for row in rows {
        let Panicked { file, line, message } = row.panicked;
        assert!(file.ends_with("tests/panic_location.rs"), "{file}: {message}");
        assert_eq!(line, row.line, "{message}");
        assert!(message.contains(row.names), "{} in {message}", row.names);
    }
}

#[test]
fn the_fallible_forms_return_an_error_that_names_the_pattern() {
    let path = |pattern: &str| Router::new().try_path(pattern, nobody).map(drop);
    let re_path = |pattern: &str| Router::new().try_re_path(pattern, nobody).map(drop);
    let nest = |prefix: &str| {
        let inner = Router::new().path("x/", nobody);
        Router::new().try_nest(prefix, inner).map(drop)
    };
    type Rows<'a> = &'a [(&'a dyn Fn(&str) -> Result<(), Error>, &'a [&'a str])];
    let rows: Rows<'_> = &[
        (&path, &["ws/<int:id", "<year:y>", "<4d>", "a}", "{*all}"]),
        (&re_path, &["(", "[a", "(?<!x)y", "(?P<a>x)(?P=a)", "*a"]),
        (&nest, &["<int:", "<a>/<a>/", "x}"]),
    ];
    for (form, patterns) in rows {
        for pattern in *patterns {
            let error = form(pattern).unwrap_err();
            let text = error.to_string();
            assert!(error.is_route(), "{text}");
            assert!(text.contains(&format!("`{pattern}`")), "{pattern}: {text}");
        }
    }
    assert!(path("ws/<int:id>/").is_ok() && re_path(r"ws/(?P<id>\d+)/$").is_ok());
    assert!(nest("api/<int:v>/").is_ok());
}

#[test]
fn a_table_that_is_too_large_only_together_is_an_error_too() {
    let error = large(Router::new())
        .try_into_service()
        .map(drop)
        .unwrap_err();
    assert!(error.is_route(), "{error}");
}

#[test]
fn an_origin_that_could_never_match_is_named() {
    for entry in ["*.example.com", "example.com:80", "http://*", ""] {
        let text = Origins::try_list([entry]).unwrap_err().to_string();
        assert!(text.contains(&format!("{entry:?}")), "{text}");
    }
    assert!(Origins::try_list(["*", "https://example.com:8443"]).is_ok());
}

/// Adds patterns that are each accepted and too much together.
fn large(router: Router) -> Router {
    (0..TOO_MANY).fold(router, |router, n| {
        router.re_path(&format!("{n}/(?:x{{1000}}){{100}}"), nobody)
    })
}

const TOO_MANY: usize = 5;
