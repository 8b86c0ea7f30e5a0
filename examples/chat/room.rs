//! [`Room`]: one person in one room.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use serde::{Deserialize, Serialize};
use strait::close::Cause;
use strait::config::Config;
use strait::layer::GroupName;
use strait::{Accept, BoxError, Closed, Consumer, Context, Error, Message, Reject, Router, Scope};
use thiserror::Error;

/// The route. Each line goes to everybody in the room, so a client that sends lines without end
/// would cost all of them: it is closed with 1008. No person types that fast.
pub(crate) fn router() -> Router {
    Router::new()
        .path("ws/chat/<slug:room>/", Room::new)
        .config(Config::new().inbound_rate(MESSAGES_PER_SECOND, MESSAGES_AT_ONCE))
}

/// The consumer: there is one value for each connection, so what it keeps is this person's.
pub(crate) struct Room {
    group: GroupName,
    me: Person,
}

/// A person as the others see it. Names may be equal, ids are not.
#[derive(Serialize)]
struct Person {
    id: String,
    name: String,
}

/// A message from the page.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Request {
    Say { text: String },
    Rename { name: String },
}

/// An event for everybody in a room. It borrows, since events are encoded in the moment they are
/// published.
#[derive(Serialize)]
#[serde(tag = "type")]
enum RoomEvent<'a> {
    #[serde(rename = "chat.joined")]
    Joined { who: &'a Person },
    #[serde(rename = "chat.message")]
    Said { who: &'a Person, text: &'a str },
    #[serde(rename = "chat.renamed")]
    Renamed { who: &'a Person, before: &'a str },
    #[serde(rename = "chat.left")]
    Left { who: &'a Person },
}

/// A message for one socket alone.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Answer<'a> {
    Welcome { you: &'a Person, longest: Longest },
    Error { message: &'a str },
}

/// The page counts along, so that nobody writes a text that is too long.
#[derive(Serialize)]
struct Longest {
    name: usize,
    text: usize,
}

/// A refusal, in words for the person who asked.
#[derive(Debug, Error)]
enum Refusal {
    #[error("Nothing was said: write some text first.")]
    NoText,
    #[error("That was not sent: it has {0} characters, and at most {LONGEST_TEXT} fit.")]
    LongText(usize),
    #[error("A name has 1 to {LONGEST_NAME} characters, in one line.")]
    Name,
}

impl Room {
    /// The factory that the route names. There is no room yet whose name has too many characters
    /// for a group.
    pub(crate) fn new(scope: &Scope) -> Result<Self, Reject> {
        let room: String = scope.param("room")?;
        let group = GroupName::try_from(format!("chat_{room}")).map_err(|_| Reject::not_found())?;
        let me = Person {
            id: format!("{:016x}", random()),
            name: format!("guest-{}", 1000 + random() % 9000),
        };
        Ok(Self { group, me })
    }

    async fn publish(&self, ctx: &Context, event: RoomEvent<'_>) -> strait::Result {
        ctx.layer().group_send(&self.group, &event).await?;
        Ok(())
    }

    async fn rename(&mut self, ctx: &Context, name: &str) -> strait::Result {
        let name = checked_name(name)?;
        let before = std::mem::replace(&mut self.me.name, name);
        let (who, before) = (&self.me, before.as_str());
        self.publish(ctx, RoomEvent::Renamed { who, before }).await
    }
}

impl Consumer for Room {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        let wish = ctx.scope().query("name").map(|name| checked_name(&name));
        let refusal = match wish {
            Some(Ok(name)) => {
                self.me.name = name;
                None
            }
            Some(Err(refusal)) => Some(refusal.to_string()),
            None => None,
        };
        // Sent before the room's own lines: these messages go out after the handshake, in this
        // order.
        ctx.send_json(&Answer::welcome(&self.me)).await?;
        if let Some(message) = &refusal {
            ctx.send_json(&Answer::Error { message }).await?;
        }

        // Everybody in a room sees the same lines, so nobody needs a hook to look at them first:
        // with `relay` the event's JSON, encoded once for all, goes straight to the sockets. A
        // member that must decide for itself joins without it and has an `event` hook.
        ctx.group_add(&self.group).relay().await?;
        // Last, and after joining: an announcement is true once it is out. This person knows
        // already, from the welcome.
        ctx.layer()
            .group_send(&self.group, &RoomEvent::Joined { who: &self.me })
            .except(ctx)
            .await?;
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        match message.json()? {
            Request::Say { text } => {
                let (who, text) = (&self.me, checked_text(&text)?);
                // To oneself as well: only so has everybody the lines in the same order.
                self.publish(ctx, RoomEvent::Said { who, text }).await
            }
            Request::Rename { name } => self.rename(ctx, &name).await,
        }
    }

    /// Every `?` in `receive` ends here. A mistake that the client can correct is answered in words
    /// and the connection stays open; other errors close it.
    async fn error(&mut self, ctx: &Context, error: BoxError) -> strait::Result {
        let message = if let Some(refusal) = error.downcast_ref::<Refusal>() {
            refusal.to_string()
        } else if error.downcast_ref().is_some_and(Error::is_bad_message) {
            r#"Not understood: send {"type": "say", "text": "…"} or {"type": "rename", "name": "…"}."#.to_owned()
        } else {
            return Err(error);
        };
        ctx.send_json(&Answer::Error { message: &message }).await?;
        Ok(())
    }

    async fn disconnect(&mut self, ctx: &Context, closed: Closed) {
        // A server that stops is nobody's leaving: all come back, and telling each of each would be
        // the square of them.
        if closed.cause() == Cause::Drain {
            return;
        }
        // The room is left already, so this reaches the others only.
        let told = self.publish(ctx, RoomEvent::Left { who: &self.me }).await;
        if let Err(error) = told {
            tracing::warn!(group = %self.group, error, "could not tell that somebody left");
        }
    }
}

impl<'a> Answer<'a> {
    fn welcome(you: &'a Person) -> Self {
        Self::Welcome {
            you,
            longest: Longest {
                name: LONGEST_NAME,
                text: LONGEST_TEXT,
            },
        }
    }
}

fn checked_name(name: &str) -> Result<String, Refusal> {
    let name = name.trim();
    let fits = !name.is_empty() && name.chars().count() <= LONGEST_NAME;
    if !fits || name.contains(char::is_control) {
        return Err(Refusal::Name);
    }
    Ok(name.to_owned())
}

fn checked_text(text: &str) -> Result<&str, Refusal> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(Refusal::NoText),
        1..=LONGEST_TEXT => Ok(text),
        characters => Err(Refusal::LongText(characters)),
    }
}

