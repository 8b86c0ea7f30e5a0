use strait::testing::{Communicator, TestServer};
use strait::{Consumer, Context, Message, Router};

struct Echo;
impl Consumer for Echo {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        Ok(ctx.send(message).await?)
    }
}

#[tokio::test(start_paused = true)]
async fn echo() {
    let mut client = Communicator::new(Router::new().path("ws/echo/", |_| Ok(Echo)), "/ws/echo/");
    client.connect().await.unwrap();
    client.send_text("hello").await.unwrap();
    assert_eq!(client.receive_text().await.unwrap(), "hello");
    client.expect_nothing().await.unwrap();
    client.disconnect().await.unwrap();
}

#[tokio::test]
async fn echo_tcp() {
    let server = TestServer::spawn(Router::new().path("ws/echo/", |_| Ok(Echo)))
        .await
        .unwrap();
    let stream = std::net::TcpStream::connect(server.local_addr()).unwrap();
    let url = server.url("/ws/echo/");
    let task = tokio::task::spawn_blocking(move || {
        let (mut ws, _) = tungstenite::client(url, stream).unwrap();
        ws.send("hi".into()).unwrap();
        let got = ws.read().unwrap();
        let closed = loop {
            match ws.read() {
                Ok(m) => println!("{m:?}"),
                Err(e) => break e,
            }
        };
        (got, closed)
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    println!("{:?}", server.stop().await);
    println!("{:?}", task.await.unwrap());
}
