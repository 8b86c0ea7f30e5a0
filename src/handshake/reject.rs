//! [`Reject`]: the answer that keeps a client out.

use std::ops::RangeInclusive;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::close::CloseCode;
use crate::error::{BoxError, Error};
use crate::random;

use super::accept::{is_framing, parse_header};

/// The answer of a factory, a check or `connect` that refuses a client: an HTTP status with headers
/// and a body; from `connect` also a close code right after acceptance.
///
/// `?` makes one of any error: 500, logged once and its text not sent. Some of strait's own errors
/// answer better: a route parameter that does not parse is 404, an unavailable channel layer 503
/// with a `Retry-After` of 5 to 30 s, at random.
///
/// An invalid group name made of a client's input is a 500, too, when `group_add` is awaited. Make
/// the name with [`GroupName::encode`](crate::layer::GroupName::encode), which takes any text,
/// behind a prefix of your own; or check it with `GroupName::try_from` and choose the answer.
///
/// ```
/// use strait::Reject;
///
/// let reject = Reject::status(429).header("retry-after", "30").body("too many tries");
/// ```
#[derive(Debug)]
#[must_use]
pub struct Reject {
    // Boxed, since it travels in the error half of every `Result` before acceptance.
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
    close: Option<(CloseCode, String)>,
    /// What `?` was used on; for the log.
    error: Option<BoxError>,
}

/// A refusal in its parts, for the code that answers it.
#[derive(Debug)]
pub(crate) enum Refusal {
    Http {
        status: StatusCode,
        headers: HeaderMap,
        body: String,
    },
    AfterAccept(CloseCode, String),
}

impl Reject {
    /// Answers with this status, an empty body and no headers. A number that is no status becomes
    /// 500; so does one below 200, which is no answer, with an error in the log.
    ///
    /// A browser's `WebSocket` shows none of it to its page, only that the connection failed
    /// (1006): where the page must know, use [`after_accept`](Self::after_accept).
    pub fn status(status: impl TryInto<StatusCode>) -> Self {
        let status = status
            .try_into()
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_informational() {
            return Self::from(Error::handshake(format!(
                "Reject::status: {status} is no answer"
            )));
        }
        Self::bare(status)
    }

    fn bare(status: StatusCode) -> Self {
        Self {
            inner: Box::new(Inner {
                status,
                headers: HeaderMap::new(),
                body: String::new(),
                close: None,
                error: None,
            }),
        }
    }

    /// 401: who are you?
    pub fn unauthorized() -> Self {
        Self::status(StatusCode::UNAUTHORIZED)
    }

    /// 403: not for you. The status that Channels answers if a consumer closes before it accepts.
    pub fn forbidden() -> Self {
        Self::status(StatusCode::FORBIDDEN)
    }

    /// 404: there is no such thing.
    pub fn not_found() -> Self {
        Self::status(StatusCode::NOT_FOUND)
    }

    /// Accepts the handshake and closes at once with this code and reason, because a page can read
    /// only a close code. If the client offered subprotocols, the first one is chosen: without one
    /// a browser would see 1006. Nothing else is written: messages queued in the meantime, the
    /// consumer's own and those of its groups, are dropped. `disconnect` does not run.
    ///
    /// This is for `connect`. A factory and a check run before there is a session that could close
    /// a socket: from them it is a plain 403. A code that may not be sent becomes a refusal with
    /// 500 and an error in the log.
    pub fn after_accept<C>(code: C, reason: impl Into<String>) -> Self
    where
        C: TryInto<CloseCode>,
        C::Error: Into<Error>,
    {
        match code.try_into() {
            Ok(code) => {
                let mut reject = Self::bare(StatusCode::SWITCHING_PROTOCOLS);
                reject.inner.close = Some((code, reason.into()));
                reject
            }
            Err(error) => Self::from(error.into()),
        }
    }

    /// Adds a header to the HTTP answer. One that says how the body is sent (`Content-Length`,
    /// `Transfer-Encoding`), or a bad name or value, makes it a 500 with an error in the log.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: std::fmt::Display>,
        V: TryInto<HeaderValue, Error: std::fmt::Display>,
    {
        match parse_header(name, value) {
            Ok((name, _)) if is_framing(&name) => {
                let what = format!("Reject::header: {name} follows from the body, leave it out");
                return Self::from(Error::handshake(what));
            }
            Ok((name, value)) => {
                self.inner.headers.append(name, value);
            }
            Err(what) => return Self::from(Error::handshake(format!("Reject::header: {what}"))),
        }
        self
    }

    /// Sets the body of the HTTP answer, as `text/plain` unless a `Content-Type` is given.
    pub fn body(mut self, text: impl Into<String>) -> Self {
        self.inner.body = text.into();
        self
    }

    /// The HTTP status; 101 for [`after_accept`](Self::after_accept).
    #[must_use]
    pub fn status_code(&self) -> StatusCode {
        self.inner.status
    }

    /// 503, and a time to come back that is not everybody's.
    pub(crate) fn unavailable() -> Self {
        Self::status(StatusCode::SERVICE_UNAVAILABLE).header(header::RETRY_AFTER, jitter(LATER))
    }

    /// The error that `?` made this of.
    pub(crate) fn error(&self) -> Option<&BoxError> {
        self.inner.error.as_ref()
    }

    pub(crate) fn into_refusal(self) -> Refusal {
        let inner = *self.inner;
        if let Some((code, reason)) = inner.close {
            return Refusal::AfterAccept(code, reason);
        }
        let mut headers = inner.headers;
        if !inner.body.is_empty() && !headers.contains_key(header::CONTENT_TYPE) {
            let plain = HeaderValue::from_static("text/plain; charset=utf-8");
            headers.insert(header::CONTENT_TYPE, plain);
        }
        Refusal::Http {
            status: inner.status,
            headers,
            body: inner.body,
        }
    }
}

impl<E: Into<BoxError>> From<E> for Reject {
    fn from(error: E) -> Self {
        let error = error.into();
        let known = error.downcast_ref::<Error>();
        let mut reject = match known {
            Some(error) if error.is_parameter() => return Self::not_found(),
            Some(error) if error.is_unavailable() => Self::unavailable(),
            _ => Self::status(StatusCode::INTERNAL_SERVER_ERROR),
        };
        reject.inner.error = Some(error);
        reject
    }
}

/// One of these seconds, at random.
pub(crate) fn jitter(seconds: RangeInclusive<u64>) -> u64 {
    random::in_range(seconds)
}

/// A random pause if no better time is known. It spreads the retries of clients that were refused
/// at the same time.
pub(crate) const LATER: RangeInclusive<u64> = 5..=30;

#[cfg(test)]
mod tests {
    use super::Reject;

    #[test]
    fn an_invalid_answer_is_a_500_that_is_logged() {
        let rows = [
            (Reject::status(418), 418, false),
            (Reject::status(9999), 500, false),
            (Reject::status(100), 500, true),
            (Reject::status(101), 500, true),
            (Reject::forbidden().header("content-length", "3"), 500, true),
            (
                Reject::forbidden().header("transfer-encoding", "gzip"),
                500,
                true,
            ),
            (Reject::forbidden().header("x-a", "b\r\nc: d"), 500, true),
            (Reject::forbidden().header("x-a", "b"), 403, false),
            (Reject::after_accept(4401, ""), 101, false),
        ];
        for (reject, status, is_logged) in rows {
            assert_eq!(reject.status_code(), status, "{reject:?}");
            assert_eq!(reject.error().is_some(), is_logged, "{reject:?}");
        }
    }
}
