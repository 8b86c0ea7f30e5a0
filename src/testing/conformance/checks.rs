//! The failures that the cases report.

use std::borrow::Cow;
use std::fmt::Debug;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use crate::error::{BoxError, Error};
use crate::layer::{Channel, ChannelLayer, Published, Receivers};

/// Of a case: an error says what was expected and what came.
pub(super) type Outcome<T = ()> = Result<T, BoxError>;

/// The event that the cases publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "conformance.note")]
pub(super) struct Note {
    pub(super) n: u64,
    #[serde(default)]
    pub(super) pad: String,
}

pub(super) fn note(n: u64) -> Note {
    let pad = String::new();
    Note { n, pad }
}

pub(super) fn ensure(is_so: bool, what: impl FnOnce() -> String) -> Outcome {
    if is_so { Ok(()) } else { Err(what().into()) }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "most compared texts are made for that"
)]
pub(super) fn same<T: PartialEq + Debug>(what: &str, got: T, expected: T) -> Outcome {
    ensure(got == expected, || {
        let (got, expected) = (format!("{got:?}"), format!("{expected:?}"));
        // Of long lists, from shortly before the first difference on.
        let same = got
            .bytes()
            .zip(expected.bytes())
            .take_while(|(a, b)| a == b);
        let from = same.count().saturating_sub(40);
        format!(
            "{what}: got {}, expected {}",
            excerpt(&got, from),
            excerpt(&expected, from)
        )
    })
}

fn excerpt(text: &str, from: usize) -> Cow<'_, str> {
    if text.len() <= EXCERPT {
        return Cow::Borrowed(text);
    }
    let skipped = text.char_indices().filter(|(at, _)| *at >= from);
    let shown: String = skipped.map(|(_, c)| c).take(EXCERPT).collect();
    Cow::Owned(format!("…{shown}…"))
}

/// That a publish says it reached as many as the guarantees let it know.
pub(super) fn addressed(
    layer: &ChannelLayer,
    published: &Published,
    members: usize,
    nodes: usize,
) -> Outcome {
    let receivers = layer.guarantees().receivers;
    let expected = match receivers {
        Receivers::Members => members,
        Receivers::Nodes => nodes,
        Receivers::Unknown => 0,
    };
    same(
        &format!("receivers, of which {receivers:?} are counted"),
        published.receivers,
        expected,
    )
}

/// The next event's number.
pub(super) async fn next(channel: &mut Channel) -> Outcome<u64> {
    Ok(received(channel).await??.n)
}

/// The next event, or the error that the channel returns instead of it.
pub(super) async fn received(channel: &mut Channel) -> Outcome<Result<Note, Error>> {
    timeout(PATIENCE, channel.recv::<Note>())
        .await
        .map_err(|_| format!("nothing came within {PATIENCE:?}").into())
}

pub(super) async fn take(channel: &mut Channel, count: usize) -> Outcome<Vec<u64>> {
    let mut taken = Vec::with_capacity(count);
    for _ in 0..count {
        let n = next(channel).await;
        taken.push(n.map_err(|error| format!("{error}, after {} of {count}", taken.len()))?);
    }
    Ok(taken)
}

/// That no more comes to any of these.
pub(super) async fn nothing_more(channels: &mut [Channel]) -> Outcome {
    sleep(QUIET).await;
    for channel in channels {
        if let Ok(event) = timeout(Duration::ZERO, channel.recv::<Note>()).await {
            return Err(format!("one event too many: {event:?}").into());
        }
        same("dropped events", channel.dropped(), 0)?;
    }
    Ok(())
}

/// Waits until it is so: for what follows later than the call that causes it, such as the end of a
/// subscription.
pub(super) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> Outcome<bool>) -> Outcome {
    let begin = Instant::now();
    while !is_so().await? {
        ensure(begin.elapsed() < PATIENCE, || {
            format!("not within {PATIENCE:?}: {what}")
        })?;
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Waits until no receiver is counted, if the backend counts nodes or members.
pub(super) async fn until_nobody_listens(layer: &ChannelLayer, group: &str) -> Outcome {
    until("nobody listens", async || {
        let published = layer.group_send(group, &note(0)).await?;
        Ok(published.receivers == 0)
    })
    .await
}

/// How long to wait for what must come; only a failing backend takes that long.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait for what must not come. A server on this machine delivers in a millisecond.
pub(super) const QUIET: Duration = Duration::from_millis(150);
const PAUSE: Duration = Duration::from_millis(10);
/// How much of a compared text is shown, in characters.
const EXCERPT: usize = 160;
