//! Routing as an application sees it: which consumer a path leads to, with which parameters, behind
//! which checks, with which state, layer and limits.
//!
//! The rows follow what Django Channels' own tests ask of `URLRouter`. The differences from Django,
//! each with a row below:
//!
//! - There is no router by connection kind: a [`Router`] routes WebSockets only, other HTTP is the
//!   fallback's. Nor is there one for workers.
//! - `re_path` is about the whole path, never a search in it, and `\d` is an ASCII digit.
//! - A prefix is a `path` pattern, and a prefix and what is behind it meet at one slash, written or
//!   not.
//! - `int` ends at the largest `u64`.
//! - Constants (`kwargs` of a route) are the factory's: a closure has them. `include()` is not
//!   needed, since `nest` takes a router and nothing else.
//! - A path that leads nowhere is answered 404, where Channels raises and the client sees 500.
//! - A refusal of a factory or of `connect` is final; Channels takes a "not found" of the
//!   application's for a miss and tries the next route.
//!
//! That the table of routes answers as a loop over them would is tested beside it, against such a
//! loop.

use std::sync::{Arc, Mutex};

use http::StatusCode;

use crate::support::log::Log;
use strait::close::CloseCode;
use strait::config::Config;
use strait::handshake::Origins;
use strait::router::Converter;
use strait::service::WebSocketService;
use strait::testing::{Communicator, Rejected};
use strait::{Accept, ChannelLayer, Consumer, Context, Event, Message, Reject, Router, Scope};

/// Greets with its label, then parameters and arguments: `order id=5 [x, -]`.
struct Probe {
    label: &'static str,
}

impl Consumer for Probe {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.send_text(greeting(self.label, ctx.scope())).await?;
        Ok(Accept::new())
    }
}

fn probe(label: &'static str) -> impl Fn(&Scope) -> Result<Probe, Reject> {
    move |_| Ok(Probe { label })
}

fn greeting(label: &str, scope: &Scope) -> String {
    let mut text = label.to_owned();
    for (name, value) in scope.params() {
        text.push_str(&format!(" {name}={value}"));
    }
    let args: Vec<_> = scope.args().map(|arg| arg.unwrap_or("-")).collect();
    if !args.is_empty() {
        text.push_str(&format!(" [{}]", args.join(", ")));
    }
    text
}

/// Greets with whatever a closure finds in the scope.
struct Tell<F>(F);

impl<F> Consumer for Tell<F>
where
    F: Fn(&Scope) -> String + Send + 'static,
{
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.send_text((self.0)(ctx.scope())).await?;
        Ok(Accept::new())
    }
}

fn tell<F>(look: F) -> impl Fn(&Scope) -> Result<Tell<F>, Reject>
where
    F: Fn(&Scope) -> String + Clone + Send + 'static,
{
    move |_| Ok(Tell(look.clone()))
}

/// The result of a client on a path: the greeting, or the status of the refusal.
async fn visit(service: &WebSocketService, path: &str) -> Result<String, u16> {
    let mut client = Communicator::new(service, path);
    client
        .connect()
        .await
        .map_err(|rejected| rejected.status.as_u16())?;
    let greeting = client.receive_text().await.unwrap();
    client.disconnect().await.unwrap();
    Ok(greeting)
}

async fn refusal(router: Router, path: &str) -> Rejected {
    Communicator::new(router, path).connect().await.unwrap_err()
}

/// A path and what a client gets there.
struct Row {
    path: &'static str,
    gets: Result<&'static str, u16>,
}

const fn hit(path: &'static str, greeting: &'static str) -> Row {
    Row {
        path,
        gets: Ok(greeting),
    }
}

const fn miss(path: &'static str) -> Row {
    refused(path, 404)
}

const fn refused(path: &'static str, status: u16) -> Row {
    Row {
        path,
        gets: Err(status),
    }
}

async fn check(router: Router, rows: &[Row]) {
    let routes = format!("{router:?}");
    let (service, _) = router.into_service();
    for row in rows {
        let got = visit(&service, row.path).await;
        assert_eq!(
            got.as_deref().map_err(|status| *status),
            row.gets,
            "{:?} on {routes}",
            row.path
        );
    }
}

