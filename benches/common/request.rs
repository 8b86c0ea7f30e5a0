//! The request that opens a socket, and its answer.

use std::net::SocketAddr;

use super::wire;

#[derive(Clone, Copy)]
pub(crate) enum Headers {
    Short,
    /// About 700 bytes, as a browser sends them from a page with four cookies.
    Browser,
}

pub(crate) fn request(address: SocketAddr, path: &str, headers: Headers) -> String {
    let more = match headers {
        Headers::Short => String::new(),
        Headers::Browser => format!("Origin: http://{address}\r\n{BROWSER}"),
    };
    let key = wire::KEY;
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\n{more}\r\n"
    )
}

/// Whether the answer is whole.
///
/// # Errors
///
/// When it is another than 101 with the accept key.
pub(crate) fn is_open(answer: &[u8]) -> Result<bool, String> {
    if !answer.ends_with(b"\r\n\r\n") {
        return Ok(false);
    }
    let text = String::from_utf8_lossy(answer);
    if text.starts_with("HTTP/1.1 101 ") && text.contains(wire::ACCEPT) {
        return Ok(true);
    }
    Err(format!("the handshake was answered with {text:?}"))
}

const BROWSER: &str = concat!(
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n",
    "Pragma: no-cache\r\nCache-Control: no-cache\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n",
    "Accept-Language: en-GB,en;q=0.9,de-DE;q=0.8,de;q=0.7,fr;q=0.6\r\n",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
    "Cookie: csrftoken=Zk3vTqXoW1bE9sYh2mJdLr8uPcNfA6gG; sessionid=5m2kq0x7v9p3ytw8ez1rbn4ucj6dhsal; _ga=GA1.1.1873649201.1763971200; theme=dark\r\n",
);
