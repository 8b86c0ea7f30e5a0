//! Cases of joining and leaving: from when on, and until when, a member receives.

use std::time::Duration;

use futures::FutureExt;
use futures::future::try_join_all;
use tokio::time::sleep;

use crate::layer::Channel;

use super::checks::{
    Outcome, addressed, next, note, nothing_more, same, take, until, until_nobody_listens,
};
use super::nodes::{Nodes, member};

pub(super) async fn nothing_published_after_a_join_is_missed(nodes: &Nodes<'_>) -> Outcome {
    for n in 0..ROUNDS {
        let group = nodes.group(&format!("round_{n}"));
        let mut first = member(nodes.there(), &group).await?;
        for layer in [nodes.here(), nodes.there()] {
            layer.group_send(group.as_str(), &note(n)).await?;
        }
        let what = format!("round {n}");
        same(&what, take(&mut first, 2).await?, vec![n, n])?;
        let mut second = member(nodes.there(), &group).await?;
        let publish = nodes.here().group_send(group.as_str(), &note(n + 1));
        publish.await?;
        same(&what, next(&mut first).await?, n + 1)?;
        same(&what, next(&mut second).await?, n + 1)?;
    }
    Ok(())
}

/// The second finds a subscription that is not confirmed yet.
pub(super) async fn joins_of_one_group_at_the_same_time_are_all_confirmed(
    nodes: &Nodes<'_>,
) -> Outcome {
    for n in 0..ROUNDS {
        let group = nodes.group(&format!("round_{n}"));
        let join = async |own: u64| -> Outcome {
            let mut channel = member(nodes.there(), &group).await?;
            nodes.here().group_send(group.as_str(), &note(own)).await?;
            // The others' may come before it.
            while next(&mut channel).await? != own {}
            Ok(())
        };
        try_join_all((0..4).map(join))
            .await
            .map_err(|why| format!("round {n}: {why}"))?;
    }
    Ok(())
}

pub(super) async fn a_join_that_was_given_up_does_no_harm(nodes: &Nodes<'_>) -> Outcome {
    for n in 0..ROUNDS {
        let group = nodes.group(&format!("round_{n}"));
        let mut given_up = nodes.there().new_channel();
        let _ = given_up.group_add(group.as_str()).now_or_never();
        match n % 3 {
            0 => drop(given_up),
            1 => given_up.group_discard(group.as_str())?,
            _ => given_up.group_add(group.as_str()).await?,
        }
        let mut channel = member(nodes.there(), &group).await?;
        nodes.here().group_send(group.as_str(), &note(n)).await?;
        same(
            "a member that joined after it",
            next(&mut channel).await?,
            n,
        )?;
    }
    Ok(())
}

pub(super) async fn who_left_gets_nothing_and_the_others_do(nodes: &Nodes<'_>) -> Outcome {
    let group = nodes.group("room");
    let mut stay = nodes.members(&group, 2).await?;
    let mut leave = nodes.members(&group, 2).await?;
    let mut alone = member(nodes.there(), &nodes.group("alone")).await?;
    for member in &mut leave {
        member.group_discard(group.as_str())?;
        // It is no longer a member, which is not an error.
        member.group_discard(group.as_str())?;
    }
    for n in 0..3 {
        let published = nodes.here().group_send(group.as_str(), &note(n)).await?;
        addressed(nodes.here(), &published, stay.len(), nodes.all.len())?;
        for member in &mut stay {
            same("a member that stayed", next(member).await?, n)?;
        }
    }
    nothing_more(&mut stay).await?;
    nothing_more(&mut leave).await?;
    // A channel that goes leaves, too.
    drop(stay);
    until_nobody_listens(nodes.here(), &group).await?;
    nothing_more(std::slice::from_mut(&mut alone)).await
}

