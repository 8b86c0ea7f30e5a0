//! A peer that ends its half of the stream without a close frame, and reads on: the end is abnormal
//! (1006), what it had sent is received, and what was queued for it goes out.

use tokio::io::AsyncWriteExt;

use strait::ChannelLayer;
use strait::close::Cause;
use strait::config::Config;
use strait::testing::TestServer;

use super::actor::{Notes, RELAYED, padded};
use super::client::{BINARY, Client, Frame};
use super::line::{Line, router};

const LOST: (u16, String, Cause) = (1006, String::new(), Cause::Lost);

#[tokio::test(start_paused = true)]
async fn messages_sent_and_queued_before_the_half_close_arrive() {
    for running in [false, true] {
        let mut line = Line::open(Config::new(), 1000).await;
        line.peer.reads = false;
        for number in 0..5 {
            line.broadcast(padded(&format!("g{number}"), 700)).await;
        }
        line.pass(1).await;
        let first = if running { "wait" } else { "first" };
        for text in [first, "second", "third"] {
            line.say(text);
        }
        line.peer.half_close();
        // Less than the deadline of a stalled write.
        line.pass(9000).await;
        assert_eq!(line.closed(), (!running).then_some(LOST), "{running}");
        line.peer.reads = true;
        line.pass(1).await;
        let answers: &[&str] = if running {
            &["rwait"]
        } else {
            &["rfirst", "rsecond", "rthird"]
        };
        let expected = ["g0", "g1", "g2", "g3", "g4"].iter().chain(answers);
        assert!(line.peer.seen.iter().eq(expected), "{:?}", line.peer.seen);
        line.notes.tell(super::act::Act::GateOpens);
        line.pass(1).await;
        assert_eq!(line.closed(), Some(LOST), "{running}");
        assert_eq!(line.notes.lock().received, [first, "second", "third"]);
        // No close frame, and an end.
        assert!(line.peer.saw_end && line.peer.rest.is_empty());
        assert!(line.is_over(), "{running}");
    }
}

#[tokio::test(start_paused = true)]
async fn gives_up_a_peer_that_does_not_read_the_queue() {
    let mut line = Line::open(Config::new(), 1000).await;
    line.peer.reads = false;
    line.broadcast("x".repeat(5000)).await;
    line.pass(1).await;
    line.peer.half_close();
    let over = line.over().await;
    assert!((9_990..=10_010).contains(&over), "{over}");
    assert_eq!(line.closed(), Some(LOST));
}

#[tokio::test]
async fn over_tcp() {
    let (notes, layer) = (Notes::default(), ChannelLayer::memory());
    let config = Config::new().outgoing(64, 64 << 20);
    let server = TestServer::spawn(router(&notes, config, &layer))
        .await
        .unwrap();
    let mut client = Client::connect(server.local_addr(), "/").await;
    // More than the kernel's buffers take.
    let message = vec![7; 16 << 20];
    let published = layer.group_broadcast(RELAYED, message.clone()).await;
    assert_eq!(published.unwrap().receivers, 1);
    client.send_text("hi").await;
    client.stream.shutdown().await.unwrap();
    let frame = client.frame().await.unwrap();
    let length = frame.payload.len();
    assert!(frame == Frame::new(BINARY, message), "{length} bytes");
    // The answer to the message, which came before the end.
    assert_eq!(client.receive_text().await, "rhi");
    assert_eq!(client.frame().await, None);
    assert_eq!(notes.lock().received, ["hi"]);
    server.stop().await;
    let notes = notes.lock();
    let [closed] = &*notes.farewells else {
        panic!("{:?}", notes.farewells);
    };
    assert_eq!(
        (closed.code().as_u16(), closed.cause()),
        (1006, Cause::Lost)
    );
}
