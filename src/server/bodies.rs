//! [`RequestBody`] and [`AnswerBody`]: the bodies of a request in hand; they tell the connection's
//! activity how it goes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use crate::error::BoxError;
use crate::service::Body;

use super::activity::InHand;

/// The body that the fallback reads. Only while it waits for more is it the client's turn to send.
pub(super) struct RequestBody {
    body: Incoming,
    in_hand: InHand,
    waits: bool,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, in_hand: InHand) -> Self {
        Self {
            body,
            in_hand,
            waits: false,
        }
    }

    fn go_on(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.in_hand.activity().body_goes_on();
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if frame.is_ready() {
            this.go_on();
        } else if !this.waits {
            this.waits = true;
            this.in_hand.activity().body_waits();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.go_on();
    }
}

/// The body of the answer. As long as it is not dropped, the request is in hand.
pub(super) struct AnswerBody {
    body: Body,
    _in_hand: InHand,
}

impl AnswerBody {
    pub(super) fn new(body: Body, in_hand: InHand) -> Self {
        Self {
            body,
            _in_hand: in_hand,
        }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
