//! [`run`]: all cases, one after the other, each on nodes of its own.

use std::time::{Duration, Instant};

use futures::future::LocalBoxFuture;
use tokio::time::timeout;

use crate::error::{Error, chain};
use crate::layer::ChannelLayer;

use super::checks::Outcome;
use super::nodes::Nodes;
use super::{direct, groups, load, membership, names, order, payloads, sockets};

/// Runs the suite. `make` is called for each node, and makes a layer over a backend of its own on
/// one and the same bus: one server, one topic prefix, or what else it is that the nodes share.
///
/// The bus should be this suite's alone. All nodes of a case are dropped before the next, so that
/// it takes one to three connections at a time. A real server must be near (every wait ends after
/// 20 s), and the clock not be paused then; it takes some seconds. Over a backend that waits for
/// nothing outside the process, it takes none on a paused clock.
///
/// # Panics
///
/// When a case fails; after all have run, or those that failed have taken more than a minute: with
/// the names of those that failed and why. The first is the one to look at.
pub async fn run<M, F>(make: M)
where
    M: Fn() -> F,
    F: Future<Output = Result<ChannelLayer, Error>>,
{
    let make = || -> LocalBoxFuture<'_, Result<ChannelLayer, Error>> { Box::pin(make()) };
    let mut failures = Vec::new();
    let mut waited = Duration::ZERO;
    for (number, case) in CASES.iter().enumerate() {
        for &count in case.nodes {
            if waited > MOST_IN_VAIN {
                let rest = "the cases that are left: not run, since what failed took so long";
                failures.push(rest.to_owned());
                return fail(&failures);
            }
            let began = Instant::now();
            tracing::debug!(case = case.name, nodes = count, "conformance");
            let outcome = timeout(LIMIT, async {
                let nodes = Nodes::new(&make, count, number).await?;
                (case.run)(&nodes).await
            });
            let why = match outcome.await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => chain(&*error),
                Err(_) => format!("it was not done after {LIMIT:?}"),
            };
            waited += began.elapsed();
            failures.push(format!("{}, on {count} node(s): {why}", case.name));
        }
    }
    fail(&failures);
}

fn fail(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "the backend fails {} of its cases; the first may explain the others:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

struct Case {
    name: &'static str,
    /// On how many nodes it is run, in turn.
    nodes: &'static [usize],
    run: for<'n, 'm> fn(&'n Nodes<'m>) -> LocalBoxFuture<'n, Outcome>,
}

macro_rules! cases {
    ($($file:ident::$name:ident on $nodes:expr;)*) => {
        &[$(Case {
            name: stringify!($name),
            nodes: &$nodes,
            run: |nodes| Box::pin($file::$name(nodes)),
        }),*]
    };
}

const CASES: &[Case] = cases! {
    membership::nothing_published_after_a_join_is_missed on [1, 2];
    groups::a_group_send_reaches_every_kind_of_member_once on [1, 2, 3];
    groups::a_publish_to_nobody_is_no_error on [1, 2];
    groups::receivers_are_counted_as_the_guarantees_say on [1, 2, 3];
    groups::a_channel_is_left_out_wherever_it_is on [1, 2];
    groups::the_newest_value_of_a_key_always_arrives on [1, 2];
    membership::joins_of_one_group_at_the_same_time_are_all_confirmed on [1, 2];
    membership::a_join_that_was_given_up_does_no_harm on [1, 2];
    membership::who_left_gets_nothing_and_the_others_do on [1, 2];
    membership::after_the_last_has_left_nothing_arrives_and_a_new_join_works on [1, 2];
    membership::leaving_and_joining_again_at_once_misses_nothing on [1, 2];
    membership::many_groups_are_joined_at_once on [2];
    membership::a_node_that_is_gone_is_forgotten_and_a_new_one_works on [1, 2];
    order::one_publisher_is_received_in_order on [1, 2];
    order::all_members_see_one_order on [1, 2, 3];
    sockets::ready_messages_reach_the_sockets_on_all_nodes on [1, 2];
    sockets::a_ready_message_leaves_its_sender_out on [1, 2];
    direct::an_event_reaches_the_channel_on_its_node on [1, 2, 3];
    direct::what_is_for_nobody_is_no_error on [1, 2];
    direct::a_full_channel_of_this_node_refuses on [1];
    direct::a_full_channel_of_another_node_harms_nobody_else on [2];
    direct::a_consumer_is_reached_by_its_name on [1, 2];
    names::every_name_is_a_group_of_its_own on [1, 2];
    payloads::any_json_arrives_as_it_was on [1, 2];
    payloads::large_payloads_arrive_or_are_refused on [1, 2];
    load::a_burst_is_delivered_or_told_of on [1, 2];
    load::members_that_come_and_go_see_no_holes on [1, 2];
};

/// How long cases may wait for what does not come, before the others are not run: by the clock on
/// the wall, which is never paused.
const MOST_IN_VAIN: Duration = Duration::from_secs(60);
/// For one case: so long that only what hangs reaches it.
const LIMIT: Duration = Duration::from_secs(180);
