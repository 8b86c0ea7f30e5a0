//! [`Socket`]: a client over TCP that notes what it hears and when, and answers pings.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::stage::Tick;
use crate::support::client::{Client, Frame, PATIENCE, PING, PONG, TEXT};

pub(crate) struct Socket {
    task: JoinHandle<Heard>,
    texts: mpsc::Sender<oneshot::Sender<String>>,
}

#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) ticks: Vec<(Tick, Instant)>,
    /// How the server ended it, if it did.
    pub(crate) closed: Option<String>,
}

impl Socket {
    pub(crate) async fn open(server: SocketAddr, path: &str) -> Self {
        let mut client = Client::connect(server, path).await;
        // Nothing comes while a test has it so.
        client.patience = None;
        let (texts, asked) = mpsc::channel(1);
        Self {
            task: tokio::spawn(listen(client, asked)),
            texts,
        }
    }

    /// Sends a text and returns the answer, which is no tick.
    pub(crate) async fn ask(&self) -> String {
        let (answer, answered) = oneshot::channel();
        self.texts.send(answer).await.unwrap();
        timeout(PATIENCE, answered).await.unwrap().unwrap()
    }

    pub(crate) async fn end(self) -> Heard {
        drop(self.texts);
        self.task.await.unwrap()
    }
}

/// Until nobody can ask any longer.
async fn listen(mut client: Client, mut asked: mpsc::Receiver<oneshot::Sender<String>>) -> Heard {
    let mut heard = Heard::default();
    let mut asking = None;
    while heard.closed.is_none() {
        let frame = tokio::select! {
            frame = client.try_frame() => frame,
            ask = asked.recv() => {
                let Some(answer) = ask else { return heard };
                asking = Some(answer);
                client.send_text("join").await;
                continue;
            }
        };
        let Ok(Some(Frame { opcode, payload })) = frame else {
            heard.closed = Some(format!("without a close frame: {frame:?}"));
            break;
        };
        match (opcode, serde_json::from_slice(&payload)) {
            (TEXT, Ok(tick)) => heard.ticks.push((tick, Instant::now())),
            (TEXT, Err(_)) => {
                let text = String::from_utf8_lossy(&payload).into_owned();
                asking.take().expect("a question").send(text).unwrap();
            }
            (PING, _) => client.send(PONG, payload).await,
            _ => heard.closed = Some(format!("opcode {opcode}: {payload:?}")),
        }
    }
    heard
}
