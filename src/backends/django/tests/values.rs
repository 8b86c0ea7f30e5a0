//! Values of each kind, as Python's `msgpack.packb` writes them; and what neither format may hold.

#![allow(clippy::unwrap_used, reason = "a failing row should panic")]

use sha1::{Digest, Sha1};

use crate::backends::django::output::{MAX_DEPTH, MAX_EVENT, Unreadable};
use crate::backends::django::{json, msgpack};

#[test]
fn msgpack_is_what_python_writes() {
    let characters = ["x".repeat(31), "x".repeat(32)].map(|text| format!("{text:?}"));
    let of_31 = format!("bf{}", "78".repeat(31));
    let of_32 = format!("d920{}", "78".repeat(32));
    // From `msgpack.packb` 1.2.
    let rows = [
        ("null", "c0"),
        ("true", "c3"),
        ("false", "c2"),
        ("0", "00"),
        ("127", "7f"),
        ("128", "cc80"),
        ("255", "ccff"),
        ("256", "cd0100"),
        ("65535", "cdffff"),
        ("65536", "ce00010000"),
        ("4294967295", "ceffffffff"),
        ("4294967296", "cf0000000100000000"),
        ("18446744073709551615", "cfffffffffffffffff"),
        ("-1", "ff"),
        ("-32", "e0"),
        ("-33", "d0df"),
        ("-128", "d080"),
        ("-129", "d1ff7f"),
        ("-32768", "d18000"),
        ("-32769", "d2ffff7fff"),
        ("-2147483648", "d280000000"),
        ("-2147483649", "d3ffffffff7fffffff"),
        ("-9223372036854775808", "d38000000000000000"),
        ("0.0", "cb0000000000000000"),
        ("1.5", "cb3ff8000000000000"),
        ("-2.25", "cbc002000000000000"),
        ("1e300", "cb7e37e43c8800759c"),
        (r#""""#, "a0"),
        (r#""é""#, "a2c3a9"),
        (r#""\"\\/\n""#, "a4225c2f0a"),
        (&characters[0], &of_31),
        (&characters[1], &of_32),
        ("[]", "90"),
        ("[1,[2,[3]]]", "920192029103"),
        ("{}", "80"),
        (r#"{"a":{"b":[]},"A":1}"#, "82a16181a16290a14101"),
        (
            "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]",
            "dc0010000102030405060708090a0b0c0d0e0f",
        ),
    ];
    for (json, msgpack) in rows {
        let written = to_msgpack(json.as_bytes()).map(|bytes| hex(&bytes));
        assert_eq!(written.as_deref(), Ok(msgpack), "{json}");
        let read = to_json(&unhex(msgpack)).map(|text| String::from_utf8(text).unwrap());
        let canonical: serde_json::Value = serde_json::from_str(json).unwrap();
        if !json.contains('{') {
            assert_eq!(read, Ok(canonical.to_string()), "{msgpack}");
        } else {
            assert_eq!(read.as_deref(), Ok(json), "the order of the keys stays");
        }
    }
}

#[test]
fn long_values_are_what_python_writes() {
    let event = |value: &str| format!(r#"{{"type":"t","v":{value}}}"#);
    let numbers: Vec<_> = (0..70_000).map(|number: u32| number.to_string()).collect();
    let rows = [
        (
            event(&format!("{:?}", "é".repeat(200))),
            "49e6aa55bfe0d320553a20799f22a08ac3cf9de0",
        ),
        (
            event(&format!("{:?}", "x".repeat(70_000))),
            "2c1ae036a2069b5430ef843e81b29bd84bc5152c",
        ),
        (
            event(&format!("[{}]", numbers.join(","))),
            "410e455be8f77e0b9e628eb285f7f46be88b0f42",
        ),
    ];
    for (json, sha1) in rows {
        let msgpack = to_msgpack(json.as_bytes()).unwrap();
        assert_eq!(hex(&Sha1::digest(&msgpack)), sha1, "{}", &json[..40]);
        assert_eq!(to_json(&msgpack).unwrap(), json.as_bytes());
    }
}

#[test]
fn values_that_only_msgpack_has_become_json() {
    let rows = [
        // `bytes` in each of its lengths.
        ("c400", r#""""#),
        ("c40300ff10", r#""AP8Q""#),
        ("c50002fffe", r#""//4=""#),
        ("c60000000100", r#""AA==""#),
        // Floats of four bytes, and those that are no number.
        ("ca3fc00000", "1.5"),
        ("cb7ff8000000000000", "null"),
        ("cb7ff0000000000000", "null"),
        ("cbfff0000000000000", "null"),
        ("ca7fc00000", "null"),
        // Wider than they need be, and signed though positive: not from Python.
        ("cf0000000000000001", "1"),
        ("d001", "1"),
        ("d30000000000000001", "1"),
        ("dd0000000101", "[1]"),
        ("df00000001a16101", r#"{"a":1}"#),
        ("81d90161db000000026263", r#"{"a":"bc"}"#),
    ];
    for (msgpack, json) in rows {
        let read = to_json(&unhex(msgpack)).map(|text| String::from_utf8(text).unwrap());
        assert_eq!(read.as_deref(), Ok(json), "{msgpack}");
    }
}

#[test]
fn msgpack_that_has_no_json_is_refused() {
    let deep = |levels: usize| [vec![0x91; levels], vec![0xc0]].concat();
    let rows = [
        (vec![], Unreadable::CUT_OFF),
        (unhex("92c0"), Unreadable::CUT_OFF),
        (unhex("81a161"), Unreadable::CUT_OFF),
        (unhex("cd01"), Unreadable::CUT_OFF),
        (unhex("a5616263"), Unreadable::CUT_OFF),
        // Four billion entries, and none of them there.
        (unhex("ddffffffff"), Unreadable::CUT_OFF),
        (unhex("dfffffffff"), Unreadable::CUT_OFF),
        (unhex("dbffffffff"), Unreadable::CUT_OFF),
        (unhex("c1"), Unreadable::MALFORMED_MSGPACK),
        (unhex("c0c0"), Unreadable::TRAILING),
        (unhex("a1ff"), Unreadable::NOT_UTF8),
        (unhex("81a1ff01"), Unreadable::NOT_UTF8),
        (unhex("810101"), Unreadable::KEY),
        (unhex("81c4016101"), Unreadable::KEY),
        (unhex("81c001"), Unreadable::KEY),
        (unhex("d60000000000"), Unreadable::EXTENSION),
        (unhex("d7ff0000000000000000"), Unreadable::EXTENSION),
        (unhex("c70101ff"), Unreadable::EXTENSION),
        (deep(MAX_DEPTH + 1), Unreadable::DEEP),
        (vec![0x91; 1_000_000], Unreadable::DEEP),
        // Short in msgpack, long in JSON.
        (
            [&unhex("dd00080000")[..], &vec![0xc2; 0x8_0000]].concat(),
            Unreadable::LARGE,
        ),
    ];
    for (bytes, why) in rows {
        let shown = hex(&bytes[..bytes.len().min(20)]);
        assert_eq!(to_json(&bytes).unwrap_err(), why, "{shown}");
    }
    assert!(to_json(&deep(MAX_DEPTH)).is_ok());
}

#[test]
fn the_json_of_python_is_read() {
    let rows = [
        // Its separators, and its ASCII.
        (r#"{"a": 1, "b": [1, 2]}"#, r#"{"a":1,"b":[1,2]}"#),
        (r#""\u00e9\ud83d\ude00\u0000""#, "\"é😀\\u0000\""),
        (" \t\r\n1 ", "1"),
        ("NaN", "null"),
        ("[Infinity, -Infinity, NaN]", "[null,null,null]"),
        (r#"{"NaN": "Infinity"}"#, r#"{"NaN":"Infinity"}"#),
        // As exact as it came.
        ("1180591620717411303424", "1180591620717411303424"),
        ("-1180591620717411303424", "-1180591620717411303424"),
        ("18446744073709551615", "18446744073709551615"),
        ("1e5", "100000.0"),
        ("1.0", "1.0"),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("[]", "[]"),
        ("[ ]", "[]"),
        ("{ }", "{}"),
    ];
    for (text, json) in rows {
        let read = from_json(text.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        assert_eq!(read.as_deref(), Ok(json), "{text}");
    }
}

#[test]
fn invalid_json_is_refused() {
    let deep = |levels: usize| "[".repeat(levels) + "1" + &"]".repeat(levels);
    let long = format!("{:?}", "x".repeat(MAX_EVENT));
    let (deepest, too_deep, brackets) = (deep(MAX_DEPTH), deep(MAX_DEPTH + 1), "[".repeat(100_000));
    let rows: &[(&[u8], Unreadable)] = &[
        (b"", Unreadable::CUT_OFF),
        (b"[1", Unreadable::CUT_OFF),
        (b"[1,", Unreadable::CUT_OFF),
        (b"{", Unreadable::CUT_OFF),
        (br#"{"a""#, Unreadable::CUT_OFF),
        (br#"{"a":"#, Unreadable::CUT_OFF),
        (br#""a"#, Unreadable::CUT_OFF),
        (br#""a\""#, Unreadable::CUT_OFF),
        (b"nul", Unreadable::MALFORMED_JSON),
        (b"[1,]", Unreadable::MALFORMED_JSON),
        (b"[,1]", Unreadable::MALFORMED_JSON),
        (b"[1 2]", Unreadable::MALFORMED_JSON),
        (b"[1}", Unreadable::MALFORMED_JSON),
        (br#"{"a" 1}"#, Unreadable::MALFORMED_JSON),
        (br#"{"a":1,}"#, Unreadable::MALFORMED_JSON),
        (br"{a:1}", Unreadable::MALFORMED_JSON),
        (br"{1:1}", Unreadable::MALFORMED_JSON),
        (b"01", Unreadable::MALFORMED_JSON),
        (b"-", Unreadable::MALFORMED_JSON),
        (b"--1", Unreadable::MALFORMED_JSON),
        (b"1-1", Unreadable::MALFORMED_JSON),
        (b"+1", Unreadable::MALFORMED_JSON),
        (b"1.", Unreadable::MALFORMED_JSON),
        (b".5", Unreadable::MALFORMED_JSON),
        (b"1e", Unreadable::MALFORMED_JSON),
        (b"'a'", Unreadable::MALFORMED_JSON),
        (b"\xef\xbb\xbf1", Unreadable::MALFORMED_JSON),
        (b"1 1", Unreadable::TRAILING),
        (b"1]", Unreadable::TRAILING),
        (b"NaNa", Unreadable::TRAILING),
        (b"\"\xff\"", Unreadable::NOT_UTF8),
        (b"\"\x01\"", Unreadable::SURROGATE),
        (br#""\ud800""#, Unreadable::SURROGATE),
        (br#""\x""#, Unreadable::SURROGATE),
        (too_deep.as_bytes(), Unreadable::DEEP),
        (brackets.as_bytes(), Unreadable::DEEP),
        (long.as_bytes(), Unreadable::LARGE),
    ];
    for (text, why) in rows {
        let shown = String::from_utf8_lossy(&text[..text.len().min(20)]);
        assert_eq!(from_json(text).unwrap_err(), *why, "{shown}");
    }
    assert!(from_json(deepest.as_bytes()).is_ok());
    let decoded = serde_json::from_str::<serde_json::Value>(&deepest);
    assert!(decoded.is_ok(), "a value that is passed on can be decoded");
    assert_eq!(to_msgpack(b"18446744073709551616"), Err(Unreadable::BIG));
}

fn to_msgpack(json: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut out = msgpack::Writer::default();
    json::read(json, &mut out)?;
    Ok(out.finish())
}

fn to_json(msgpack: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut out = json::Writer::default();
    msgpack::read(msgpack, &mut out)?;
    Ok(out.finish())
}

fn from_json(json: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut out = json::Writer::default();
    json::read(json, &mut out)?;
    Ok(out.finish())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

pub(super) fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}
