//! [`yield_now`]: how a task that is polled by hand lets others run.

use std::pin::pin;
use std::task::Context;

/// Schedules the task to run again, after the other tasks of its thread and the I/O driver. Call it
/// before returning `Pending`.
///
/// A plain wake-up would put it back into the thread's queue at once. A few tasks that do so keep
/// the queue from ever being empty, and the driver is then polled after `event_interval` tasks
/// only.
pub(crate) fn yield_now(cx: &mut Context<'_>) {
    // Its first poll asks for that; the future itself is not needed.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}
