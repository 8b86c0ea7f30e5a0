//! [`Actor`]: a consumer that notes its hooks, and waits at a gate for its orders.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use strait::{Accept, BoxError, Closed, Consumer, Context, Event, Message, Reject};

use super::act::{Act, LARGE, MANY, Stage};

/// The groups of the hook and of the socket.
pub(crate) const HOOKED: &str = "hooked";
pub(crate) const RELAYED: &str = "relayed";
/// The text of a failing or panicking hook. Nothing else may fail with it.
pub(crate) const SECRET: &str = "a secret";

/// A record of the hooks, and the gate at which they wait.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    told: Notify,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) received: Vec<String>,
    pub(crate) events: Vec<String>,
    pub(crate) errors: usize,
    pub(crate) farewells: Vec<Closed>,
    pub(crate) accepted: bool,
    /// Hooks that were dropped before they were over, by their first word.
    pub(crate) dropped: Vec<&'static str>,
    /// A hook waits at the gate.
    pub(crate) waits: bool,
    /// A breach of a promise.
    pub(crate) faults: Vec<String>,
    /// When the consumer was dropped, which is when the session ended.
    pub(crate) over: Option<Instant>,
    running: Option<&'static str>,
    orders: VecDeque<Act>,
}

impl Notes {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Tells the hook at the gate what to do.
    pub(crate) fn tell(&self, act: Act) {
        self.lock().orders.push_back(act);
        self.0.told.notify_waiters();
    }

    async fn next_order(&self) -> Act {
        loop {
            let told = self.0.told.notified();
            if let Some(order) = self.lock().orders.pop_front() {
                return order;
            }
            told.await;
        }
    }

    fn begin(&self, hook: &'static str) -> Running {
        let mut state = self.lock();
        if let Some(other) = state.running.replace(hook) {
            state.faults.push(format!("{hook} began within {other}"));
        }
        if !state.farewells.is_empty() {
            state.faults.push(format!("{hook} began after disconnect"));
        }
        Running {
            notes: self.clone(),
            hook,
            over: false,
        }
    }
}

/// A hook from its beginning to its end.
struct Running {
    notes: Notes,
    hook: &'static str,
    over: bool,
}

impl Running {
    fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.notes.lock();
        state.running = None;
        state.waits = false;
        if !self.over && !std::thread::panicking() {
            state.dropped.push(self.hook);
        }
    }
}

pub(crate) struct Actor {
    pub(crate) notes: Notes,
    pub(crate) stage: Stage,
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.notes.lock().over = Some(Instant::now());
    }
}

impl Consumer for Actor {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        let running = self.notes.begin("connect");
        ctx.group_add(HOOKED).await?;
        ctx.group_add(RELAYED).relay().await?;
        let result = match self.stage {
            Stage::Connect => self.wait(ctx).await,
            _ => Ok(()),
        };
        self.notes.lock().accepted = result.is_ok();
        running.over();
        result?;
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        let running = self.notes.begin("receive");
        let text = message.into_text()?;
        self.notes.lock().received.push(text.clone());
        let result = self.answer(ctx, &text).await;
        running.over();
        result
    }

    async fn event(&mut self, ctx: &Context, event: Event) -> strait::Result {
        let running = self.notes.begin("event");
        self.notes.lock().events.push(event.kind().to_owned());
        ctx.send_text(format!("e{}", event.kind())).await?;
        let result = match event.kind() {
            "wait" => self.wait(ctx).await,
            _ => Ok(()),
        };
        running.over();
        result
    }

    async fn error(&mut self, _ctx: &Context, error: BoxError) -> strait::Result {
        let running = self.notes.begin("error");
        self.notes.lock().errors += 1;
        running.over();
        Err(error)
    }

    async fn disconnect(&mut self, ctx: &Context, closed: Closed) {
        let running = self.notes.begin("disconnect");
        self.notes.lock().farewells.push(closed);
        if ctx.groups().len() != 2 {
            let fault = format!("disconnect finds the groups {:?}", ctx.groups());
            self.notes.lock().faults.push(fault);
        }
        if matches!(self.stage, Stage::Disconnect | Stage::Closing) {
            self.wait(ctx).await.unwrap();
        }
        running.over();
    }
}

impl Actor {
    async fn answer(&self, ctx: &Context, text: &str) -> strait::Result {
        match text {
            "panic" => panic!("{SECRET}"),
            "fail" => return Err(SECRET.into()),
            "close" => ctx.close(4000, "").await?,
            _ => ctx.send_text(format!("r{text}")).await?,
        }
        if let Some(time) = text.strip_prefix("sleep ") {
            sleep(Duration::from_millis(time.parse()?)).await;
        }
        match text {
            "wait" => self.wait(ctx).await,
            _ => Ok(()),
        }
    }

    /// Waits at the gate for the order to end in one way or another.
    async fn wait(&self, ctx: &Context) -> strait::Result {
        loop {
            self.notes.lock().waits = true;
            let order = self.notes.next_order().await;
            self.notes.lock().waits = false;
            match order {
                Act::GatePanics => panic!("{SECRET}"),
                Act::GateFails => return Err(SECRET.into()),
                Act::GateClosesOn => {
                    ctx.close(4000, "").await?;
                    continue;
                }
                Act::GateCloses => ctx.close(4000, "").await?,
                Act::GateSends => {
                    for number in 0..MANY {
                        ctx.send_text(padded(&format!("s{number}"), LARGE)).await?;
                    }
                }
                _ => {}
            }
            return Ok(());
        }
    }
}

/// The label, and dots behind it.
pub(crate) fn padded(label: &str, len: usize) -> String {
    let dots = ".".repeat(len.saturating_sub(label.len()));
    format!("{label}{dots}")
}