pub(super) async fn after_the_last_has_left_nothing_arrives_and_a_new_join_works(
    nodes: &Nodes<'_>,
) -> Outcome {
    let group = nodes.group("room");
    let mut channel = member(nodes.there(), &group).await?;
    for n in 0..3 {
        channel.group_discard(group.as_str())?;
        until_nobody_listens(nodes.here(), &group).await?;
        nothing_more(std::slice::from_mut(&mut channel)).await?;
        channel.group_add(group.as_str()).await?;
        nodes.here().group_send(group.as_str(), &note(n)).await?;
        same("after the new join", next(&mut channel).await?, n)?;
    }
    Ok(())
}

/// The end of the old subscription may still be under way, and must not end the new one.
pub(super) async fn leaving_and_joining_again_at_once_misses_nothing(nodes: &Nodes<'_>) -> Outcome {
    let group = nodes.group("room");
    let mut channel = nodes.there().new_channel();
    for n in 0..ROUNDS {
        channel.group_add(group.as_str()).await?;
        if n % 10 == 9 {
            sleep(Duration::from_millis(2)).await;
        }
        nodes.here().group_send(group.as_str(), &note(n)).await?;
        let what = format!("round {n}");
        same(&what, next(&mut channel).await?, n)?;
        channel.group_discard(group.as_str())?;
    }
    Ok(())
}

pub(super) async fn many_groups_are_joined_at_once(nodes: &Nodes<'_>) -> Outcome {
    let group = |n: u64| nodes.group(&format!("many_{n}"));
    let join = async |first: u64| -> Outcome<Channel> {
        let mut channel = nodes.there().new_channel();
        for n in first..first + GROUPS_EACH {
            channel.group_add(group(n)).await?;
        }
        Ok(channel)
    };
    let firsts = (0..GROUPS).step_by(GROUPS_EACH as usize);
    let mut channels = try_join_all(firsts.map(join)).await?;
    for (first, channel) in (0..).step_by(GROUPS_EACH as usize).zip(&mut channels) {
        let own = first..first + GROUPS_EACH;
        for n in own.clone() {
            let published = nodes.here().group_send(group(n), &note(n)).await?;
            addressed(nodes.here(), &published, 1, 1)?;
        }
        let mut got = take(channel, GROUPS_EACH as usize).await?;
        // Between groups there is no order.
        got.sort_unstable();
        same("the events of its groups", got, own.collect())?;
    }
    nothing_more(&mut channels).await?;
    drop(channels);
    until_nobody_listens(nodes.here(), &group(0)).await?;
    until_nobody_listens(nodes.here(), &group(GROUPS - 1)).await
}

pub(super) async fn a_node_that_is_gone_is_forgotten_and_a_new_one_works(
    nodes: &Nodes<'_>,
) -> Outcome {
    let group = nodes.group("room");
    for n in 0..3 {
        let mut stays = member(nodes.here(), &group).await?;
        let gone = nodes.another().await?;
        let mut channel = member(&gone, &group).await?;
        let name = channel.name().clone();
        gone.group_send(group.as_str(), &note(n)).await?;
        same("a member that stays", next(&mut stays).await?, n)?;
        same("a member that leaves", next(&mut channel).await?, n)?;
        drop(channel);
        drop(gone);
        until("only who stays is counted", async || {
            let published = nodes.here().group_send(group.as_str(), &note(n)).await?;
            next(&mut stays).await?;
            Ok(addressed(nodes.here(), &published, 1, 1).is_ok())
        })
        .await?;
        until("its channel is nobody's", async || {
            let published = nodes.here().send(&name, &note(n)).await?;
            Ok(published.receivers == 0)
        })
        .await?;
        let new = nodes.another().await?;
        let mut channel = member(&new, &group).await?;
        nodes
            .here()
            .group_send(group.as_str(), &note(n + 10))
            .await?;
        same("a member that stays", next(&mut stays).await?, n + 10)?;
        same("a new member", next(&mut channel).await?, n + 10)?;
    }
    Ok(())
}

/// How often a race is run.
const ROUNDS: u64 = 150;
const GROUPS: u64 = 5_000;
const GROUPS_EACH: u64 = 10;
