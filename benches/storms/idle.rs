//! The cost of idle members, also after a large message.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::request::Headers;
use crate::common::server::Server;
use crate::crowd::{Came, Crowd, Go, Opening};
use crate::frames::{Numbered, PONG};
use crate::groups::TEN;
use crate::hub::{Hub, LOOK};
use crate::options::Options;
use crate::report::Report;
use crate::{frames, groups, hub};

pub(crate) fn run(hub: &Hub, options: &Options, report: &mut Report) -> Result<(), String> {
    let members = options.size(15_000, 3000);
    let browser = Opening {
        headers: Headers::Browser,
        ..Opening::short()
    };
    report.line(format_args!(
        "{members} sockets after the first {}, which bring what belongs to none.",
        members / FIRST
    ));
    report.head(["request", "in a group of 10", "resident bytes each"]);
    let mut cost = |request, place, opening| {
        let idle = Idle::settle(hub, members, place, opening)?;
        let each = idle.each(idle.idle);
        let is_member = if place == Place::Group { "yes" } else { "no" };
        report.row([request, is_member, &format!("{each:.0}")]);
        Ok::<_, String>(())
    };
    cost("short", Place::Alone, Opening::short())?;
    cost("short", Place::Group, Opening::short())?;
    cost("a browser's", Place::Alone, browser)?;
    cost("a browser's", Place::Group, browser)?;

    report.line("");
    report.line("Members of groups of 10, short request, and one message of 60 KB each; then the same twice more:");
    report.head([
        "each",
        "resident bytes each before",
        "at most, MB in all",
        "after",
        "back within 5 % after",
        "after the third time",
    ]);
    let afters = [After::Got, After::Sent, After::SentInHalves];
    let backs = afters.map(|after| Back::measure(hub, members, after));
    let backs = backs.into_iter().collect::<Result<Vec<_>, _>>()?;
    backs.iter().for_each(|back| back.row(report));
    report.line("");
    backs.iter().for_each(|back| back.check(report));
    Ok(())
}

/// A server, and its memory before and after this many sockets.
struct Idle {
    server: Server,
    /// They stay: else the later ones would use their memory again.
    _first: Crowd,
    crowd: Crowd,
    empty: u64,
    idle: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Alone,
    Group,
}

impl Idle {
    fn settle(hub: &Hub, members: usize, place: Place, opening: Opening) -> Result<Self, String> {
        let server = hub.start(&[])?;
        let open = |count, name| {
            let paths = (0..count).map(|socket| match place {
                Place::Alone => "/echo".to_owned(),
                Place::Group => format!("/group/{name}{}/", socket / TEN),
            });
            Crowd::open(server.address, paths, opening)
        };
        let first = open(members / FIRST, "f")?;
        let empty = hub::resident_at_rest(&server)?;
        let crowd = open(members, "g")?;
        let idle = hub::resident_at_rest(&server)?;
        Ok(Self {
            server,
            _first: first,
            crowd,
            empty,
            idle,
        })
    }

    /// Bytes for each socket, when so many are resident.
    fn each(&self, resident: u64) -> f64 {
        (resident as f64 - self.empty as f64) / self.crowd.len() as f64
    }
}

/// The work of each member.
#[derive(Clone, Copy, Debug)]
enum After {
    Got,
    Sent,
    /// As sent, but nobody sends the second half before all have sent the first.
    SentInHalves,
}

/// Resident memory around a message for each member; bytes each, but the peak.
struct Back {
    after: After,
    before: f64,
    peak: u64,
    once: f64,
    /// How long it took to be back within five percent, if it was.
    took: Option<Duration>,
    thrice: f64,
}

impl Back {
    fn measure(hub: &Hub, members: usize, after: After) -> Result<Self, String> {
        let mut idle = Idle::settle(hub, members, Place::Group, Opening::short())?;
        after.happen(&mut idle.crowd)?;
        let limit = idle.empty + (idle.idle - idle.empty) / 100 * 105;
        let start = Instant::now();
        let once = loop {
            let resident = idle.server.resident().map_err(|error| error.to_string())?;
            if resident <= limit || start.elapsed() > LONGEST {
                break resident;
            }
            thread::sleep(LOOK);
        };
        let took = (once <= limit).then(|| start.elapsed());
        let peak = idle.server.peak()?;
        for _ in 0..2 {
            after.happen(&mut idle.crowd)?;
        }
        // It need not be idle any longer: its pings to all these members are due by now.
        thread::sleep(LOOK);
        let thrice = idle.server.resident().map_err(|error| error.to_string())?;
        Ok(Self {
            after,
            before: idle.each(idle.idle),
            peak,
            once: idle.each(once),
            took,
            thrice: idle.each(thrice),
        })
    }

    fn row(&self, report: &mut Report) {
        let took = self.took.map(|took| format!("{:.2} s", took.as_secs_f64()));
        report.row([
            self.after.name().to_owned(),
            format!("{:.0}", self.before),
            format!("{:.1}", self.peak as f64 / 1e6),
            format!("{:.0}", self.once),
            took.unwrap_or_else(|| "–".to_owned()),
            format!("{:.0}", self.thrice),
        ]);
    }

    fn check(&self, report: &mut Report) {
        let name = self.after.name();
        if matches!(self.after, After::Got) {
            let more = (self.once / self.before - 1.0) * 100.0;
            let what = format!("{more:.1} % more than before are resident after each has {name}");
            return report.check(self.took.is_some(), what);
        }
        // When thousands send at once, their messages are on the heap at once. Whether glibc gives
        // that memory back is up to it: a thread's arena is cut at its end only, and a small block
        // there keeps all before it. The memory that stays must not exceed the need of one time.
        let peak = self.peak as f64 / 1e6;
        let (once, thrice) = (self.once, self.thrice);
        let what = format!(
            "the peak was {peak:.0} MB, and {once:.0} B each stay after each has {name}, {thrice:.0} B after the third time"
        );
        report.check(thrice <= self.before + LENGTH as f64 * 1.25, what);
    }
}

impl After {
    const fn name(self) -> &'static str {
        match self {
            Self::Got => "got it",
            Self::Sent => "sent it",
            Self::SentInHalves => "sent it, in halves",
        }
    }

    fn happen(self, crowd: &mut Crowd) -> Result<(), String> {
        match self {
            Self::Got => groups::everyone_gets(crowd, LENGTH),
            Self::Sent => everyone_sends(crowd, LENGTH),
            Self::SentInHalves => everyone_sends(crowd, LENGTH / 2),
        }
    }
}

/// A pong says that what was sent before is read.
fn everyone_sends(crowd: &mut Crowd, first: usize) -> Result<(), String> {
    let mut message = frames::request(frames::BINARY, Numbered::new(LENGTH).payload(0));
    message.extend(frames::request(frames::PING, b"read?"));
    let parts = message.split_at(first.min(message.len()));
    for part in [parts.0, parts.1] {
        for socket in 0..crowd.len() {
            crowd.send(socket, part)?;
        }
    }
    crowd.read_all(crowd.len(), |socket, came| match came {
        Came::Frame(frame) if frame.opcode == PONG && frame.payload == b"read?" => Ok(Go::Stop),
        other => Err(format!("socket {socket} has {other}, not the pong")),
    })
}

/// One of this many sockets comes before the others.
const FIRST: usize = 50;
const LENGTH: usize = 60_000;
/// After this time what is not given back is kept.
const LONGEST: Duration = Duration::from_secs(10);
