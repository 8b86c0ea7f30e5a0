//! What members cost that rest, and whether they cost more after a large message.

use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::common::request::Headers;
use crate::common::server::Server;
use crate::crowd::Came;
use crate::crowd::Crowd;
use crate::crowd::Go;
use crate::crowd::Opening;
use crate::frames;
use crate::frames::Numbered;
use crate::frames::PONG;
use crate::groups;
use crate::groups::TEN;
use crate::hub;
use crate::hub::Hub;
use crate::hub::LOOK;
use crate::options::Options;
use crate::report::Report;

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
    report.line("Members of groups of 10, short request, and one message of 60 KB each:");
    report.head([
        "each",
        "resident bytes each before",
        "at the most, MB in all",
        "after",
        "back within 5 % after",
    ]);
    let mut failures = Vec::new();
    for after in [After::Got, After::Sent, After::SentInHalves] {
        failures.extend(back(hub, members, after, report)?);
    }
    for failure in &failures {
        report.fail(failure);
    }
    if failures.is_empty() {
        report.check(
            true,
            "back within 5 % after a message of 60 KB for each member",
        );
    }
    Ok(())
}

/// A server, and what it takes before and after so many sockets.
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

/// What happens to each member.
#[derive(Clone, Copy, Debug)]
enum After {
    Got,
    Sent,
    /// As sent, but nobody sends the second half before all have sent the first.
    SentInHalves,
}

/// What fails, if it does.
fn back(
    hub: &Hub,
    members: usize,
    after: After,
    report: &mut Report,
) -> Result<Option<String>, String> {
    let mut idle = Idle::settle(hub, members, Place::Group, Opening::short())?;
    match after {
        After::Got => groups::everyone_gets(&mut idle.crowd, LENGTH)?,
        After::Sent => everyone_sends(&mut idle.crowd, LENGTH)?,
        After::SentInHalves => everyone_sends(&mut idle.crowd, LENGTH / 2)?,
    }
    let limit = idle.empty + (idle.idle - idle.empty) / 100 * 105;
    let start = Instant::now();
    let resident = loop {
        let resident = idle.server.resident().map_err(|error| error.to_string())?;
        if resident <= limit || start.elapsed() > LONGEST {
            break resident;
        }
        thread::sleep(LOOK);
    };
    let is_back = resident <= limit;
    let took = start.elapsed().as_secs_f64();
    let name = match after {
        After::Got => "got it",
        After::Sent => "sent it",
        After::SentInHalves => "sent it, in halves",
    };
    report.row([
        name.to_owned(),
        format!("{:.0}", idle.each(idle.idle)),
        format!("{:.1}", idle.server.peak()? as f64 / 1e6),
        format!("{:.0}", idle.each(resident)),
        if is_back {
            format!("{took:.2} s")
        } else {
            "–".to_owned()
        },
    ]);
    let more = (idle.each(resident) / idle.each(idle.idle) - 1.0) * 100.0;
    let failure = format!("{more:.1} % more than before are resident after each has {name}");
    Ok((!is_back).then_some(failure))
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

/// One of so many sockets comes before the others.
const FIRST: usize = 50;
const LENGTH: usize = 60_000;
/// After this time what is not given back is kept.
const LONGEST: Duration = Duration::from_secs(10);
