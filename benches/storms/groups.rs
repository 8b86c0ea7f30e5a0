//! A crowd in groups of ten, and a message for everyone.

use std::time::Instant;

use crate::crowd::{Came, Crowd, Go};
use crate::frames;
use crate::frames::{Numbered, TEXT};

/// Paths of this many sockets, in groups of this size.
pub(crate) fn paths(members: usize, sockets: usize) -> impl Iterator<Item = String> {
    (0..sockets).map(move |socket| format!("/group/g{}/", socket / members))
}

/// The first of each ten publishes a message of this length. Each of the ten must get it, once, and
/// nothing else.
pub(crate) fn everyone_gets(crowd: &mut Crowd, length: usize) -> Result<(), String> {
    let mut text = Numbered::new(length);
    for group in 0..crowd.len() / TEN {
        let request = frames::request(TEXT, text.payload(group as u64));
        crowd.send(group * TEN, &request)?;
    }
    let mut got = vec![false; crowd.len()];
    crowd.read_all(crowd.len(), |socket, came| match came {
        Came::Frame(frame) if frame.opcode == TEXT && !got[socket] => {
            got[socket] = true;
            text.compare(frame.payload, (socket / TEN) as u64)?;
            Ok(Go::Stop)
        }
        other => Err(format!("socket {socket} has {other}, not the text")),
    })?;
    crowd.read_until(Instant::now(), &mut |socket, more| {
        Err(format!("socket {socket} has {more}, which was not sent"))
    })?;
    Ok(())
}

pub(crate) const TEN: usize = 10;
