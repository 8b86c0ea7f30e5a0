//! Sizes, single frames, and what an idle decoder owns.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;

use crate::websocket::close::CloseBody;
use crate::websocket::encoder::Header;
use crate::websocket::{
    ControlPayload, Decoder, Incoming, OpCode, Role, Violation, close_payload, encode_into,
    encode_masked_into, frame, header,
};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[test]
fn types_are_small() {
    assert!(size_of::<Decoder>() <= 24, "{}", size_of::<Decoder>());
    assert!(size_of::<Incoming>() <= 40, "{}", size_of::<Incoming>());
    assert!(size_of::<ControlPayload>() <= 32);
    assert!(size_of::<Header>() <= 12);
    assert!(size_of::<Result<Option<Incoming>, Violation>>() <= 48);
}

#[test]
fn the_rfc_example_is_read() {
    let mut input = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    let mut decoder = Decoder::new(Role::Server, 64);
    let mut at = 0;
    let got = decoder.decode(&mut input, &mut at).unwrap();
    assert_eq!(got, Some(Incoming::Text("Hello".into())));
    assert_eq!(at, input.len());
    assert!(decoder.is_idle());
}

#[test]
fn several_frames_in_one_input_come_one_by_one() {
    let mut input = Vec::new();
    encode_masked_into(&mut input, OpCode::Text, MASK, "größe".as_bytes());
    encode_masked_into(&mut input, OpCode::Ping, MASK, b"x");
    encode_masked_into(&mut input, OpCode::Binary, MASK, &[7; 70_000]);
    encode_masked_into(&mut input, OpCode::Close, MASK, &close_payload(1000, "bye"));
    let expected = [
        Incoming::Text("größe".into()),
        Incoming::Ping(ControlPayload::new(b"x")),
        Incoming::Binary(Bytes::from(vec![7; 70_000])),
        Incoming::Close(Some(CloseBody {
            code: 1000,
            reason: "bye".into(),
        })),
    ];
    let mut decoder = Decoder::new(Role::Server, 70_000);
    let mut at = 0;
    for expected in expected {
        let got = decoder.decode(&mut input, &mut at).unwrap();
        assert_eq!(got, Some(expected));
        assert!(decoder.is_idle());
    }
    assert_eq!(decoder.decode(&mut input, &mut at), Ok(None));
    assert_eq!(at, input.len());
}

#[test]
fn a_message_cut_anywhere_is_the_same_message() {
    let mut whole = Vec::new();
    encode_into(&mut whole, OpCode::Text, "añ€🦀".repeat(30).as_bytes());
    for cut in 0..whole.len() {
        let mut decoder = Decoder::new(Role::Client, 4096);
        let (mut first, mut second) = (whole[..cut].to_vec(), whole[cut..].to_vec());
        let (mut at, mut at_second) = (0, 0);
        assert_eq!(decoder.decode(&mut first, &mut at), Ok(None), "cut {cut}");
        assert_eq!(at, cut);
        assert_eq!(decoder.is_idle(), cut == 0);
        let got = decoder.decode(&mut second, &mut at_second).unwrap();
        let text = "añ€🦀".repeat(30);
        assert_eq!(got, Some(Incoming::Text(text)), "cut {cut}");
        assert!(decoder.is_idle());
    }
}

#[test]
fn a_violation_stays() {
    let mut decoder = Decoder::new(Role::Server, 4096);
    let mut at = 0;
    let first = decoder.decode(&mut [0x83], &mut at).unwrap_err();
    assert_eq!(first.code, 1002);
    assert_eq!(first.to_string(), "reserved opcode 0x3 (1002)");
    let again = decoder.decode(&mut [0x81, 0x80, 0, 0, 0, 0], &mut 0);
    assert_eq!(again, Err(first));
    assert!(!decoder.is_idle());
}

#[test]
fn headers_are_shortest() {
    let rows: [(usize, &[u8]); 6] = [
        (0, &[0x82, 0]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (0xFFFF, &[0x82, 126, 0xFF, 0xFF]),
        (0x1_0000, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        (0x0102_0304, &[0x82, 127, 0, 0, 0, 0, 1, 2, 3, 4]),
    ];
    for (len, expected) in rows {
        assert_eq!(&*header(OpCode::Binary, len), expected, "length {len}");
    }
}

#[test]
fn a_frame_is_its_header_and_payload() {
    assert_eq!(&*frame(OpCode::Text, b"hi"), b"\x81\x02hi");
    assert_eq!(&*frame(OpCode::Pong, b""), b"\x8a\x00");
}

#[test]
fn close_reasons_are_cut_at_a_character() {
    assert_eq!(&*close_payload(1005, "ignored"), b"");
    assert_eq!(&*close_payload(1000, ""), &[0x03, 0xE8]);
    let long = close_payload(4008, &"€".repeat(50));
    assert_eq!(long.len(), 2 + 123);
    let odd = close_payload(4008, &format!("a{}", "€".repeat(50)));
    assert_eq!(odd.len(), 2 + 121);
}
