//! Signs of life where nothing is read or nothing can be written.

use std::time::Duration;

use strait::close::Cause;
use strait::config::Config;

use super::act::Act;
use super::client::frame;
use super::line::Line;

const PING: u8 = 0x9;

#[tokio::test(start_paused = true)]
async fn the_pong_deadline_rests_while_nothing_is_read_and_runs_again_afterwards() {
    let config = Config::new()
        .messages(2, 1 << 20)
        .ping_interval(Duration::from_secs(10))
        .pong_timeout(Duration::from_secs(3));
    let mut line = Line::open(config, 1024).await;
    line.peer.is_dead = true;
    for text in ["wait", "one", "two", "three"] {
        line.say(text);
    }
    // Far beyond both; nothing is read, so silence proves nothing, and nothing is asked.
    line.pass(3_600_000).await;
    assert_eq!(line.closed(), None);
    assert_eq!(line.peer.pings, 0);
    line.notes.tell(Act::GateOpens);
    line.pass(1).await;
    assert_eq!(line.notes.lock().received, ["wait", "one", "two", "three"]);
    // From now on it is asked after 8 to 12 seconds, and has three to answer.
    line.pass(7900).await;
    assert_eq!(line.peer.pings, 0);
    let mut waited = 7900;
    while line.peer.pings == 0 {
        line.pass(10).await;
        waited += 10;
        assert!(waited < 12_100);
    }
    assert_eq!(line.closed(), None);
    line.pass(3000).await;
    let expected = (4009, "no answer to a ping".to_owned(), Cause::TimeOut);
    assert_eq!(line.closed(), Some(expected));
    assert!(line.peer.saw_end && line.is_over());
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_waits_for_its_answer_rests_too() {
    let config = Config::new()
        .messages(2, 1 << 20)
        .ping_interval(Duration::from_secs(10))
        .pong_timeout(Duration::from_secs(3));
    let mut line = Line::open(config, 1024).await;
    line.peer.is_dead = true;
    line.say("wait");
    while line.peer.pings == 0 {
        line.pass(10).await;
    }
    for text in ["one", "two", "three"] {
        line.say(text);
    }
    line.pass(60_000).await;
    assert_eq!(line.closed(), None);
    line.peer.is_dead = false;
    line.notes.tell(Act::GateOpens);
    line.pass(60_000).await;
    assert_eq!(line.closed(), None, "it answers pings again");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_cannot_write_answers_the_sixteen_newest_pings() {
    for (name, message) in [("idle", None), ("in a hook", Some("wait"))] {
        let mut line = Line::open(Config::new(), 500).await;
        line.peer.reads = false;
        message.iter().for_each(|message| line.say(message));
        line.pass(1).await;
        line.broadcast("g1".to_owned() + &".".repeat(2000)).await;
        line.pass(1).await;
        for number in 0..10_000 {
            line.peer.send(PING, format!("{number}").as_bytes());
            if number % 10 == 9 {
                tokio::task::yield_now().await;
            }
        }
        line.pass(1).await;
        line.peer.reads = true;
        line.pass(1).await;
        let newest: Vec<_> = (9984..10_000).map(|number| number.to_string()).collect();
        assert_eq!(line.peer.pongs, newest, "{name}");
        line.peer.send(PING, b"and again");
        line.pass(1).await;
        assert_eq!(line.peer.pongs.last().unwrap(), "and again", "{name}");
        assert_eq!(line.closed(), None, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_ping_of_one_write_is_answered_in_order() {
    for (name, message) in [("idle", None), ("in a hook", Some("wait"))] {
        let mut line = Line::open(Config::new(), 1 << 16).await;
        message.iter().for_each(|message| line.say(message));
        line.pass(1).await;
        let payloads: Vec<_> = (0..10).map(|number| number.to_string()).collect();
        let pings: Vec<_> = payloads
            .iter()
            .map(|payload| frame(PING, payload))
            .collect();
        line.peer.write(&pings.concat());
        line.pass(1).await;
        assert_eq!(line.peer.pongs, payloads, "{name}");
    }
}

/// The deadline of the answer lies beyond that of the next ping, and must not hold it up.
#[tokio::test(start_paused = true)]
async fn pings_keep_their_pace_where_the_answer_has_longer() {
    let config = Config::new()
        .ping_interval(Duration::from_secs(1))
        .pong_timeout(Duration::from_secs(30));
    let mut line = Line::open(config, 1024).await;
    line.pass(20_000).await;
    assert!(line.peer.pings >= 15, "{}", line.peer.pings);
}

/// While reading rests, the timer waits for the hook's limit alone; with reading the ping is back,
/// and it is nearer.
#[tokio::test(start_paused = true)]
async fn the_ping_is_back_when_the_rest_is_over() {
    let config = Config::new()
        .messages(2, 1 << 20)
        .hook_limit(Duration::from_secs(3600))
        .ping_interval(Duration::from_secs(10));
    let mut line = Line::open(config, 1024).await;
    line.peer.is_dead = true;
    for text in ["wait", "one", "two", "three"] {
        line.say(text);
    }
    line.pass(60_000).await;
    line.notes.tell(Act::GateOpens);
    line.pass(12_500).await;
    assert_eq!(line.peer.pings, 1);
}
