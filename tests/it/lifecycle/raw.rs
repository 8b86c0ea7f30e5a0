//! [`Raw`]: a client over a pipe, and what a test expects of it.

use tokio::io::DuplexStream;

use crate::support::client::{Client, Frame, PING, PONG, TEXT};

pub(crate) type Raw = Client<DuplexStream>;

impl Raw {
    /// The next frame that is no ping; pings are answered.
    pub(crate) async fn answering(&mut self) -> Option<Frame> {
        loop {
            match self.frame().await? {
                ping if ping.opcode == PING => self.send(PONG, ping.payload).await,
                frame => return Some(frame),
            }
        }
    }

    /// The next frame, which must be this text; pings before it are answered.
    pub(crate) async fn expect_text(&mut self, text: &str) {
        let frame = self.answering().await.expect("a message, not the end");
        assert_eq!(frame.opcode, TEXT, "{frame:?}");
        assert_eq!(String::from_utf8_lossy(&frame.payload), text);
    }

    /// The next frame, which must be a close frame with a code; then answers it and waits for the
    /// end.
    pub(crate) async fn expect_close(&mut self) -> (u16, String) {
        let frame = self.answering().await.expect("a close frame, not the end");
        let (code, reason) = frame.close().expect("a close frame with a code");
        self.send_close(code, "").await;
        assert_eq!(self.frame().await, None);
        (code, reason)
    }
}
