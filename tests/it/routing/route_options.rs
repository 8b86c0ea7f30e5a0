//! Options of one route: each holds there and nowhere else, before those of the routers around it.

use std::sync::{Arc, Mutex};

use strait::close::CloseCode;
use strait::config::Config;
use strait::handshake::Origins;
use strait::router::{Converter, Route, path, re_path};
use strait::testing::Communicator;
use strait::{Accept, ChannelLayer, Consumer, Context, Event, Message, Reject, Router, Scope};

/// Says in which state it finds itself, and what its group is sent.
struct Guest {
    id: u64,
}

impl Guest {
    fn new(_scope: &Scope) -> Result<Self, Reject> {
        Ok(Self { id: 0 })
    }
}

impl Consumer for Guest {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("all").relay().await?;
        let state = ctx.scope().try_state::<&str>().unwrap_or(&"none");
        ctx.send_text(format!("{} {state}", self.id)).await?;
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        Ok(ctx.send(message).await?)
    }
}

/// Has events of its own.
struct Typed;

impl Consumer<u8> for Typed {}

/// The factory's types are inferred in every form.
#[tokio::test]
async fn every_form_of_a_factory_infers() {
    let router = Router::new()
        .route(path("a/<int:id>/", |scope| {
            Ok(Guest {
                id: scope.param("id")?,
            })
        }))
        .route(re_path(r"b/(?P<id>\d+)/$", |scope| {
            let id = scope.param("id")?;
            Ok(Guest { id })
        }))
        .route(path("c/", Guest::new).config(Config::new()).state("c"))
        .route(path("d/", |_| Ok(Guest { id: 4 })).check(|_| async { Ok(()) }))
        .route(path("e/", |_| Ok(Typed)).origins(Origins::any()));
    let (service, _) = router.into_service();
    let rows = [
        ("a/5/", "5 none"),
        ("b/6/", "6 none"),
        ("c/", "0 c"),
        ("d/", "4 none"),
    ];
    for (path, greeting) in rows {
        let mut client = Communicator::new(&service, path);
        client.connect().await.unwrap();
        assert_eq!(client.receive_text().await.unwrap(), greeting, "{path}");
    }
    Communicator::new(&service, "e/").connect().await.unwrap();
}

/// Each option on the middle one of three routes.
#[tokio::test]
async fn an_option_holds_for_its_route_alone() {
    let (own, outer) = (ChannelLayer::memory(), ChannelLayer::memory());
    let special = path("own/", Guest::new)
        .state("own")
        .channel_layer(own.clone())
        .config(Config::new().max_message(4))
        .origins(Origins::list(["https://partner.example"]));
    let router = Router::new()
        .path("before/", Guest::new)
        .route(special)
        .path("after/", Guest::new)
        .state("outer")
        .channel_layer(outer.clone())
        .config(Config::new().max_message(8));
    let (service, _) = router.into_service();
    for (path, state, limit) in [
        ("before/", "outer", 8),
        ("own/", "own", 4),
        ("after/", "outer", 8),
    ] {
        let (own, other, layer) = if path == "own/" {
            ("https://partner.example", "http://testserver", &own)
        } else {
            ("http://testserver", "https://partner.example", &outer)
        };
        let client = || Communicator::new(&service, path);
        let refused = client().header("origin", other).connect().await;
        assert_eq!(refused.unwrap_err().status, 403, "{path}");
        let mut client = client().header("origin", own);
        client.connect().await.unwrap();
        assert_eq!(client.receive_text().await.unwrap(), format!("0 {state}"));
        let event = Event::new("x");
        assert_eq!(
            layer.group_send("all", &event).await.unwrap().receivers,
            1,
            "{path}"
        );
        client.receive_text().await.unwrap();
        client.send_text("x".repeat(limit + 1)).await.unwrap();
        let (code, _) = client.expect_close().await.unwrap();
        assert_eq!(code, CloseCode::MESSAGE_TOO_BIG, "{path}");
    }
}

/// Checks run from the outside in, the route's own last; a refusal ends them.
#[tokio::test]
async fn a_routes_checks_run_after_its_routers() {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let check = |name: &'static str| {
        let steps = steps.clone();
        move |scope: Scope| {
            steps.lock().unwrap().push(name);
            let refuse = scope.query("refuse").is_some_and(|who| who == name);
            async move {
                if refuse {
                    Err(Reject::forbidden())
                } else {
                    Ok(())
                }
            }
        }
    };
    let inner = Router::new()
        .route(
            path("x/", Guest::new)
                .check(check("route"))
                .check(check("last")),
        )
        .path("y/", Guest::new)
        .check(check("inner"));
    let router = Router::new().nest("in/", inner).check(check("outer"));
    let (service, _) = router.into_service();
    let rows: [(&str, bool, &[&str]); 5] = [
        ("in/x/", true, &["outer", "inner", "route", "last"]),
        ("in/y/", true, &["outer", "inner"]),
        ("in/x/?refuse=inner", false, &["outer", "inner"]),
        ("in/x/?refuse=route", false, &["outer", "inner", "route"]),
        ("in/y/?refuse=route", true, &["outer", "inner"]),
    ];
    for (path, accepted, expected) in rows {
        let answer = Communicator::new(&service, path).connect().await;
        assert_eq!(answer.is_ok(), accepted, "{path}");
        assert_eq!(
            std::mem::take(&mut *steps.lock().unwrap()),
            expected,
            "{path}"
        );
    }
}

struct Year;

impl Converter for Year {
    fn regex(&self) -> &str {
        "[0-9]{4}"
    }
}

/// A route is made before there is a router, and reads the converters of the one that takes it.
#[test]
fn a_route_has_the_converters_of_its_router() {
    let route = || -> Route { path("ws/<year:y>/", Guest::new) };
    let error = Router::new().try_route(route()).unwrap_err();
    assert!(
        error.is_route() && error.to_string().contains("`ws/<year:y>/`"),
        "{error}"
    );
    let router = Router::new().converter("year", Year).route(route());
    assert_eq!(format!("{router:?}"), r#"["ws/<year:y>/"]"#);
}