#[tokio::test]
async fn the_cases_of_channels_own_router_tests_hold() {
    let router = Router::new()
        .path("", probe("root"))
        .path("foo/", probe("literal"))
        .re_path(r"^args/(\d+)/(x)?$", probe("args"))
        .path("typed/<int:number>/", probe("typed"))
        .path("untyped/<name>/", probe("untyped"))
        .path("braces/{name}/", probe("braces"))
        .path("slug/<slug:name>/", probe("slug"))
        .path("uuid/<uuid:id>/", probe("uuid"))
        .path("rest/<path:rest>", probe("rest"))
        .re_path(r"named/(?P<a>\w+)/(\d+)/$", probe("named"))
        .re_path(r"optional/(?:(?P<a>\d+)/)?(?P<b>\w+)/$", probe("optional"))
        .path("Case/", probe("case"));
    check(
        router,
        &[
            hit("/", "root"),
            hit("/foo/", "literal"),
            miss("/foo"),
            miss("/foo//"),
            miss("/bar/"),
            hit("/args/42/", "args [42, -]"),
            hit("/args/42/x", "args [42, x]"),
            hit("/typed/42/", "typed number=42"),
            hit("/typed/007/", "typed number=007"),
            miss("/typed/-1/"),
            miss("/typed/x/"),
            miss("/typed//"),
            hit("/untyped/42/", "untyped name=42"),
            miss("/untyped/a/b/"),
            hit("/braces/x/", "braces name=x"),
            hit("/slug/a-b_C/", "slug name=a-b_C"),
            miss("/slug/a.b/"),
            hit(
                "/uuid/01234567-89ab-cdef-0123-456789abcdef/",
                "uuid id=01234567-89ab-cdef-0123-456789abcdef",
            ),
            miss("/uuid/01234567-89AB-cdef-0123-456789abcdef/"),
            hit("/rest/a/b/c", "rest rest=a/b/c"),
            miss("/rest/"),
            hit("/named/x/5/", "named a=x"),
            hit("/optional/5/x/", "optional a=5 b=x"),
            hit("/optional/x/", "optional b=x"),
            hit("/Case/", "case"),
            miss("/case/"),
        ],
    )
    .await;
}

