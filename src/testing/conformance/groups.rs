//! Cases of publishing to groups: the receivers, and the result for the publisher.

use crate::layer::Receivers;

use super::checks::{Note, Outcome, addressed, ensure, next, note, nothing_more, same, take};
use super::nodes::{Nodes, member, socket};

/// Of any node, the publisher's own included.
pub(super) async fn a_group_send_reaches_every_kind_of_member_once(nodes: &Nodes<'_>) -> Outcome {
    let group = nodes.group("room");
    let mut channels = nodes.members(&group, 2).await?;
    let mut sockets = Vec::new();
    for layer in &nodes.all {
        for relay in [false, true] {
            sockets.push(socket(layer, &group, relay).await?);
        }
    }
    for (n, layer) in (0..).zip(&nodes.all) {
        layer.group_send(group.as_str(), &note(n)).await?;
        for channel in &mut channels {
            same("at a channel", next(channel).await?, n)?;
        }
        for socket in &mut sockets {
            same("at a socket", socket.receive_json::<Note>().await?, note(n))?;
        }
    }
    nothing_more(&mut channels).await?;
    for socket in &mut sockets {
        socket.expect_nothing().await?;
    }
    Ok(())
}

pub(super) async fn a_publish_to_nobody_is_no_error(nodes: &Nodes<'_>) -> Outcome {
    let group = nodes.group("empty");
    let mut stranger = member(nodes.there(), &nodes.group("other")).await?;
    for _ in 0..10 {
        let published = nodes.here().group_send(group.as_str(), &note(1)).await?;
        same("receivers", published.receivers, 0)?;
        let published = nodes.here().group_broadcast(group.as_str(), "x").await?;
        same("receivers of a message", published.receivers, 0)?;
    }
    nothing_more(std::slice::from_mut(&mut stranger)).await
}

pub(super) async fn receivers_are_counted_as_the_guarantees_say(nodes: &Nodes<'_>) -> Outcome {
    let group = nodes.group("room");
    let mut members = Vec::new();
    for (node, layer) in nodes.all.iter().enumerate() {
        // One on the first node, two on the second, and so on.
        for _ in 0..=node {
            members.push(member(layer, &group).await?);
        }
        for publisher in &nodes.all {
            let published = publisher.group_send(group.as_str(), &note(1)).await?;
            addressed(publisher, &published, members.len(), node + 1)?;
            let published = publisher.group_broadcast(group.as_str(), "x").await?;
            addressed(publisher, &published, members.len(), node + 1)?;
            let publish = publisher.group_send(group.as_str(), &note(1));
            let published = publish.except(members[0].name()).await?;
            // Whether the one who is left out was the only one of a node, a backend that counts
            // nodes does not know.
            if publisher.guarantees().receivers != Receivers::Nodes {
                addressed(publisher, &published, members.len() - 1, 0)?;
            }
        }
    }
    Ok(())
}

pub(super) async fn a_channel_is_left_out_wherever_it_is(nodes: &Nodes<'_>) -> Outcome {
    let group = nodes.group("room");
    let mut members = nodes.members(&group, 2).await?;
    let stranger = nodes.there().new_channel();
    let mut names: Vec<_> = members.iter().map(|member| member.name().clone()).collect();
    names.push(stranger.name().clone());
    for (n, name) in (0..).zip(&names) {
        let publish = nodes.here().group_send(group.as_str(), &note(n));
        publish.except(name).await?;
    }
    let last = names.len() as u64;
    nodes.here().group_send(group.as_str(), &note(last)).await?;
    for (own, member) in (0..).zip(&mut members) {
        let expected: Vec<u64> = (0..=last).filter(|n| *n != own).collect();
        let what = format!("member {own}, which is left out of event {own}");
        same(&what, take(member, expected.len()).await?, expected)?;
    }
    nothing_more(&mut members).await
}

/// Whether older ones arrive is open: they may have been replaced, and never overtake.
pub(super) async fn the_newest_value_of_a_key_always_arrives(nodes: &Nodes<'_>) -> Outcome {
    let group = nodes.group("map");
    let mut member = member(nodes.there(), &group).await?;
    const VALUES: u64 = 300;
    const KEYS: u64 = 3;
    for n in 0..VALUES {
        let publish = nodes.here().group_send(group.as_str(), &note(n));
        publish.latest(format!("key {}/é", n % KEYS)).await?;
    }
    let mut newest = Vec::new();
    while newest.last() != Some(&(VALUES - 1)) {
        let n = next(&mut member).await?;
        ensure(newest.last().is_none_or(|last| *last < n), || {
            format!("{n} came after {:?}", newest.last())
        })?;
        newest.push(n);
    }
    let tail: Vec<u64> = (VALUES - KEYS..VALUES).collect();
    ensure(newest.ends_with(&tail), || {
        format!("of {KEYS} keys the newest are {tail:?}, and these came: {newest:?}")
    })
}
