//! [`Fake`]: a server in place of Redis that says what a test wants, over RESP3.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

#[derive(Debug)]
pub(crate) struct Fake {
    address: SocketAddr,
    task: AbortHandle,
}

impl Fake {
    /// Answers each command, given as its words, by what this returns. A byte is a character of the
    /// same number, either way.
    pub(crate) async fn start(
        answer: impl Fn(&[String]) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(serve(client, answer.clone()));
            }
        });
        Self {
            address,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answers of a Redis to which nobody else is connected.
pub(crate) fn as_redis(words: &[String]) -> String {
    let push = |parts: &[&str]| {
        let parts = parts.iter().map(|part| bulk(part)).collect::<String>();
        format!(">3\r\n{parts}")
    };
    match &*words[0] {
        "HELLO" => {
            let pairs = [
                ("version", "7.0.15"),
                ("mode", "standalone"),
                ("role", "master"),
            ];
            let pairs = pairs.map(|(name, value)| bulk(name) + &bulk(value));
            format!("%3\r\n{}", pairs.concat())
        }
        "PUBLISH" => push(&["message", &words[1], &words[2]]) + ":1\r\n",
        "SUBSCRIBE" | "PSUBSCRIBE" | "UNSUBSCRIBE" => {
            let verb = words[0].to_lowercase();
            let confirm = |topic: &String| push(&[&verb, topic]) + ":1\r\n";
            words[1..].iter().map(confirm).collect()
        }
        _ => "+OK\r\n".to_owned(),
    }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.chars().count())
}

async fn serve(client: TcpStream, answer: Arc<impl Fn(&[String]) -> String>) -> Option<()> {
    let mut client = BufReader::new(client);
    loop {
        let count = number(&mut client).await?;
        let mut words = Vec::new();
        for _ in 0..count {
            let length = number(&mut client).await?;
            let mut word = vec![0; length + 2];
            client.read_exact(&mut word).await.ok()?;
            word.truncate(length);
            words.push(word.into_iter().map(char::from).collect());
        }
        let answer = answer(&words);
        let bytes: Vec<_> = answer
            .chars()
            .map(|char| u8::try_from(char).unwrap())
            .collect();
        client.write_all(&bytes).await.ok()?;
    }
}

/// Of a line such as `*3` or `$12`.
async fn number(client: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    client.read_line(&mut line).await.ok()?;
    line.trim_end().get(1..)?.parse().ok()
}
