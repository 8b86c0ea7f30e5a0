//! The conformance suite: on the memory backend, on one whose deliveries never wait, and on
//! backends that are wrong in one thing each, which it must find.

use std::panic::AssertUnwindSafe;

use crate::support::bus::{Bus, Fault};
use futures::FutureExt;
use strait::ChannelLayer;
use strait::backends::Memory;
use strait::testing::conformance;

#[tokio::test(start_paused = true)]
async fn memory() {
    let bus = Memory::new();
    conformance::run(|| ChannelLayer::new(bus.clone())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_on_several_threads() {
    let bus = Memory::new();
    conformance::run(|| ChannelLayer::new(bus.clone())).await;
}

#[tokio::test(start_paused = true)]
async fn one_whose_deliveries_never_wait() {
    let bus = Bus::default();
    conformance::run(|| bus.layer()).await;
}

/// One test for each, so that they run side by side.
macro_rules! what_is_wrong_is_found {
    ($($test:ident: $fault:ident by $case:ident;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $test() {
            is_found(Fault::$fault, stringify!($case)).await;
        }
    )*};
}

what_is_wrong_is_found! {
    it_loses: Loses by one_publisher_is_received_in_order;
    it_doubles: Doubles by members_that_come_and_go_see_no_holes;
    it_reorders: Reorders by all_members_see_one_order;
    it_reorders_between_nodes: ReordersBetweenNodes by all_members_see_one_order;
    it_subscribes_late: SubscribesLate by nothing_published_after_a_join_is_missed;
    it_unsubscribes_late: UnsubscribesLate by leaving_and_joining_again_at_once_misses_nothing;
    it_never_unsubscribes: NeverUnsubscribes by after_the_last_has_left_nothing_arrives_and_a_new_join_works;
    it_ignores_except: IgnoresExcept by a_channel_is_left_out_wherever_it_is;
    it_confuses_names: ConfusesNames by every_name_is_a_group_of_its_own;
    it_counts_one_more: CountsOneMore by receivers_are_counted_as_the_guarantees_say;
    it_loses_direct_sends: LosesDirectSends by an_event_reaches_the_channel_on_its_node;
    it_forgets_kinds: ForgetsKinds by ready_messages_reach_the_sockets_on_all_nodes;
    it_loses_large_ones: LosesLargeOnes by large_payloads_arrive_or_are_refused;
    it_fails_on_full: FailsOnFull by a_full_channel_of_another_node_harms_nobody_else;
    it_stays_when_dropped: StaysWhenDropped by a_node_that_is_gone_is_forgotten_and_a_new_one_works;
}

async fn is_found(fault: Fault, case: &str) {
    let bus = Bus::wrong(fault);
    let run = AssertUnwindSafe(conformance::run(|| bus.layer()));
    let failed = run.catch_unwind().await.expect_err("it passes");
    let text = failed.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(text.contains(case), "{text}");
}
