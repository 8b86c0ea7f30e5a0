//! The client's side of the NATS protocol: [`read`] takes apart what a server sends, and [`Output`]
//! collects what it is sent.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Deserialize;

/// One operation of the server's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// The first of a connection, and again when something changes.
    Info(Info),
    Message {
        /// The subscription's number.
        sid: u64,
        subject: Bytes,
        payload: Bytes,
    },
    Ping,
    /// The server has read everything before the `PING` that this answers.
    Pong,
    /// The text of an `-ERR`. It comes before the `PONG` of the next `PING`.
    Error(String),
    /// Nothing that matters.
    Ok,
}

/// A server's description of itself.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    /// In bytes.
    pub(super) max_payload: usize,
    pub(super) tls_required: bool,
    pub(super) tls_available: bool,
}

/// The bytes are no operation of a NATS server's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Takes the first operation out of the buffer. `None` if it is not complete.
///
/// # Errors
///
/// For anything else, and for lines and payloads that are too long.
pub(super) fn read(buffer: &mut BytesMut) -> Result<Option<Operation>, Malformed> {
    let Some(end) = buffer.iter().position(|byte| *byte == b'\n') else {
        return match buffer.len() {
            ..=LINE_MAX_BYTES => Ok(None),
            _ => Err(Malformed),
        };
    };
    let line = str::from_utf8(&buffer[..end]).map_err(|_| Malformed)?;
    let line = line.trim_end();
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let operation = match name {
        "MSG" => return read_message(buffer, end + 1),
        "PING" => Operation::Ping,
        "PONG" => Operation::Pong,
        "+OK" => Operation::Ok,
        "-ERR" => Operation::Error(rest.trim_matches('\'').to_owned()),
        "INFO" => Operation::Info(serde_json::from_str(rest).map_err(|_| Malformed)?),
        _ => return Err(Malformed),
    };
    buffer.advance(end + 1);
    Ok(Some(operation))
}

/// `MSG <subject> <sid> [reply-to] <length>`, and the payload behind this line.
fn read_message(buffer: &mut BytesMut, line: usize) -> Result<Option<Operation>, Malformed> {
    let head = str::from_utf8(&buffer[..line]).map_err(|_| Malformed)?;
    let begin = head.len() - head["MSG".len()..].trim_start().len();
    let mut words = head[begin..].split_ascii_whitespace();
    let (Some(subject), Some(sid), Some(last)) = (words.next(), words.next(), words.next()) else {
        return Err(Malformed);
    };
    let subject = begin..begin + subject.len();
    let sid = sid.parse().map_err(|_| Malformed)?;
    let length = words.next().unwrap_or(last);
    let length: usize = length.parse().map_err(|_| Malformed)?;
    if length > PAYLOAD_MAX_BYTES {
        return Err(Malformed);
    }
    if buffer.len() < line + length + END.len() {
        return Ok(None);
    }
    let head = buffer.split_to(line).freeze();
    let payload = buffer.split_to(length).freeze();
    if !buffer.starts_with(END) {
        return Err(Malformed);
    }
    buffer.advance(END.len());
    Ok(Some(Operation::Message {
        sid,
        subject: head.slice(subject),
        payload,
    }))
}

/// Operations of the client that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Output(pub(super) BytesMut);

impl Output {
    /// With a user and a password, or with a token.
    pub(super) fn connect(&mut self, user: Option<&str>, password: Option<&str>, tls: bool) {
        let (user, token) = match password {
            Some(_) => (user, None),
            None => (None, user),
        };
        let options = serde_json::json!({
            "verbose": false,
            "pedantic": false,
            "tls_required": tls,
            "name": "strait",
            "lang": "rust",
            "version": env!("CARGO_PKG_VERSION"),
            "protocol": 1,
            "echo": true,
            "headers": false,
            "user": user,
            "pass": password,
            "auth_token": token,
        });
        self.line(&["CONNECT ", &options.to_string()]);
    }

    pub(super) fn subscribe(&mut self, subject: &str, sid: u64) {
        self.line(&["SUB ", subject, " ", &sid.to_string()]);
    }

    pub(super) fn unsubscribe(&mut self, sid: u64) {
        self.line(&["UNSUB ", &sid.to_string()]);
    }

    pub(super) fn publish(&mut self, subject: &str, payload: &[u8]) {
        self.line(&["PUB ", subject, " ", &payload.len().to_string()]);
        self.0.put_slice(payload);
        self.line(&[]);
    }

