//! Counters with fixed names for the recorder that the program has installed. Without the feature
//! `metrics` they do nothing.
//!
//! Each function is called where something ends or goes wrong, never for each message, and never
//! under a lock, since the recorder is the program's.

#[cfg(feature = "metrics")]
use metrics::Unit;
#[cfg(feature = "metrics")]
use metrics::counter;
#[cfg(feature = "metrics")]
use metrics::describe_counter;
#[cfg(feature = "metrics")]
use metrics::describe_gauge;
#[cfg(feature = "metrics")]
use metrics::gauge;

use http::StatusCode;

#[cfg(feature = "metrics")]
use crate::close::Cause;
use crate::close::Closed;

/// Tells the recorder what each name means. The recorder keeps the last description, so this may be
/// called again.
pub(crate) fn describe() {
    #[cfg(feature = "metrics")]
    {
        describe_gauge!(OPEN, Unit::Count, "Connections that are open");
        describe_gauge!(
            AWAY,
            Unit::Count,
            "Channel layers whose backend is disconnected"
        );
        for (name, text) in COUNTERS {
            describe_counter!(*name, Unit::Count, *text);
        }
    }
}

/// `connect` has accepted.
pub(crate) fn connection_opened() {
    #[cfg(feature = "metrics")]
    {
        counter!(OPENED).increment(1);
        gauge!(OPEN).increment(1);
    }
}

