//! A socket that takes as many bytes as a test says.

use std::task::Poll;

use crate::mailbox::write_queue::WriteQueue;

/// Writes up to `most` bytes of the queue; none for a socket whose buffer is full.
pub(super) fn write(queue: &mut WriteQueue, most: usize, wire: &mut Vec<u8>) {
    let before = wire.len();
    let _ = queue.write(&mut |slices| {
        for slice in slices {
            assert!(!slice.is_empty(), "an empty slice would end the writing");
            let room = most - (wire.len() - before);
            wire.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        match wire.len() - before {
            0 => Poll::Pending,
            written => Poll::Ready(Ok(written)),
        }
    });
}
