//! Cases of events that are for one channel.

use std::slice::from_mut;

use crate::layer::Receivers;

use super::checks::{Note, Outcome, addressed, ensure, next, note, nothing_more, same, take};
use super::nodes::{Nodes, member, socket};

pub(super) async fn an_event_reaches_the_channel_on_its_node(nodes: &Nodes<'_>) -> Outcome {
    let mut others = nodes.members(&nodes.group("room"), 1).await?;
    for owner in &nodes.all {
        let mut channel = owner.new_channel();
        for (sender, layer) in nodes.all.iter().enumerate() {
            for n in 0..20 {
                let published = layer.send(channel.name(), &note(n)).await?;
                if layer.is(owner) {
                    same("receivers on the own node", published.receivers, 1)?;
                } else {
                    addressed(layer, &published, 1, 1)?;
                }
            }
            let got = take(&mut channel, 20).await?;
            same(&format!("from node {sender}"), got, (0..20).collect())?;
        }
        nothing_more(from_mut(&mut channel)).await?;
    }
    nothing_more(&mut others).await
}

/// A backend that counts nodes may count the one that had the channel.
pub(super) async fn what_is_for_nobody_is_no_error(nodes: &Nodes<'_>) -> Outcome {
    let mut lives = nodes.there().new_channel();
    let gone = nodes.there().new_channel();
    let name = gone.name().clone();
    drop(gone);
    for name in [
        name.as_str(),
        "specific.00000000000000000000000000000001!1-0000000000000002",
    ] {
        let published = nodes.here().send(name, &note(1)).await?;
        let most = match nodes.here().guarantees().receivers {
            Receivers::Nodes if nodes.all.len() > 1 => 1,
            Receivers::Members | Receivers::Nodes | Receivers::Unknown => 0,
        };
        ensure(published.receivers <= most, || {
            format!("{name} is gone, and {} are counted", published.receivers)
        })?;
    }
    nodes.here().send(lives.name(), &note(2)).await?;
    same("another channel", next(&mut lives).await?, 2)
}

pub(super) async fn a_full_channel_of_this_node_refuses(nodes: &Nodes<'_>) -> Outcome {
    let mut channel = nodes.here().new_channel();
    for n in 0..CAPACITY {
        nodes.here().send(channel.name(), &note(n)).await?;
    }
    let result = nodes.here().send(channel.name(), &note(CAPACITY)).await;
    ensure(result.as_ref().is_err_and(|error| error.is_full()), || {
        format!("a full channel answers {result:?}")
    })?;
    same("the oldest", next(&mut channel).await?, 0)?;
    nodes.here().send(channel.name(), &note(CAPACITY)).await?;
    let rest = take(&mut channel, CAPACITY as usize).await?;
    same("the rest", rest, (1..=CAPACITY).collect())?;
    same("told its sender, and not it", channel.dropped(), 0)
}

/// Its sender may get an error or not, since it may be far away.
pub(super) async fn a_full_channel_of_another_node_harms_nobody_else(nodes: &Nodes<'_>) -> Outcome {
    let group = nodes.group("room");
    let mut other = member(nodes.there(), &group).await?;
    let mut full = nodes.there().new_channel();
    let mut refused = 0;
    for n in 0..CAPACITY + 100 {
        let sent = nodes.here().send(full.name(), &note(n)).await;
        ensure(
            sent.as_ref().is_ok() || sent.as_ref().is_err_and(|error| error.is_full()),
            || format!("event {n}: {sent:?}"),
        )?;
        refused += u32::from(sent.is_err());
    }
    nodes.here().group_send(group.as_str(), &note(7)).await?;
    same("a member of a group", next(&mut other).await?, 7)?;
    let got = take(&mut full, CAPACITY as usize).await?;
    same("the events it had room for", got, (0..CAPACITY).collect())?;
    let told = refused + full.dropped();
    same("told to its sender, or to it", told, 100)?;
    nothing_more(from_mut(&mut full)).await?;
    nodes.here().send(full.name(), &note(9)).await?;
    same("when it has room again", next(&mut full).await?, 9)
}

pub(super) async fn a_consumer_is_reached_by_its_name(nodes: &Nodes<'_>) -> Outcome {
    let mut socket = socket(nodes.there(), &nodes.group("room"), false).await?;
    socket.send_text("name").await?;
    let name = socket.receive_text().await?;
    for n in 0..10 {
        nodes.here().send(name.as_str(), &note(n)).await?;
        same("its hook", socket.receive_json::<Note>().await?, note(n))?;
    }
    socket.expect_nothing().await?;
    Ok(())
}

/// How many events wait for a channel at most.
const CAPACITY: u64 = 1024;