/// A connection that was [opened](connection_opened) has come to its end; `disconnect` is next.
pub(crate) fn connection_closed(closed: &Closed) {
    #[cfg(feature = "metrics")]
    {
        let (code, cause) = (code_label(closed), closed.cause().as_str());
        counter!(CLOSED, "code" => code, "cause" => cause).increment(1);
        gauge!(OPEN).decrement(1);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = closed;
}

/// A request was answered with something else than a session. 101 is a refusal after acceptance.
pub(crate) fn handshake_refused(status: StatusCode) {
    #[cfg(feature = "metrics")]
    counter!(REFUSED, "status" => status.as_str().to_owned()).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = status;
}

/// Frames found a full queue, in a group whose policy is to drop.
pub(crate) fn frames_dropped(frames: usize) {
    #[cfg(feature = "metrics")]
    if frames > 0 {
        counter!(FRAMES_DROPPED).increment(frames as u64);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = frames;
}

/// Events found a full queue, in a group whose policy is to drop or at a channel without a socket;
/// or waited at such a channel when the node's budget was used up.
pub(crate) fn events_dropped(events: usize) {
    #[cfg(feature = "metrics")]
    counter!(EVENTS_DROPPED).increment(events as u64);
    #[cfg(not(feature = "metrics"))]
    let _ = events;
}

/// An event did not decode into the consumer's type.
pub(crate) fn event_ignored() {
    #[cfg(feature = "metrics")]
    counter!(EVENTS_IGNORED).increment(1);
}

/// The backend was lost, or the one of its servers that carries some of the groups.
pub(crate) fn outage_began() {
    #[cfg(feature = "metrics")]
    counter!(OUTAGES).increment(1);
}

/// A layer has no backend from now on.
pub(crate) fn backend_away() {
    #[cfg(feature = "metrics")]
    gauge!(AWAY).increment(1);
}

/// A layer that had none has one again, or has ended.
pub(crate) fn backend_back() {
    #[cfg(feature = "metrics")]
    gauge!(AWAY).decrement(1);
}

/// A member gets the news that one of its groups may have missed something.
pub(crate) fn gaps_told() {
    #[cfg(feature = "metrics")]
    counter!(GAPS).increment(1);
}

/// A message came from a backend and found no room among those that wait for delivery.
pub(crate) fn arrival_dropped() {
    #[cfg(feature = "metrics")]
    counter!(ARRIVALS_DROPPED).increment(1);
}

/// Something came from a backend that no message could be made of.
pub(crate) fn arrival_skipped(why: &'static str) {
    #[cfg(feature = "metrics")]
    counter!(ARRIVALS_SKIPPED, "reason" => why).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = why;
}

/// Queues that a publisher found full, so that their processes do not get the message.
#[cfg(feature = "redis")]
pub(crate) fn queues_full(queues: usize) {
    #[cfg(feature = "metrics")]
    counter!(QUEUES_FULL).increment(queues as u64);
    #[cfg(not(feature = "metrics"))]
    let _ = queues;
}

/// Something happened that the log samples, whether it was logged or not.
pub(crate) fn log_event(event: &'static str) {
    #[cfg(feature = "metrics")]
    counter!(LOG_EVENTS, "event" => event).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = event;
}

/// A client may choose among two thousand codes, and must not choose the names of as many series.
#[cfg(feature = "metrics")]
fn code_label(closed: &Closed) -> String {
    match (closed.cause(), closed.code().as_u16()) {
        (Cause::Client, 3000..=3999) => "3xxx".to_owned(),
        (Cause::Client, 4000..=4999) => "4xxx".to_owned(),
        (_, code) => code.to_string(),
    }
}

#[cfg(feature = "metrics")]
const OPEN: &str = "strait_connections_open";
#[cfg(feature = "metrics")]
const OPENED: &str = "strait_connections_opened_total";
#[cfg(feature = "metrics")]
const CLOSED: &str = "strait_connections_closed_total";
#[cfg(feature = "metrics")]
const REFUSED: &str = "strait_handshakes_refused_total";
#[cfg(feature = "metrics")]
const FRAMES_DROPPED: &str = "strait_frames_dropped_total";
#[cfg(feature = "metrics")]
const EVENTS_DROPPED: &str = "strait_events_dropped_total";
#[cfg(feature = "metrics")]
const EVENTS_IGNORED: &str = "strait_events_ignored_total";
#[cfg(feature = "metrics")]
const OUTAGES: &str = "strait_backend_outages_total";
#[cfg(feature = "metrics")]
const AWAY: &str = "strait_backends_away";
#[cfg(feature = "metrics")]
const GAPS: &str = "strait_gaps_total";
#[cfg(feature = "metrics")]
const ARRIVALS_DROPPED: &str = "strait_backend_messages_dropped_total";
#[cfg(feature = "metrics")]
const ARRIVALS_SKIPPED: &str = "strait_backend_messages_skipped_total";
#[cfg(all(feature = "metrics", feature = "redis"))]
const QUEUES_FULL: &str = "strait_backend_queues_full_total";
#[cfg(feature = "metrics")]
const LOG_EVENTS: &str = "strait_log_events_total";

#[cfg(feature = "metrics")]
const COUNTERS: &[(&str, &str)] = &[
    (OPENED, "Connections that were accepted"),
    (
        CLOSED,
        "Connections that have ended, by close code and cause",
    ),
    (
        REFUSED,
        "Requests that did not become connections, by HTTP status",
    ),
    (
        FRAMES_DROPPED,
        "Frames dropped at members whose queue was full",
    ),
    (
        EVENTS_DROPPED,
        "Events dropped at members whose queue was full",
    ),
    (
        EVENTS_IGNORED,
        "Events that did not decode into the consumer's type",
    ),
    (OUTAGES, "Times that the backend was lost"),
    (
        GAPS,
        "Members told that one of their groups may have missed something",
    ),
    (
        ARRIVALS_DROPPED,
        "Messages of the backend that found no room among those that wait for delivery",
    ),
    (
        ARRIVALS_SKIPPED,
        "Malformed data from the backend, by reason",
    ),
    #[cfg(feature = "redis")]
    (
        QUEUES_FULL,
        "Queues of processes, in Redis, that were over capacity",
    ),
    (
        LOG_EVENTS,
        "Occurrences of what the log samples, by event, suppressed lines included",
    ),
];
