//! A session that has found nothing without the lock is woken by the next arrival, and finds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use crate::broadcast::{EncodedFrame, FrameBatch, PreparedMessage};
use crate::close::{Cause, CloseCode};
use crate::config::{Config, Overflow};
use crate::mailbox::{Close, CloseRequest, ConnectionSettings, Mailbox};
use crate::websocket::Extensions;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn prepared() -> PreparedMessage {
    PreparedMessage::new(EncodedFrame::event(b"{\"type\":\"x\"}"), None)
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
fn every_arrival_wakes_the_session_and_is_found() {
    let rows = [
        Row {
            what: "an event",
            comes: |mailbox| mailbox.deliver_event(&prepared(), Overflow::Close),
            is_found: |mailbox, cx| mailbox.poll_receive(cx).is_ready(),
        },
        Row {
            what: "an event for this channel",
            comes: |mailbox| assert!(mailbox.send_event(prepared().frame)),
            is_found: |mailbox, cx| mailbox.poll_receive(cx).is_ready(),
        },
        Row {
            what: "a frame",
            comes: |mailbox| {
                mailbox.deliver(
                    &FrameBatch::join([&prepared()].into_iter()),
                    Overflow::Close,
                )
            },
            is_found: |mailbox, _| mailbox.flags().has_output(),
        },
        Row {
            what: "a close",
            comes: |mailbox| mailbox.close(Close::AfterQueue(request())),
            is_found: |mailbox, _| mailbox.flags().is_closed() && mailbox.flags().has_output(),
        },
        Row {
            what: "a request to close",
            comes: |mailbox| mailbox.close(Close::BetweenHooks(request())),
            is_found: |mailbox, cx| {
                mailbox.flags().has_close_request() && mailbox.poll_receive(cx).is_ready()
            },
        },
        Row {
            what: "a cancelled hook",
            comes: |mailbox| mailbox.close(Close::CancellingHook(request())),
            is_found: |mailbox, _| mailbox.flags().is_hook_cancelled(),
        },
    ];
    for row in rows {
        let terms = ConnectionSettings::of(Config::new());
        let mailbox = Mailbox::connection(terms, Extensions::default());
        mailbox.open(None);
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        // The first look registers the session, the second one takes no lock.
        for _ in 0..2 {
            assert!(mailbox.poll_receive(&cx).is_pending(), "{}", row.what);
        }
        (row.comes)(&mailbox);
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "{}", row.what);
        // Registered again, as while a hook runs: the arrival is still found.
        mailbox.register(&waker);
        assert!((row.is_found)(&mailbox, &cx), "{}", row.what);
    }
}

#[test]
fn an_idle_mailbox_is_small() {
    assert!(size_of::<Mailbox>() <= 136, "{}", size_of::<Mailbox>());
}
