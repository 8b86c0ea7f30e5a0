//! The conformance suite on the backends, and on backends that are wrong in one thing each, which it must find.

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
