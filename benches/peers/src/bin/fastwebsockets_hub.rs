//! fastwebsockets, upgraded by hyper, with a hub written by hand: a task that reads and one that
//! writes for each member.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use fastwebsockets::FragmentCollector;
use fastwebsockets::FragmentCollectorRead;
use fastwebsockets::Frame;
use fastwebsockets::OpCode;
use fastwebsockets::Payload;
use fastwebsockets::Role;
use fastwebsockets::WebSocket;
use fastwebsockets::WebSocketError;
use fastwebsockets::WebSocketWrite;
use fastwebsockets::after_handshake_split;
use fastwebsockets::upgrade::upgrade;
use http_body_util::Empty;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use peers::hub::Hub;
use peers::listen;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind(listen::address()?).await?;
    let hub = Arc::new(Hub::default());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let hub = Arc::clone(&hub);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answer(request, &hub);
                async { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A failure is the end of this socket; the load notices what it misses.
            let _ = connection.with_upgrades().await;
        });
    }
}

fn answer(mut request: Request<Incoming>, hub: &Arc<Hub<Bytes>>) -> Response<Empty<Bytes>> {
    // Its own future gives no access to the TCP stream, whose halves need no lock between them.
    let upgraded = hyper::upgrade::on(&mut request);
    let Ok((response, _)) = upgrade(&mut request) else {
        let mut refusal = Response::new(Empty::new());
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return refusal;
    };
    let path = request.uri().path().to_owned();
    let hub = Arc::clone(hub);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
            return;
        };
        let stream = parts.io.into_inner();
        let _ = match path.strip_prefix("/group/") {
            None => echo(stream).await,
            Some(name) => member(stream, name, &hub).await,
        };
    });
    response
}

async fn echo(stream: TcpStream) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(WebSocket::after_handshake(stream, Role::Server));
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Text => socket.write_frame(frame).await?,
            OpCode::Close => return Ok(()),
            OpCode::Binary | OpCode::Continuation | OpCode::Ping | OpCode::Pong => {}
        }
    }
}

async fn member(stream: TcpStream, name: &str, hub: &Hub<Bytes>) -> Result<(), WebSocketError> {
    let (membership, waiting) = hub.join(name);
    let (read, write) = stream.into_split();
    let (read, write) = after_handshake_split(read, write, Role::Server);
    let writer = tokio::spawn(write_waiting(write, waiting));
    let mut read = FragmentCollectorRead::new(read);
    loop {
        // Its own answers to pings are left out: the load sends none.
        let mut unanswered = async |_| Ok::<_, WebSocketError>(());
        let Ok(frame) = read.read_frame(&mut unanswered).await else {
            break;
        };
        match frame.opcode {
            OpCode::Text => membership.publish(&Bytes::copy_from_slice(&frame.payload)),
            OpCode::Close => break,
            OpCode::Binary | OpCode::Continuation | OpCode::Ping | OpCode::Pong => {}
        }
    }
    writer.abort();
    Ok(())
}

async fn write_waiting(
    mut socket: WebSocketWrite<OwnedWriteHalf>,
    mut waiting: mpsc::Receiver<Bytes>,
) -> Result<(), WebSocketError> {
    while let Some(payload) = waiting.recv().await {
        let frame = Frame::text(Payload::Borrowed(&payload));
        socket.write_frame(frame).await?;
    }
    Ok(())
}
