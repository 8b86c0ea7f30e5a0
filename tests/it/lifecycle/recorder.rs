//! [`Recorder`]: a scripted consumer that records its hooks. The script is the query of its URL in
//! `connect`, `error` and `disconnect`, by the message in `receive`, by the event in `event`.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

use strait::layer::ChannelName;
use strait::{
    Accept, BoxError, ChannelLayer, Closed, Consumer, Context, Error, Event, Message, Reject,
};

/// The record, shared by the test and the consumers of one stage.
#[derive(Clone)]
pub(crate) struct Log(Arc<Inner>);

struct Inner {
    lines: Mutex<Vec<String>>,
    names: Mutex<Vec<ChannelName>>,
    farewells: Mutex<Vec<Farewell>>,
    gate: Semaphore,
}

/// The argument of `disconnect`, and the state that it found.
#[derive(Clone, Debug)]
pub(crate) struct Farewell {
    pub(crate) closed: Closed,
    pub(crate) groups: Vec<String>,
    /// Whom an event to one's groups and to one's channel reached.
    pub(crate) receivers: Vec<usize>,
}

/// The groups that every recorder joins, the second as a relay.
pub(crate) const GROUPS: [&str; 2] = ["room", "side"];

impl Log {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            lines: Mutex::default(),
            names: Mutex::default(),
            farewells: Mutex::default(),
            gate: Semaphore::new(0),
        }))
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lines.lock().unwrap().clone()
    }

    pub(crate) fn names(&self) -> Vec<ChannelName> {
        self.0.names.lock().unwrap().clone()
    }

    pub(crate) fn farewells(&self) -> Vec<Farewell> {
        self.0.farewells.lock().unwrap().clone()
    }

    /// The only one.
    pub(crate) fn farewell(&self) -> Farewell {
        let farewells = self.farewells();
        assert_eq!(farewells.len(), 1, "{:?}", self.lines());
        farewells[0].clone()
    }

    /// Lets one hook that waits go on.
    pub(crate) fn open_gate(&self) {
        self.0.gate.add_permits(1);
    }

    fn note(&self, line: impl Into<String>) {
        self.0.lines.lock().unwrap().push(line.into());
    }

    /// Notes that a hook begins; and that it is dropped, if it is before it says that it is over.
    fn begin(&self, hook: impl Into<String>) -> Running {
        let hook = hook.into();
        self.note(&hook);
        Running {
            log: self.clone(),
            hook,
            over: false,
        }
    }
}

struct Running {
    log: Log,
    hook: String,
    over: bool,
}

impl Running {
    fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over && !std::thread::panicking() {
            self.log.note(format!("{}: dropped", self.hook));
        }
    }
}

pub(crate) struct Recorder {
    pub(crate) log: Log,
}

impl Consumer for Recorder {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        let running = self.log.begin("connect");
        let answer = self.admit(ctx).await;
        running.over();
        answer
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        let running = self.log.begin(match &message {
            Message::Text(text) => format!("receive {text}"),
            Message::Binary(bytes) => format!("receive {} bytes", bytes.len()),
        });
        let result = self.answer(ctx, message).await;
        running.over();
        result
    }

    async fn event(&mut self, ctx: &Context, event: Event) -> strait::Result {
        let running = self.log.begin(format!("event {}", event.kind()));
        let result = self.obey(ctx, event.kind()).await;
        running.over();
        result
    }

    async fn error(&mut self, ctx: &Context, error: BoxError) -> strait::Result {
        self.log.note(format!("error {error}"));
        match ctx.scope().query("error") {
            None => Err(error),
            Some(orders) => self.obey(ctx, &orders).await,
        }
    }

    async fn disconnect(&mut self, ctx: &Context, closed: Closed) {
        let running = self.log.begin("disconnect");
        let mut groups: Vec<_> = ctx.groups().iter().map(ToString::to_string).collect();
        groups.sort();
        let mut receivers = reached(ctx.layer(), &[]).await;
        // The name is asked for again here, as one would for `except`.
        receivers.extend(reached(ctx.layer(), &[ctx.channel_name()]).await);
        self.log.0.farewells.lock().unwrap().push(Farewell {
            closed,
            groups,
            receivers,
        });
        ctx.send_text("nobody is there any longer").await.unwrap();
        ctx.group_add("late").await.unwrap();
        if let Some(orders) = ctx.scope().query("disconnect") {
            self.obey(ctx, &orders).await.unwrap();
        }
        running.over();
    }
}

impl Recorder {
    async fn admit(&self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add(GROUPS[0]).await?;
        ctx.group_add(GROUPS[1]).relay().await?;
        self.log.0.names.lock().unwrap().push(ctx.channel_name());
        let orders = ctx.scope().query("connect").unwrap_or_default();
        self.obey(ctx, &orders).await?;
        if let Some(status) = ctx.scope().query("reject") {
            return Err(Reject::status(status.parse::<u16>()?).body("no"));
        }
        if let Some(refusal) = ctx.scope().query("refuse") {
            let (code, reason) = code_and_reason(&refusal);
            return Err(Reject::after_accept(code, reason));
        }
        match ctx.scope().query("subprotocol") {
            Some(name) => Ok(Accept::new().subprotocol(name)),
            None => Ok(Accept::new()),
        }
    }

    async fn answer(&self, ctx: &Context, message: Message) -> strait::Result {
        if message.as_bytes().starts_with(b"{") {
            message.json::<Event>()?;
        }
        let orders = message.into_text()?;
        self.obey(ctx, &orders).await
    }

    /// Orders, parted by semicolons.
    async fn obey(&self, ctx: &Context, orders: &str) -> strait::Result {
        for order in orders.split(';') {
            self.carry_out(ctx, order).await?;
        }
        Ok(())
    }

    async fn carry_out(&self, ctx: &Context, order: &str) -> strait::Result {
        let (verb, rest) = order.split_once(' ').unwrap_or((order, ""));
        match verb {
            "send" => ctx.send_text(rest).await?,
            "dropped" => ctx.send_text(ctx.dropped().to_string()).await?,
            "flood" => {
                for number in 0..rest.parse::<usize>()? {
                    ctx.send_text(format!("{number:01024}")).await?;
                }
            }
            "fail" => return Err("a secret of the database".into()),
            "panic" => panic!("on purpose"),
            "state" => drop(ctx.state::<Log>().clone()),
            "unavailable" => return Err(Error::unavailable("no answer from redis").into()),
            "close" => {
                let (code, reason) = code_and_reason(rest);
                ctx.close(code, reason).await?;
            }
            "end" => {
                let (code, reason) = code_and_reason(rest);
                return Err(Error::close(code, reason).into());
            }
            "sleep" => sleep(Duration::from_secs(rest.parse()?)).await,
            "wait" => self.log.0.gate.acquire().await?.forget(),
            "hang" => pending().await,
            _ => {}
        }
        Ok(())
    }
}

/// How many a probe event reaches in each of a recorder's groups, and behind each of these names;
/// all groups, also the one it is too late for, where no name is given.
pub(crate) async fn reached(layer: &ChannelLayer, names: &[ChannelName]) -> Vec<usize> {
    let probe = Event::new("probe");
    let mut receivers = Vec::new();
    for group in GROUPS.into_iter().chain(["late"]) {
        let published = layer.group_send(group, &probe).await;
        receivers.push(published.unwrap().receivers);
    }
    for name in names {
        let published = layer.send(name.clone(), &probe).await;
        receivers.push(published.unwrap().receivers);
    }
    receivers
}

fn code_and_reason(text: &str) -> (u16, &str) {
    let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
    (code.parse().unwrap(), reason)
}
