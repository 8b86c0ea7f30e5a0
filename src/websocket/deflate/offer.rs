//! The offers of a client, and the answer (RFC 7692, sections 5 and 7.1).

use http::HeaderValue;

use super::syntax::{Extension, Malformed, Param, parse_all};
use super::window_bits::WindowBits;

/// The first acceptable offer of permessage-deflate among the lines of `Sec-WebSocket-Extensions`,
/// as the window to compress with and the header that answers it; `None` if there is no such offer.
///
/// Other extensions, and offers with a parameter that is unknown, doubled or has a value that it
/// must not have, are passed over, as section 5.1 wants it. The answer names no window for the
/// client, whatever it offers: its messages are inflated with the largest window, by an inflater
/// that the thread owns.
///
/// # Errors
///
/// The header does not follow its grammar; RFC 6455, 9.1, wants the connection failed for that.
pub(crate) fn agree<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    largest: WindowBits,
) -> Result<Option<(WindowBits, HeaderValue)>, Malformed> {
    // All of it, to the last: a fault is one wherever it stands.
    let extensions = parse_all(lines)?;
    let offer = extensions.iter().find_map(Offer::read);
    Ok(offer.and_then(|offer| offer.accept(largest)))
}

/// An offer that can be accepted.
#[derive(Debug, Default)]
struct Offer {
    server_window: Option<WindowBits>,
}

impl Offer {
    /// `None` for another extension, and for what has to be declined.
    fn read(extension: &Extension<'_>) -> Option<Self> {
        if extension.name != "permessage-deflate" {
            return None;
        }
        let mut offer = Self::default();
        for (at, param) in extension.params.iter().enumerate() {
            let before = &extension.params[..at];
            if before.iter().any(|earlier| earlier.name == param.name) {
                return None;
            }
            offer.take(param)?;
        }
        Some(offer)
    }

    fn take(&mut self, param: &Param<'_>) -> Option<()> {
        match (param.name, param.value.as_deref()) {
            ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
            ("client_max_window_bits", None) => {}
            ("client_max_window_bits", Some(value)) => {
                window(value)?;
            }
            ("server_max_window_bits", Some(value)) => {
                self.server_window = Some(WindowBits::new(window(value)?)?);
            }
            _ => return None,
        }
        Some(())
    }

    /// The window is named if the client asked for one, or if it is smaller than a client must
    /// expect.
    fn accept(&self, largest: WindowBits) -> Option<(WindowBits, HeaderValue)> {
        let window = self.server_window.unwrap_or(WindowBits::MAX).min(largest);
        if self.server_window.is_none() && window == WindowBits::MAX {
            return Some((window, HeaderValue::from_static(ANSWER)));
        }
        let bits = window.bits();
        let answer = format!("{ANSWER}; server_max_window_bits={bits}");
        Some((window, HeaderValue::try_from(answer).ok()?))
    }
}

/// 8 to 15, without a sign or a leading zero.
fn window(value: &str) -> Option<u8> {
    let bits: u8 = value.parse().ok()?;
    ((8..=15).contains(&bits) && value == bits.to_string()).then_some(bits)
}

/// Neither end remembers one message while it deals with the next.
const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