    pub(super) fn ping(&mut self) {
        self.line(&["PING"]);
    }

    pub(super) fn pong(&mut self) {
        self.line(&["PONG"]);
    }

    fn line(&mut self, words: &[&str]) {
        for word in words {
            self.0.put_slice(word.as_bytes());
        }
        self.0.put_slice(END);
    }
}

/// An error of the server's that names the subject which this user may not use. The connection
/// stays.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Violation<'a> {
    Publish(&'a str),
    Subscription(&'a str),
}

impl<'a> Violation<'a> {
    /// Reads `Permissions Violation for Publish to "a.b"`, and the like for a subscription.
    pub(super) fn of(error: &'a str) -> Option<Self> {
        let rest = error.strip_prefix("Permissions Violation for ")?;
        let (what, rest) = rest.split_once(" to \"")?;
        let (subject, _) = rest.split_once('"')?;
        match what {
            "Publish" => Some(Self::Publish(subject)),
            "Subscription" => Some(Self::Subscription(subject)),
            _ => None,
        }
    }
}

const END: &[u8] = b"\r\n";
/// A server's longest line is its `INFO`, with the addresses of a cluster.
const LINE_MAX_BYTES: usize = 64 * 1024;
/// As much as a server can be set to take.
const PAYLOAD_MAX_BYTES: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test should panic")]

    use bytes::BytesMut;

    use super::{Info, LINE_MAX_BYTES, Malformed, Operation, Output, Violation, read};

    fn message(sid: u64, subject: &'static str, payload: &'static [u8]) -> Operation {
        Operation::Message {
            sid,
            subject: subject.into(),
            payload: payload.into(),
        }
    }

    #[test]
    fn reads_operations_however_the_bytes_are_cut() {
        let bytes = b"INFO {\"max_payload\":7,\"tls_available\":true,\"other\":[]}\r\n+OK\r\nPING\r\nMSG a.b 9 4\r\na\r\nb\r\n\
                      MSG a.b 9 reply.to 0\r\n\r\n-ERR 'Permissions Violation for Publish to \"a b\"'\r\nPONG\r\n";
        let expected = [
            Operation::Info(Info {
                max_payload: 7,
                tls_available: true,
                tls_required: false,
            }),
            Operation::Ok,
            Operation::Ping,
            message(9, "a.b", b"a\r\nb"),
            message(9, "a.b", b""),
            Operation::Error("Permissions Violation for Publish to \"a b\"".to_owned()),
            Operation::Pong,
        ];
        for step in 1..bytes.len() {
            let mut buffer = BytesMut::new();
            let mut operations = Vec::new();
            for part in bytes.chunks(step) {
                buffer.extend_from_slice(part);
                while let Some(operation) = read(&mut buffer).unwrap() {
                    operations.push(operation);
                }
            }
            assert_eq!(operations, expected, "in steps of {step} bytes");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn refuses_what_no_server_sends() {
        let long = vec![b'x'; LINE_MAX_BYTES + 1];
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"MSG a 1\r\n",
            b"MSG a x 1\r\na\r\n",
            b"MSG a 1 -1\r\n",
            b"MSG a 1 99999999999\r\n",
            b"MSG a 1 1\r\naXX",
            b"INFO {\r\n",
            b"\xff\r\n",
            &long,
        ] {
            let mut buffer = BytesMut::from(bytes);
            assert_eq!(
                read(&mut buffer),
                Err(Malformed),
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn writes_operations_as_lines() {
        let mut output = Output::default();
        output.subscribe("a.b", 7);
        output.publish("a.b", b"x\r\n");
        output.ping();
        output.pong();
        output.unsubscribe(7);
        let expected = "SUB a.b 7\r\nPUB a.b 3\r\nx\r\n\r\nPING\r\nPONG\r\nUNSUB 7\r\n";
        assert_eq!(output.0, expected);
    }

    #[test]
    fn a_violation_names_its_subject() {
        let of = Violation::of;
        let publish = "Permissions Violation for Publish to \"a.b\"";
        assert_eq!(of(publish), Some(Violation::Publish("a.b")));
        let reloaded = "Permissions Violation for Subscription to \"a.>\" (sid \"7\")";
        assert_eq!(of(reloaded), Some(Violation::Subscription("a.>")));
        assert_eq!(of("maximum subscriptions exceeded"), None);
    }
}