/// Tells people apart; nothing here is a secret.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

const LONGEST_NAME: usize = 24;
const LONGEST_TEXT: usize = 500;
const MESSAGES_PER_SECOND: u32 = 5;
const MESSAGES_AT_ONCE: u32 = 20;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test should panic")]
    use serde_json::{Value, json};
    use strait::close::CloseCode;
    use strait::service::WebSocketService;
    use strait::testing::Communicator;

    use super::MESSAGES_AT_ONCE;

    #[tokio::test(start_paused = true)]
    async fn a_message_reaches_everybody_in_the_room_and_nobody_else() {
        let rooms = rooms();
        let mut ada = enter(&rooms, "/ws/chat/lobby/?name=Ada").await;
        let mut grace = enter(&rooms, "/ws/chat/lobby/?name=Grace").await;
        let mut elsewhere = enter(&rooms, "/ws/chat/elsewhere/").await;
        assert_eq!(next(&mut ada).await["type"], "chat.joined");

        ada.send_json(&json!({"type": "say", "text": " hello "}))
            .await
            .unwrap();
        for member in [&mut ada, &mut grace] {
            let line = next(member).await;
            assert_eq!(line["type"], "chat.message");
            assert_eq!(line["who"]["name"], "Ada");
            assert_eq!(line["text"], "hello");
        }
        elsewhere.expect_nothing().await.unwrap();

        ada.disconnect().await.unwrap();
        let line = next(&mut grace).await;
        assert_eq!(
            (&line["type"], &line["who"]["name"]),
            (&json!("chat.left"), &json!("Ada"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_renamed_person_speaks_under_the_new_name() {
        let rooms = rooms();
        let mut client = enter(&rooms, "/ws/chat/lobby/?name=Ada").await;
        client
            .send_json(&json!({"type": "rename", "name": "Countess"}))
            .await
            .unwrap();
        let line = next(&mut client).await;
        assert_eq!(
            (&line["before"], &line["who"]["name"]),
            (&json!("Ada"), &json!("Countess"))
        );
        client
            .send_json(&json!({"type": "say", "text": "hello"}))
            .await
            .unwrap();
        assert_eq!(next(&mut client).await["who"]["name"], "Countess");
    }

    #[tokio::test(start_paused = true)]
    async fn mistakes_are_answered_in_words_and_the_connection_stays() {
        let long = "é".repeat(501);
        let rows = [
            ("hello".to_owned(), "Not understood"),
            (json!({"type": "shout"}).to_string(), "Not understood"),
            (
                json!({"type": "say", "text": "\n"}).to_string(),
                "Nothing was said",
            ),
            (
                json!({"type": "say", "text": long}).to_string(),
                "it has 501 characters, and at most 500",
            ),
            (
                json!({"type": "rename", "name": ""}).to_string(),
                "A name has 1 to 24",
            ),
            (
                json!({"type": "rename", "name": "a\nb"}).to_string(),
                "A name has 1 to 24",
            ),
        ];
        let rooms = rooms();
        let mut client = enter(&rooms, "/ws/chat/lobby/").await;
        for (message, words) in rows {
            client.send_text(&message).await.unwrap();
            let answer = next(&mut client).await;
            let said = answer["message"].as_str().unwrap();
            assert!(said.contains(words), "{message}: {answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_cannot_be_makes_a_guest() {
        let rooms = rooms();
        let mut client = Communicator::new(&rooms, "/ws/chat/lobby/?name=%20");
        client.connect().await.unwrap();
        let welcome = next(&mut client).await;
        assert!(
            welcome["you"]["name"]
                .as_str()
                .unwrap()
                .starts_with("guest-")
        );
        assert_eq!(next(&mut client).await["type"], "error");
    }

    #[tokio::test(start_paused = true)]
    async fn a_room_whose_name_is_too_long_is_not_found() {
        let path = format!("/ws/chat/{}/", "a".repeat(95));
        let refused = Communicator::new(rooms(), &path).connect().await;
        assert_eq!(refused.unwrap_err().status, 404);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_without_end_is_closed() {
        let rooms = rooms();
        let mut client = enter(&rooms, "/ws/chat/lobby/").await;
        let line = json!({"type": "say", "text": "hello"});
        for _ in 0..MESSAGES_AT_ONCE {
            client.send_json(&line).await.unwrap();
            assert_eq!(next(&mut client).await["type"], "chat.message");
        }
        client.send_json(&line).await.unwrap();
        let (code, _) = client.expect_close().await.unwrap();
        assert_eq!(code, CloseCode::POLICY_VIOLATION);
    }

    fn rooms() -> WebSocketService {
        super::router().into_service().0
    }

    async fn enter(rooms: &WebSocketService, path: &str) -> Communicator {
        let mut client = Communicator::new(rooms, path);
        client.connect().await.unwrap();
        assert_eq!(next(&mut client).await["type"], "welcome");
        client
    }

    async fn next(client: &mut Communicator) -> Value {
        client.receive_json().await.unwrap()
    }
}
