//! A session that has found nothing without the lock is woken by whatever comes then, and finds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use crate::close::{Cause, CloseCode};
use crate::config::{Config, Overflow};
use crate::mailbox::{Batch, CloseRequest, Encoded, Mailbox, Parcel, Terms};
use crate::websocket::Extensions;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn parcel() -> Parcel {
    Parcel::new(Encoded::event(b"{\"type\":\"x\"}"), None)
}

fn request() -> CloseRequest {
    CloseRequest {
        code: CloseCode::NORMAL,
        reason: String::new(),
        cause: Cause::Server,
    }
}

struct Row {
    what: &'static str,
    comes: fn(&Arc<Mailbox>),
    is_found: fn(&Mailbox, &Context<'_>) -> bool,
}

#[test]
fn whatever_comes_wakes_the_session_and_is_found() {
    let rows = [
        Row {
            what: "an event",
            comes: |mailbox| mailbox.deliver_event(&parcel(), Overflow::Close),
            is_found: |mailbox, cx| mailbox.poll_take(cx).is_ready(),
        },
        Row {
            what: "an event for this channel",
            comes: |mailbox| assert!(mailbox.offer_event(parcel().encoded)),
            is_found: |mailbox, cx| mailbox.poll_take(cx).is_ready(),
        },
        Row {
            what: "a frame",
            comes: |mailbox| {
                mailbox.deliver(&Batch::join([&parcel()].into_iter()), Overflow::Close)
            },
            is_found: |mailbox, _| mailbox.has_output(),
        },
        Row {
            what: "a close",
            comes: |mailbox| mailbox.close(request()),
            is_found: |mailbox, _| mailbox.is_shut() && mailbox.has_output(),
        },
        Row {
            what: "a request to close",
            comes: |mailbox| mailbox.request_close(request()),
            is_found: |mailbox, cx| mailbox.has_request() && mailbox.poll_take(cx).is_ready(),
        },
        Row {
            what: "a cut",
            comes: |mailbox| mailbox.cut(),
            is_found: |mailbox, _| mailbox.is_cut(),
        },
    ];
    for row in rows {
        let terms = Terms::of(Config::new());
        let mailbox = Mailbox::connection(terms, Extensions::default());
        mailbox.open(None);
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        // The first look notes the session, the second goes without the lock.
        for _ in 0..2 {
            assert!(mailbox.poll_take(&cx).is_pending(), "{}", row.what);
        }
        (row.comes)(&mailbox);
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "{}", row.what);
        // Noted again, as while a hook runs: what waits is still seen.
        mailbox.register(&waker);
        assert!((row.is_found)(&mailbox, &cx), "{}", row.what);
    }
}
