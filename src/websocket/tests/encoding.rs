//! tungstenite reads frames of this codec, and the other way round.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{mem, slice};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any};
use proptest::sample::select;
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode as TheirOpCode};

use crate::websocket::close::CloseBody;
use crate::websocket::tests::reference::{Heard, tungstenite, tungstenite_hears, we_hear};
use crate::websocket::{
    ControlPayload, Incoming, OpCode, Role, close_payload, encode_into, encode_masked_into, frame,
    header,
};

const LIMIT: usize = 1 << 20;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn tungstenite_reads_what_a_server_of_ours_writes(said in vec(said(), 0..6)) {
        let mut out = Vec::new();
        for one in &said {
            let (opcode, payload) = parts(one);
            let start = out.len();
            encode_into(&mut out, opcode, &payload);
            prop_assert_eq!(&frame(opcode, &payload)[..], &out[start..]);
            let header = header(opcode, payload.len());
            prop_assert_eq!(&[&header[..], &payload].concat()[..], &out[start..]);
        }
        let theirs = tungstenite_hears(Role::Client, LIMIT, slice::from_ref(&out));
        prop_assert_eq!(theirs, heard(&said));
        prop_assert_eq!(we_hear(Role::Client, LIMIT, &[out]), heard(&said));
    }

    #[test]
    fn tungstenite_reads_what_a_client_of_ours_writes(
        said in vec((said(), any::<[u8; 4]>()), 0..6),
    ) {
        let mut out = b"before".to_vec();
        for (one, key) in &said {
            let (opcode, payload) = parts(one);
            encode_masked_into(&mut out, opcode, *key, &payload);
        }
        let out = out.split_off(6);
        let said: Vec<Incoming> = said.into_iter().map(|(one, _)| one).collect();
        let theirs = tungstenite_hears(Role::Server, LIMIT, slice::from_ref(&out));
        prop_assert_eq!(theirs, heard(&said));
        prop_assert_eq!(we_hear(Role::Server, LIMIT, &[out]), heard(&said));
    }

    #[test]
    fn we_read_what_tungstenite_writes(
        said in vec(said(), 0..6),
        their_role in select(vec![Role::Server, Role::Client]),
        piece in select(vec![1_usize, 7, 1000, 1 << 20]),
    ) {
        let mut socket = tungstenite(their_role, LIMIT, []);
        for one in &said {
            socket.write(in_their_words(one)).unwrap();
        }
        socket.flush().unwrap();
        let written = mem::take(&mut socket.get_mut().written);
        let pieces: Vec<Vec<u8>> = written.chunks(piece).map(<[u8]>::to_vec).collect();
        prop_assert_eq!(we_hear(other_end(their_role), LIMIT, &pieces), heard(&said));
    }

    #[test]
    fn we_join_what_tungstenite_fragments(
        parts in vec("[a-zé€🦀]{0,100}", 1..5),
        their_role in select(vec![Role::Server, Role::Client]),
    ) {
        let mut socket = tungstenite(their_role, LIMIT, []);
        for (index, part) in parts.iter().enumerate() {
            let opcode = if index == 0 { Data::Text } else { Data::Continue };
            let fin = index + 1 == parts.len();
            let part = Bytes::copy_from_slice(part.as_bytes());
            let frame = Frame::message(part, TheirOpCode::Data(opcode), fin);
            socket.write(Message::Frame(frame)).unwrap();
        }
        socket.flush().unwrap();
        let written = mem::take(&mut socket.get_mut().written);
        let said = [Incoming::Text(parts.concat())];
        prop_assert_eq!(we_hear(other_end(their_role), LIMIT, &[written]), heard(&said));
    }

    #[test]
    fn close_bodies_survive(
        code in select(vec![1000_u16, 1008, 1012, 3000, 4008]),
        reason in "\\PC{0,200}",
    ) {
        let payload = close_payload(code, &reason);
        prop_assert!(payload.len() <= ControlPayload::MAX);
        let wire = [frame(OpCode::Close, &payload).to_vec()];
        let heard = we_hear(Role::Client, 0, &wire);
        prop_assert_eq!(&heard, &tungstenite_hears(Role::Client, 0, &wire));
        let Some(Incoming::Close(Some(body))) = heard.messages.first() else {
            panic!("no close: {heard:?}");
        };
        prop_assert_eq!(body.code, code);
        prop_assert!(reason.starts_with(&body.reason));
        prop_assert!(body.reason == reason || body.reason.len() > 123 - 4);
    }
}

/// Anything but a close, with payloads around the steps of the length.
fn said() -> impl Strategy<Value = Incoming> {
    let len = select(vec![0_usize, 1, 7, 125, 126, 127, 1000, 65_535, 65_536]);
    let bytes = (len, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]);
    let payload = vec(any::<u8>(), 0..=125);
    prop_oneof![
        4 => "\\PC{0,100}".prop_map(Incoming::Text),
        2 => (50_usize..70).prop_map(|len| Incoming::Text("é".repeat(len))),
        4 => bytes.prop_map(|bytes| Incoming::Binary(bytes.into())),
        2 => payload.clone().prop_map(|bytes| Incoming::Ping(ControlPayload::new(&bytes))),
        2 => payload.prop_map(|bytes| Incoming::Pong(ControlPayload::new(&bytes))),
    ]
}

fn parts(said: &Incoming) -> (OpCode, Vec<u8>) {
    match said {
        Incoming::Text(text) => (OpCode::Text, text.as_bytes().to_vec()),
        Incoming::Binary(bytes) => (OpCode::Binary, bytes.to_vec()),
        Incoming::Ping(payload) => (OpCode::Ping, payload.to_vec()),
        Incoming::Pong(payload) => (OpCode::Pong, payload.to_vec()),
        Incoming::Close(None) => (OpCode::Close, Vec::new()),
        Incoming::Close(Some(CloseBody { code, reason })) => {
            (OpCode::Close, close_payload(*code, reason).to_vec())
        }
    }
}

fn in_their_words(said: &Incoming) -> Message {
    match said {
        Incoming::Text(text) => Message::text(text.as_str()),
        Incoming::Binary(bytes) => Message::Binary(bytes.clone()),
        Incoming::Ping(payload) => Message::Ping(Bytes::copy_from_slice(payload)),
        Incoming::Pong(payload) => Message::Pong(Bytes::copy_from_slice(payload)),
        Incoming::Close(body) => Message::Close(body.as_ref().map(|body| CloseFrame {
            code: body.code.into(),
            reason: body.reason.as_str().into(),
        })),
    }
}

fn heard(said: &[Incoming]) -> Heard {
    Heard {
        messages: said.to_vec(),
        refused: None,
    }
}

fn other_end(role: Role) -> Role {
    match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    }
}
