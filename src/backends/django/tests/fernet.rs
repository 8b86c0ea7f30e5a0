//! Tokens of Python's `cryptography`, rotation, age, and tokens that were tampered with.

#![allow(clippy::unwrap_used, reason = "a failing row should panic")]

use std::time::Duration;

use data_encoding::BASE64URL;

use crate::backends::django::fernet::Fernet;
use crate::backends::django::output::Unreadable;

use super::values::unhex;

/// When the tokens of the table were made.
const MADE: u64 = 1_700_000_000;

#[test]
fn tokens_are_those_of_python() {
    let event =
        unhex("83a474797065ad6f726465722e75706461746564a269642aa6737461747573a773686970706564");
    let rows: &[(&str, &[u8], &str)] = &[
        (
            "order-secret",
            &event,
            "gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD8gRw6dPUBsDGEtRZOMjIMI75T6mov63H6a9UZTDJdxgWF8eqAHH_LBz_nf2zTGollN6xlMsV2fPmZgLBSvRi65LlmutnayvtJ5w_kj6hu3E",
        ),
        (
            "order-secret",
            b"",
            "gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD0gX_hcLiYNUSIGpX5qtNy_SOpVChITGJDYwnBU4Em5iOJGDSFn_CKmKRJKoBH56wg==",
        ),
        (
            "order-secret",
            b"0123456789abcdef",
            "gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD1nN7M11giZOdej5nI5G978BUgu4XnrD4o6ztc0ZhzaOOWi5iwKOfqNN26E3SNJt5rpwtFiHt348yuR9uKRiZa4=",
        ),
        (
            "",
            b"x",
            "gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD_7Xb6fItLLjeamIb6vINpGiAgrPF1TGIsKEGlF4Y-0WAcKoev6exyzYGAGQv7KnVg==",
        ),
        (
            "é",
            b"abc",
            "gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD53dU9f-EkzuK-NfTCEhbe-S-jzFb61fxI6GRVD4t1NAfKvwQTQx5OpB8lNrHAxJOg==",
        ),
    ];
    for (key, plain, token) in rows {
        let fernet = Fernet::new([key]).unwrap();
        let iv = std::array::from_fn(|at| at as u8);
        let written = String::from_utf8(fernet.encrypt(plain, MADE, iv)).unwrap();
        assert_eq!(written, *token, "{key}");
        let read = fernet.decrypt(token.as_bytes()).map(|read| read.plain);
        assert_eq!(read.as_deref(), Ok(*plain), "{key}");
    }
    assert!(Fernet::new([""; 0]).is_none());
}

#[test]
fn keys_can_be_rotated() {
    let [old, both, new] =
        [&["old"][..], &["new", "old"], &["new"]].map(|keys| Fernet::new(keys).unwrap());
    let rows = [
        ("old", &old, [true, true, false]),
        ("both", &both, [false, true, true]),
        ("new", &new, [false, true, true]),
    ];
    for (name, sender, readable) in rows {
        let token = sender.encrypt(b"event", MADE, [7; 16]);
        let read = [&old, &both, &new].map(|reader| reader.decrypt(&token).is_ok());
        assert_eq!(read, readable, "by old, both and new, of {name}");
    }
    assert!(
        !format!("{both:?}").contains("new"),
        "keys are not for logs"
    );
}

#[test]
fn a_token_has_its_age() {
    let fernet = Fernet::new(["order-secret"]).unwrap();
    let token = fernet.encrypt(b"event", MADE, [7; 16]);
    let token = fernet.decrypt(&token).unwrap();
    for (now, expected) in [
        (MADE, Ok(())),
        (MADE + 70, Ok(())),
        (MADE + 71, Err(Unreadable::OLD)),
        (MADE - 60, Ok(())),
        (MADE - 61, Err(Unreadable::FUTURE)),
        (0, Err(Unreadable::FUTURE)),
        (u64::MAX, Err(Unreadable::OLD)),
    ] {
        let checked = token.check_age(now, Duration::from_secs(70));
        assert_eq!(checked, expected, "{now}");
    }
}

#[test]
fn a_token_that_was_changed_is_refused() {
    let fernet = Fernet::new(["order-secret"]).unwrap();
    let token = fernet.encrypt(b"an event of some length", MADE, [7; 16]);
    let bytes = BASE64URL.decode(&token).unwrap();
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= bit;
            let changed = BASE64URL.encode(&changed).into_bytes();
            assert!(fernet.decrypt(&changed).is_err(), "byte {at}");
        }
    }
    for end in 0..token.len() {
        let cut = fernet.decrypt(&token[..end]);
        assert!(cut.is_err(), "the first {end}");
    }
    let other = Fernet::new(["another"]).unwrap().decrypt(&token);
    assert_eq!(
        other.err(),
        Some(Unreadable("it is encrypted with none of the keys"))
    );
}
