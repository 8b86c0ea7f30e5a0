//! [`Tickets`]: verifies tickets that Django's `TimestampSigner` has signed in `orders/tickets.py`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Verifies tickets: `42:1r31eq:…`, which is an order, the time in base 62, and an HMAC of both.
#[derive(Clone)]
pub(crate) struct Tickets {
    key: [u8; 32],
}

impl Tickets {
    /// `key` is `settings.SOCKETS_KEY`. Django derives one key from it for each salt of a signer.
    pub(crate) fn new(key: &str) -> Self {
        let derived = Sha256::new()
            .chain_update(SALT)
            .chain_update("signer")
            .chain_update(key);
        Self {
            key: derived.finalize().into(),
        }
    }

    /// Whether it was signed for this order, at most a minute ago. Clocks of two machines
    /// differ, so it may also be of a moment that is still to come.
    pub(crate) fn opens(&self, ticket: &str, order_id: u64, now: SystemTime) -> bool {
        self.signed(ticket).is_some_and(|(order, at)| {
            let age = now.duration_since(UNIX_EPOCH + at).unwrap_or_default();
            order == order_id.to_string() && age <= MAX_AGE
        })
    }

    /// Signs as Django does.
    #[cfg(test)]
    pub(crate) fn sign(&self, order_id: u64, at: SystemTime) -> Option<String> {
        let mut seconds = at.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let mut digits = String::new();
        while seconds > 0 {
            digits.insert(0, char::from(DIGITS[(seconds % 62) as usize]));
            seconds /= 62;
        }
        let signed = format!("{order_id}:{digits}");
        let mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        let signature = mac.chain_update(&signed).finalize().into_bytes();
        Some(format!("{signed}:{}", BASE64URL_NOPAD.encode(&signature)))
    }

    /// The content of a ticket with a valid signature: the order, and the time of signing.
    fn signed<'a>(&self, ticket: &'a str) -> Option<(&'a str, Duration)> {
        let (signed, signature) = ticket.rsplit_once(':')?;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
        let mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        // It takes the same time for every wrong one.
        mac.chain_update(signed).verify_slice(&signature).ok()?;
        let (order, at) = signed.rsplit_once(':')?;
        Some((order, Duration::from_secs(from_base_62(at)?)))
    }
}

fn from_base_62(digits: &str) -> Option<u64> {
    digits.bytes().try_fold(0_u64, |number, digit| {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        number.checked_mul(62)?.checked_add(value as u64)
    })
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SALT: &str = "order-tracking";
const MAX_AGE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::Tickets;

    /// Written by Django 5.2 at second 1,700,000,000.
    const TICKET: &str = "42:1r31eq:myAQWT8CJTnbnYVNQIS-lJqVesmfYUduMxnNdfovGo8";

    #[test]
    fn a_ticket_of_django_opens_its_order_for_a_minute() {
        let tickets = Tickets::new("for-development-only");
        for (ticket, order_id, second, opens) in [
            (TICKET, 42, 0, true),
            (TICKET, 42, 60, true),
            (TICKET, 42, -30, true),
            (TICKET, 42, 61, false),
            (TICKET, 4, 0, false),
            (
                "4:1r31eq:myAQWT8CJTnbnYVNQIS-lJqVesmfYUduMxnNdfovGo8",
                4,
                0,
                false,
            ),
            (
                "42:1r31er:myAQWT8CJTnbnYVNQIS-lJqVesmfYUduMxnNdfovGo8",
                42,
                0,
                false,
            ),
            (
                "42:1r31eq:myAQWT8CJTnbnYVNQIS-lJqVesmfYUduMxnNdfovGo",
                42,
                0,
                false,
            ),
            // Of another key, and of another salt.
            (
                "42:1r31eq:pm3kC5Ux58QYBHAWvx9PUcz4BaanIcl0gBuwIm7k9vI",
                42,
                0,
                false,
            ),
            (
                "42:1r31eq:6P9iO6XX3WEuLM1YZRk5f1WQNtiGbPopoHAPJs4A66c",
                42,
                0,
                false,
            ),
            ("42", 42, 0, false),
            ("", 42, 0, false),
            (":", 42, 0, false),
        ] {
            let now =
                UNIX_EPOCH + Duration::from_secs(1_700_000_000_u64.saturating_add_signed(second));
            assert_eq!(
                tickets.opens(ticket, order_id, now),
                opens,
                "{ticket:?} {order_id} {second}"
            );
        }
    }
}
