//! Django's order-tracking tutorial in Rust: its consumer (accept, parse JSON, send a response) and
//! its route, verbatim.
//!
//! The code between the two `[tutorial]` lines corresponds line by line to the tutorial's
//! `consumers.py` and `routing.py`.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use tungstenite::Message as Frame;
use tungstenite::protocol::frame::coding::CloseCode;

use strait::testing::{Communicator, TestServer};

// [tutorial]
use strait::{Consumer, Context, Message, Router};

struct OrderConsumer;

impl Consumer for OrderConsumer {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        let data: serde_json::Value = message.json()?;
        // process the received data

        // send a response
        Ok(ctx.send_json(&response_data(&data)).await?)
    }
}

fn websocket_urlpatterns() -> Router {
    Router::new().re_path(r"ws/order-tracking/(?P<order_id>\d+)/$", |_| {
        Ok(OrderConsumer)
    })
}
// [tutorial]

/// The tutorial leaves open what it is.
fn response_data(data: &serde_json::Value) -> serde_json::Value {
    json!({ "received": data })
}

/// The lines of the tutorial's two Python files that are neither blank nor comments.
const LINES_IN_PYTHON: usize = 16;

#[test]
fn it_takes_no_more_lines_than_in_python() {
    let marker = "// [tutorial]\n";
    let ours = include_str!("tutorial.rs").split(marker).nth(1).unwrap();
    let lines = ours
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count();
    assert!(lines <= LINES_IN_PYTHON, "{lines} lines");
}

#[tokio::test]
async fn it_answers_in_memory() {
    let (service, _) = websocket_urlpatterns().into_service();
    let mut client = Communicator::new(&service, "/ws/order-tracking/5/");
    client.connect().await.unwrap();
    for request in [json!({ "status": "?" }), json!([1, 2]), json!("text")] {
        client.send_json(&request).await.unwrap();
        let response: serde_json::Value = client.receive_json().await.unwrap();
        assert_eq!(response, json!({ "received": request }));
    }
    client.disconnect().await.unwrap();
}

#[tokio::test]
async fn invalid_json_closes_with_1007_and_binary_with_1003() {
    let (service, _) = websocket_urlpatterns().into_service();
    for (message, code) in [
        (Message::from("{\"status\":"), 1007),
        (Message::from(vec![1, 2, 3]), 1003),
    ] {
        let mut client = Communicator::new(&service, "/ws/order-tracking/5/");
        client.connect().await.unwrap();
        match &message {
            Message::Text(text) => client.send_text(text).await.unwrap(),
            Message::Binary(bytes) => client.send_binary(bytes).await.unwrap(),
        }
        let (got, _reason) = client.expect_close().await.unwrap();
        assert_eq!(got, code, "{message:?}");
    }
}

#[tokio::test]
async fn other_paths_are_404() {
    let (service, _) = websocket_urlpatterns().into_service();
    for path in [
        "/ws/order-tracking/x/",
        "/ws/order-tracking/5",
        "/ws/order-tracking//",
        "/x/ws/order-tracking/5/",
        "/ws/order-tracking/5/y/",
    ] {
        let refused = Communicator::new(&service, path).connect().await;
        assert_eq!(refused.unwrap_err().status, 404, "{path}");
    }
}

#[tokio::test]
async fn it_answers_over_tcp() {
    let server = TestServer::spawn(websocket_urlpatterns()).await.unwrap();
    let (url, address) = (server.url("/ws/order-tracking/5/"), server.local_addr());
    let client = tokio::task::spawn_blocking(move || {
        let stream = TcpStream::connect(address).unwrap();
        let limit = Some(Duration::from_secs(5));
        stream.set_read_timeout(limit).unwrap();
        let (mut socket, response) = tungstenite::client(url, stream).unwrap();
        assert_eq!(response.status(), 101);
        socket.send(Frame::text(r#"{"status":"?"}"#)).unwrap();
        let answer = socket.read().unwrap();
        assert_eq!(answer, Frame::text(r#"{"received":{"status":"?"}}"#));
        socket.close(None).unwrap();
        loop {
            match socket.read() {
                Ok(Frame::Close(frame)) => {
                    assert!(frame.is_none_or(|frame| frame.code == CloseCode::Normal));
                }
                Ok(frame) => panic!("unexpected: {frame:?}"),
                Err(tungstenite::Error::ConnectionClosed) => break,
                Err(error) => panic!("not a clean end: {error}"),
            }
        }
    });
    client.await.unwrap();
    let drained = server.stop().await;
    assert_eq!((drained.closed, drained.abandoned), (0, 0));
}