#[tokio::test]
async fn differences_from_django_are_as_documented() {
    let router = Router::new()
        .re_path("bar", probe("bar"))
        .re_path(r"digits/(?P<n>\d+)/$", probe("digits"))
        .path("int/<int:n>/", probe("int"))
        .path("constant/", |_| Ok(Probe { label: "constant" }))
        .nest("api", Router::new().path("ws/", probe("nested")));
    check(
        router,
        &[
            hit("/bar", "bar"),
            miss("/xx/bar/yy"),
            miss("/bar/yy"),
            miss("/bar%0A"),
            miss("/digits/%D9%A4%D9%A2/"),
            hit("/int/18446744073709551615/", "int n=18446744073709551615"),
            miss("/int/18446744073709551616/"),
            hit("/constant/", "constant"),
            hit("/api/ws/", "nested"),
            miss("/apiws/"),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_first_declared_route_wins_over_both_kinds() {
    let rows = [
        (
            Router::new()
                .path("a/<name>/", probe("path"))
                .re_path("a/(?P<id>[0-9]+)/", probe("re")),
            hit("/a/5/", "path name=5"),
        ),
        (
            Router::new()
                .re_path("a/(?P<id>[0-9]+)/", probe("re"))
                .path("a/<name>/", probe("path")),
            hit("/a/5/", "re id=5"),
        ),
        (
            Router::new()
                .path("a/<rest>/", probe("wide"))
                .path("a/b/", probe("narrow")),
            hit("/a/b/", "wide rest=b"),
        ),
        (
            Router::new()
                .path("<path:all>", probe("all"))
                .path("a/", probe("a")),
            hit("/a/", "all all=a/"),
        ),
        (
            Router::new()
                .path("a/", probe("first"))
                .path("a/", probe("second")),
            hit("/a/", "first"),
        ),
        (
            Router::new()
                .nest("a", Router::new().path("<x>/", probe("nested")))
                .path("a/b/", probe("flat")),
            hit("/a/b/", "nested x=b"),
        ),
        (
            Router::new()
                .path("a/b/", probe("flat"))
                .nest("a", Router::new().path("<x>/", probe("nested"))),
            hit("/a/b/", "flat"),
        ),
    ];
    for (router, row) in rows {
        check(router, &[row]).await;
    }
}

#[tokio::test]
async fn a_converter_that_refuses_leaves_the_path_to_the_next_route() {
    let router = Router::new()
        .path("n/<int:number>/", probe("number"))
        .path("n/<uuid:id>/", probe("uuid"))
        .re_path("n/(?P<word>[a-z]+)/", probe("word"))
        .path("n/<any>/", probe("any"));
    check(
        router,
        &[
            hit("/n/5/", "number number=5"),
            hit("/n/99999999999999999999/", "any any=99999999999999999999"),
            hit(
                "/n/01234567-89ab-cdef-0123-456789abcdef/",
                "uuid id=01234567-89ab-cdef-0123-456789abcdef",
            ),
            hit("/n/abc/", "word word=abc"),
            hit("/n/ABC/", "any any=ABC"),
            miss("/n/"),
        ],
    )
    .await;
}

/// Years of four digits, from a certain one on.
struct Year {
    first: u32,
}

impl Converter for Year {
    fn regex(&self) -> &str {
        r"\d{4}"
    }

    fn accepts(&self, value: &str) -> bool {
        value.parse().is_ok_and(|year: u32| year >= self.first)
    }
}

#[tokio::test]
async fn a_converter_of_the_applications_own_is_used_like_a_built_in_one() {
    let months = Router::new()
        .converter("yyyy", Year { first: 2000 })
        .path("since/<yyyy:y>/", probe("since"));
    let router = Router::new()
        .converter("year", Year { first: 1990 })
        .path("in/<year:y>/", probe("in"))
        .path("in/<other>/", probe("other"))
        .nest("y<year:outer>", months);
    check(
        router,
        &[
            hit("/in/1990/", "in y=1990"),
            hit("/in/1989/", "other other=1989"),
            hit("/in/19900/", "other other=19900"),
            hit("/y1995/since/2001/", "since outer=1995 y=2001"),
            miss("/y1995/since/1999/"),
            miss("/y1985/since/2001/"),
        ],
    )
    .await;
}

#[test]
fn a_converter_serves_the_patterns_declared_after_it_on_its_router_only() {
    let late = Router::new().try_path("<year:y>/", probe("x"));
    let text = late.unwrap_err().to_string();
    assert!(
        text.contains("`year`") && text.contains("<year:y>/"),
        "{text}"
    );
    // A nested router is complete by itself.
    let outer = Router::new().converter("year", Year { first: 0 });
    assert!(outer.try_path("<year:y>/", probe("x")).is_ok());
    assert!(Router::new().try_path("<year:y>/", probe("x")).is_err());
}

#[tokio::test]
async fn a_nested_router_merges_parameters_and_falls_through_to_the_next_route() {
    let rooms = Router::new()
        .path("room/<int:room>/", probe("room"))
        .path("same/<city>/", probe("same"))
        .re_path(r"args/(\d+)/(\d+)?$", probe("args"))
        .re_path(r"maybe/(?:(?P<city>\d+)/)?$", probe("maybe"));
    let deep = Router::new().nest("b/<y>", Router::new().path("c/<z>/", probe("deep")));
    let router = Router::new()
        .nest("<city>/", rooms)
        .nest("a/<x>/", deep)
        .nest("", Router::new().path("grouped/", probe("grouped")))
        .path("<city>/room/<any>/", probe("next"))
        .path("api/ws/", probe("once"));
    check(
        router,
        &[
            hit("/berlin/room/5/", "room city=berlin room=5"),
            hit("/berlin/same/bonn/", "same city=bonn"),
            hit("/berlin/args/1/2", "args city=berlin [1, 2]"),
            hit("/berlin/args/1/", "args city=berlin [1, -]"),
            hit("/berlin/maybe/", "maybe city=berlin"),
            hit("/berlin/maybe/7/", "maybe city=7"),
            hit("/berlin/room/kitchen/", "next city=berlin any=kitchen"),
            hit("/a/1/b/2/c/3/", "deep x=1 y=2 z=3"),
            hit("/grouped/", "grouped"),
            hit("/api/ws/", "once"),
            miss("/api/api/ws/"),
            miss("/berlin/"),
            miss("/berlin"),
            miss("/a/1/b/2/"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_refusal_of_the_application_is_final_and_not_a_miss() {
    let router = Router::new()
        .path("x/<name>/", |scope| {
            match scope.param::<String>("name")?.as_str() {
                "unknown" => Err(Reject::not_found()),
                _ => Ok(Probe { label: "first" }),
            }
        })
        .path("x/<any>/", probe("second"));
    check(
        router,
        &[hit("/x/known/", "first name=known"), miss("/x/unknown/")],
    )
    .await;
}

#[tokio::test]
async fn leading_slashes_say_nothing_and_nothing_is_redirected() {
    let router = || {
        Router::new()
            .path("/ws/slash/", probe("slash"))
            .path("ws/plain/", probe("plain"))
            .re_path("^/?re/$", probe("re"))
            .path("ws/bare", probe("bare"))
    };
    check(
        router(),
        &[
            hit("/ws/slash/", "slash"),
            hit("//ws/slash/", "slash"),
            // The communicator's own: a request always has one.
            hit("ws/slash/", "slash"),
            hit("///ws/plain/", "plain"),
            hit("/%2Fws/plain/", "plain"),
            hit("/re/", "re"),
            hit("//re/", "re"),
            hit("/ws/bare", "bare"),
            miss("/ws/bare/"),
            miss("/ws/plain"),
            miss("/ws//plain/"),
            miss("/ws/./plain/"),
            miss("/"),
        ],
    )
    .await;
    let refused = refusal(router(), "/ws/plain").await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    assert_eq!(refused.headers.get("location"), None);
}

#[tokio::test]
async fn a_router_without_routes_answers_404() {
    check(Router::new(), &[miss("/"), miss("/ws/")]).await;
}

#[tokio::test]
async fn the_path_is_percent_decoded_once_before_matching() {
    let show = |scope: &Scope| {
        let name: String = scope.param("name").unwrap();
        format!("{name} {} {}", scope.path(), scope.raw_path())
    };
    let router = Router::new()
        .path("ws/<name>/", tell(show))
        .path("ws/<name>/<rest>/", tell(show))
        .path("caf\u{e9}/<name>", tell(show));
    check(
        router,
        &[
            hit("/ws/a%20b/", "a b /ws/a b/ /ws/a%20b/"),
            hit("/ws/a+b/", "a+b /ws/a+b/ /ws/a+b/"),
            hit("/ws/%61/", "a /ws/a/ /ws/%61/"),
            hit("/%77s/x/", "x /ws/x/ /%77s/x/"),
            hit("/ws/%2561/", "%61 /ws/%61/ /ws/%2561/"),
            hit("/ws/a%2Fb/", "a /ws/a/b/ /ws/a%2Fb/"),
            hit("/ws/a%2fb/", "a /ws/a/b/ /ws/a%2fb/"),
            hit("/ws/%zz/", "%zz /ws/%zz/ /ws/%zz/"),
            hit("/ws/%/", "% /ws/%/ /ws/%/"),
            hit("/ws/%3F/", "? /ws/?/ /ws/%3F/"),
            hit("/caf%C3%A9/x", "x /caf\u{e9}/x /caf%C3%A9/x"),
            hit("/ws/x/?name=y", "x /ws/x/ /ws/x/"),
            refused("/ws/%FF/", 400),
            refused("/ws/%C3/", 400),
            refused("/ws/%ED%A0%80/", 400),
            refused("/nowhere/%FF", 400),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_404_and_an_undeclared_parameter_500() {
    struct Order;
    impl Consumer for Order {}
    let order = |scope: &Scope| {
        scope.param::<u64>("order_id")?;
        Ok(Order)
    };
    let rows = [
        ("/orders/5/", Ok(())),
        ("/orders/18446744073709551615/", Ok(())),
        ("/orders/18446744073709551616/", Err(404)),
        ("/orders/99999999999999999999999999/", Err(404)),
        ("/small/255/", Ok(())),
        ("/small/256/", Err(404)),
        ("/optional/", Err(404)),
        ("/optional/5/", Ok(())),
        ("/undeclared/5/", Err(500)),
        ("/in-connect/256/", Err(404)),
        ("/in-connect/255/", Err(500)),
    ];
    let router = Router::new()
        .re_path(r"orders/(?P<order_id>\d+)/$", order)
        .re_path(r"optional/(?:(?P<order_id>\d+)/)?$", order)
        .path("small/<int:n>/", |scope| {
            scope.param::<u8>("n")?;
            Ok(Order)
        })
        .path("undeclared/<int:id>/", order)
        .path("in-connect/<int:n>/", |_| Ok(AsksInConnect));
    let (service, _) = router.into_service();
    for (path, expected) in rows {
        let got = Communicator::new(&service, path).connect().await;
        let got = got.map(drop).map_err(|refused| refused.status.as_u16());
        assert_eq!(got, expected, "{path}");
    }
}

/// Asks for a parameter that fits or not, then for one that is not there.
struct AsksInConnect;

impl Consumer for AsksInConnect {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.scope().param::<u8>("n")?;
        ctx.scope().param::<u8>("m")?;
        Ok(Accept::new())
    }
}

#[tokio::test]
async fn a_group_that_took_no_part_in_the_match_is_none_or_an_error_that_says_so() {
    let router = Router::new()
        .re_path(
            r"feed/(?:(?P<page>\d+)/)?(?P<rest>[a-z]*)$",
            tell(|scope| {
                let optional = match scope.optional_param::<u8>("page") {
                    Ok(page) => format!("{page:?}"),
                    Err(error) => error.to_string(),
                };
                let required = match scope.param::<u8>("page") {
                    Ok(page) => page.to_string(),
                    Err(error) if error.is_parameter() => error.to_string(),
                    Err(error) => panic!("{error} is not about a parameter"),
                };
                format!("{optional}; {required}")
            }),
        )
        .path(
            "undeclared/<int:id>/",
            tell(
                |scope| match scope.optional_param::<u8>("page").unwrap_err() {
                    error if error.is_undeclared_parameter() => "undeclared".to_owned(),
                    error => error.to_string(),
                },
            ),
        );
    let (service, _) = router.into_service();
    let absent = "took no part in the match: ask for it with Scope::optional_param";
    let mismatch = r#"does not fit u8: "256""#;
    for (path, parts) in [
        ("/feed/7/", ["Some(7); ", "; 7"]),
        ("/feed/", ["None; ", absent]),
        ("/feed/news", ["None; ", absent]),
        ("/feed/256/", [mismatch, mismatch]),
        ("/undeclared/5/", ["undeclared", ""]),
    ] {
        let told = visit(&service, path).await.unwrap();
        for part in parts {
            assert!(told.contains(part), "{path}: {told:?} has no {part:?}");
        }
    }
}

#[tokio::test]
async fn an_undeclared_parameter_is_logged_once_by_name_and_not_told_to_the_client() {
    let (log, _guard) = Log::start();
    let router = Router::new()
        .path("a/<int:id>/b/<slug:name>/", |scope| {
            scope.param::<u64>("order_id")?;
            Ok(Probe { label: "never" })
        })
        .path("quiet/<int:id>/", |scope| {
            scope.param::<u8>("id")?;
            Ok(Probe { label: "never" })
        });
    let (service, _) = router.into_service();
    let refused = Communicator::new(&service, "/a/5/b/x/").connect().await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(refused.body, "");
    let text = log.text();
    assert_eq!(text.matches("ERROR").count(), 1, "{text}");
    for part in [
        "a/<int:id>/b/<slug:name>/",
        "order_id",
        "it declares id, name",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    // A path that does not fit is the client's mistake: nothing to log.
    let missed = Communicator::new(&service, "/quiet/256/").connect().await;
    assert_eq!(missed.unwrap_err().status, StatusCode::NOT_FOUND);
    assert_eq!(log.text(), text);
}

/// They keep no page out, which must not go unnoticed.
#[test]
fn an_origin_that_any_page_can_send_is_listed_with_a_warning() {
    for (entry, lines) in [
        ("null", 1),
        ("file://", 1),
        ("app://.", 0),
        ("https://a.example", 0),
    ] {
        let (log, _guard) = Log::start();
        let _ = Origins::list([entry, "https://shop.example"]);
        assert_eq!(log.lines("WARN"), lines, "{entry}: {}", log.text());
    }
}

/// The functions that ran, in order.
#[derive(Clone, Default)]
struct Steps(Arc<Mutex<Vec<&'static str>>>);

impl Steps {
    fn note(&self, step: &'static str) {
        self.0.lock().unwrap().push(step);
    }

    /// Adds a check that notes itself and refuses where the query says so.
    fn check(&self, router: Router, name: &'static str) -> Router {
        let steps = self.clone();
        router.check(move |scope| {
            let steps = steps.clone();
            async move {
                tokio::task::yield_now().await;
                steps.note(name);
                match scope.query("refuse").as_deref() == Some(name) {
                    true => Err(Reject::status(429).header("retry-after", "7").body("later")),
                    false => Ok(()),
                }
            }
        })
    }

    fn taken(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Noting(Steps);

impl Consumer for Noting {
    async fn connect(&mut self, _ctx: &Context) -> Result<Accept, Reject> {
        self.0.note("connect");
        Ok(Accept::new())
    }
}

fn noting(steps: &Steps) -> impl Fn(&Scope) -> Result<Noting, Reject> + use<> {
    let steps = steps.clone();
    move |_| {
        steps.note("factory");
        Ok(Noting(steps.clone()))
    }
}

#[tokio::test]
async fn checks_run_from_the_outside_in_and_before_the_factory() {
    let steps = Steps::default();
    let guarded = steps.check(Router::new().path("one/", noting(&steps)), "route");
    let inner = Router::new()
        .nest("", guarded)
        .path("plain/", noting(&steps));
    let inner = steps.check(inner, "inner 1");
    let inner = steps.check(inner, "inner 2");
    // The outer check is declared first and last: it holds for all that is nested in it either way.
    let router = steps.check(Router::new(), "outer 1");
    let router = router.nest("in", inner).path("out/", noting(&steps));
    let router = steps.check(router, "outer 2");
    let (service, _) = router.into_service();
    let outer = ["outer 1", "outer 2"];
    let both = ["outer 1", "outer 2", "inner 1", "inner 2"];
    let rows: [(&str, Vec<&str>); 9] = [
        ("/out/", [&outer[..], &["factory", "connect"]].concat()),
        ("/in/plain/", [&both[..], &["factory", "connect"]].concat()),
        (
            "/in/one/",
            [&both[..], &["route", "factory", "connect"]].concat(),
        ),
        ("/in/one/?refuse=route", [&both[..], &["route"]].concat()),
        ("/in/one/?refuse=inner%201", both[..3].to_vec()),
        ("/in/one/?refuse=outer+1", both[..1].to_vec()),
        ("/out/?refuse=outer+2", outer.to_vec()),
        ("/nowhere/", vec![]),
        ("/in/nowhere/", vec![]),
    ];
    for (path, expected) in rows {
        let answer = Communicator::new(&service, path).connect().await;
        assert_eq!(steps.taken(), expected, "{path}");
        if let Some(refused) = answer.err().filter(|_| path.contains("refuse")) {
            assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
            assert_eq!(refused.headers["retry-after"], "7", "{path}");
            assert_eq!(refused.body, "later", "{path}");
        }
    }
}

#[tokio::test]
async fn a_check_that_fails_or_panics_refuses_with_500() {
    let failing = Router::new()
        .path("x/", probe("x"))
        .check(|_| async { Err("the database is gone".into()) });
    let panicking = Router::new()
        .path("x/", probe("x"))
        .check(|_| async { panic!("a check panics") });
    let factory = Router::new().path("x/", |scope| {
        if scope.path() == "/x/" {
            panic!("a factory panics");
        }
        Ok(Probe { label: "x" })
    });
    for (name, router) in [
        ("failing", failing),
        ("panicking", panicking),
        ("factory", factory),
    ] {
        let refused = refusal(router, "/x/").await;
        assert_eq!(refused.status, 500, "{name}");
        assert_eq!(refused.body, "", "{name}");
    }
}

#[derive(Clone, Debug, PartialEq)]
struct User(String);

#[tokio::test]
async fn the_result_of_a_check_reaches_later_checks_the_factory_and_the_hooks() {
    struct Greeter {
        made_for: User,
    }
    impl Consumer for Greeter {
        async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
            assert_eq!(
                ctx.scope().extension::<User>().as_ref(),
                Some(&self.made_for)
            );
            assert_eq!(ctx.scope().extension::<u64>(), None);
            Ok(Accept::new())
        }

        async fn receive(&mut self, ctx: &Context, _message: Message) -> strait::Result {
            let User(name) = ctx.scope().extension().ok_or("no user")?;
            ctx.send_text(name).await?;
            Ok(())
        }
    }
    let inner = Router::new()
        .path("me/", |scope| {
            let made_for = scope.extension().ok_or_else(Reject::unauthorized)?;
            Ok(Greeter { made_for })
        })
        .check(|scope| async move {
            let User(name) = scope.extension().ok_or_else(Reject::unauthorized)?;
            scope.insert_extension(User(name.to_uppercase()));
            Ok(())
        });
    let router = Router::new().nest("", inner).check(|scope| async move {
        if let Some(name) = scope.header("x-user") {
            scope.insert_extension(User(name.to_owned()));
        }
        Ok(())
    });
    let (service, _) = router.into_service();
    let mut client = Communicator::new(&service, "/me/").header("X-User", "ada");
    client.connect().await.unwrap();
    client.send_text("who am I?").await.unwrap();
    assert_eq!(client.receive_text().await.unwrap(), "ADA");
    let refused = Communicator::new(&service, "/me/").connect().await;
    assert_eq!(refused.unwrap_err().status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn state_is_inherited_by_nested_routers_and_replaced_by_their_own() {
    let show = |scope: &Scope| {
        let number: &u32 = scope.state();
        let word = scope.try_state::<&str>().unwrap_or(&"none");
        let flag = scope.try_state::<bool>().is_some();
        format!("{number} {word} {flag}")
    };
    let innermost = Router::new().path("c/", tell(show)).state("innermost");
    let inner = Router::new()
        .path("b/", tell(show))
        .nest("n", innermost)
        .state(2_u32)
        .state("inner");
    let router = Router::new()
        .nest("n", inner)
        .path("a/", tell(show))
        .nest("plain", Router::new().path("d/", tell(show)))
        .state(0_u32)
        .state(1_u32);
    check(
        router,
        &[
            hit("/a/", "1 none false"),
            hit("/n/b/", "2 inner false"),
            hit("/n/n/c/", "2 innermost false"),
            hit("/plain/d/", "1 none false"),
        ],
    )
    .await;
}

#[tokio::test]
async fn missing_state_is_a_mistake_of_the_program_500() {
    struct Db;
    let router = Router::new().path("x/", |scope| {
        let _: &Db = scope.state();
        Ok(Probe { label: "x" })
    });
    check(router, &[refused("/x/", 500)]).await;
}

/// In the group "all" of whatever layer its router has.
struct Member;

impl Consumer for Member {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("all").await?;
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        ctx.send(message).await?;
        Ok(())
    }

    async fn event(&mut self, ctx: &Context, event: Event) -> strait::Result {
        ctx.send_text(event.kind()).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_nested_router_may_have_a_channel_layer_of_its_own() {
    let (outer, inner) = (ChannelLayer::memory(), ChannelLayer::memory());
    let member = |_: &Scope| Ok(Member);
    let router = Router::new()
        .nest(
            "own",
            Router::new()
                .path("x/", member)
                .channel_layer(inner.clone()),
        )
        .nest("shared", Router::new().path("x/", member))
        .path("x/", member)
        .channel_layer(outer.clone());
    let (service, _) = router.into_service();
    let mut clients = Vec::new();
    for path in ["/own/x/", "/shared/x/", "/x/"] {
        let mut client = Communicator::new(&service, path);
        client.connect().await.unwrap();
        clients.push(client);
    }
    let published = outer.group_send("all", &Event::new("outer")).await.unwrap();
    assert_eq!(published.receivers, 2);
    let published = inner.group_send("all", &Event::new("inner")).await.unwrap();
    assert_eq!(published.receivers, 1);
    for (client, expected) in clients.iter_mut().zip(["inner", "outer", "outer"]) {
        assert_eq!(client.receive_text().await.unwrap(), expected);
        client.expect_nothing().await.unwrap();
    }
}

#[tokio::test]
async fn without_a_layer_all_routes_share_one() {
    let member = |_: &Scope| Ok(Member);
    let router = Router::new()
        .path("x/", member)
        .path("send/", |_| Ok(Publisher))
        .nest("n", Router::new().path("x/", member));
    let (service, _) = router.into_service();
    let mut here = Communicator::new(&service, "/x/");
    let mut nested = Communicator::new(&service, "/n/x/");
    let mut publisher = Communicator::new(&service, "/send/");
    here.connect().await.unwrap();
    nested.connect().await.unwrap();
    publisher.connect().await.unwrap();
    for client in [&mut here, &mut nested] {
        assert_eq!(client.receive_text().await.unwrap(), "published");
    }
}

struct Publisher;

impl Consumer for Publisher {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        let event = Event::new("published");
        ctx.layer().group_send("all", &event).await?;
        Ok(Accept::new())
    }
}

#[tokio::test]
async fn a_nested_router_may_have_limits_of_its_own() {
    let member = |_: &Scope| Ok(Member);
    let small = Router::new()
        .path("x/", member)
        .config(Config::new().max_message(4));
    let router = Router::new()
        .nest("small", small)
        .nest("same", Router::new().path("x/", member))
        .path("x/", member)
        .config(Config::new().max_message(8));
    let (service, _) = router.into_service();
    for (path, limit) in [("/small/x/", 4), ("/same/x/", 8), ("/x/", 8)] {
        let mut client = Communicator::new(&service, path);
        client.connect().await.unwrap();
        let longest = "x".repeat(limit);
        client.send_text(&longest).await.unwrap();
        assert_eq!(client.receive_text().await.unwrap(), longest, "{path}");
        client.send_text(format!("{longest}x")).await.unwrap();
        let (code, _) = client.expect_close().await.unwrap();
        assert_eq!(code, CloseCode::MESSAGE_TOO_BIG, "{path}");
    }
}

#[tokio::test]
async fn a_nested_router_may_have_origins_of_its_own_and_they_go_before_checks() {
    let steps = Steps::default();
    let partner = Router::new()
        .path("x/", noting(&steps))
        .origins(Origins::list(["https://partner.example"]));
    let open = Router::new()
        .path("x/", noting(&steps))
        .origins(Origins::any());
    let router = Router::new()
        .nest("partner", partner)
        .nest("open", open)
        .nest("same", Router::new().path("x/", noting(&steps)))
        .path("x/", noting(&steps));
    let (service, _) = steps.check(router, "check").into_service();
    let partner = Some("https://partner.example");
    let same = Some("http://testserver");
    let rows = [
        ("/x/", None, true),
        ("/x/", same, true),
        ("/x/", partner, false),
        ("/same/x/", same, true),
        ("/same/x/", partner, false),
        ("/partner/x/", partner, true),
        ("/partner/x/", same, false),
        ("/partner/x/", None, false),
        ("/open/x/", Some("null"), true),
        ("/open/x/", None, true),
    ];
    for (path, origin, allowed) in rows {
        let mut client = Communicator::new(&service, path);
        if let Some(origin) = origin {
            client = client.header("Origin", origin);
        }
        let got = client.connect().await;
        let got = got.map_or_else(|refused| refused.status.as_u16(), |_| 101);
        let (status, ran) = match allowed {
            true => (101, vec!["check", "factory", "connect"]),
            false => (403, vec![]),
        };
        assert_eq!(got, status, "{path} {origin:?}");
        assert_eq!(steps.taken(), ran, "{path} {origin:?}");
    }
}

#[tokio::test]
async fn the_scope_tells_a_consumer_all_of_its_request_and_route() {
    let show = |scope: &Scope| {
        format!(
            "{} | {} | {:?} | {} | {:?} {:?} | {:?} | {:?}",
            scope.route(),
            greeting("scope", scope),
            scope.query("token"),
            scope.query_string(),
            scope.header("x-one"),
            scope.header("X-Missing"),
            scope.subprotocols().collect::<Vec<_>>(),
            scope.peer(),
        )
    };
    let inner = Router::new()
        .re_path(r"^re/(\d+)/$", tell(show))
        .path("<slug:name>/", tell(show));
    let (service, _) = Router::new().nest("p/<int:id>", inner).into_service();
    let rows = [
        (
            "/p/5/x/?token=a%26b&token=2",
            r#"p/<int:id>/<slug:name>/ | scope id=5 name=x | Some("a&b") | token=a%26b&token=2 | Some("1") None | ["a", "b"] | None"#,
        ),
        (
            "/p/5/re/7/",
            r#"p/<int:id>/^re/(\d+)/$ | scope id=5 [7] | None |  | Some("1") None | ["a", "b"] | None"#,
        ),
    ];
    for (path, expected) in rows {
        let mut client = Communicator::new(&service, path)
            .header("X-One", "1")
            .subprotocols(["a", "b"]);
        client.connect().await.unwrap();
        assert_eq!(client.receive_text().await.unwrap(), expected, "{path}");
    }
}
