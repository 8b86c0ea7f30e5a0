// Follows something live: asks for it over HTTP, opens a WebSocket, and comes back after every break.

const BASE = 500;
const CAP = 10_000;
const ASK_LIMIT = 8_000;
const SILENCE = 25_000;
const PATIENCE = 8_000;

const WORDS = {
  connecting: "Connecting…",
  live: "Live",
  offline: "Connection lost. Trying again…",
  refused: "Not allowed",
};

/**
 * Calls `receive` with every message of the socket at `path`, and with what `address` answers before each attempt: a browser is
 * not told why a socket was refused, but an HTTP answer tells a wrong token from an outage.
 *
 * Ends only when it is refused, with the sentence that says why.
 */
export async function follow({ address, headers, path, receive }) {
  say("connecting");
  for (let failures = 0; ; failures += 1) {
    let wish = 0;
    const answer = await ask(address, headers);
    if (answer.refusal) {
      say("refused");
      return answer.refusal;
    }
    if (answer.found) {
      receive(answer.found);
      const end = await session(path, receive);
      if (end.lived) failures = 0;
      wish = end.wish;
    }
    say("offline");
    // Full jitter: all who lost the same server do not come back in the same moment.
    await pause(wish + Math.random() * Math.min(CAP, BASE * 2 ** failures));
  }
}

/** One look at what is followed: found, refused, or neither when the server cannot be reached. */
async function ask(address, headers) {
  try {
    const response = await fetch(address, { headers, signal: AbortSignal.timeout(ASK_LIMIT) });
    if (response.ok) return { found: await response.json() };
    if ([401, 403, 404].includes(response.status)) return { refusal: (await response.json()).error };
  } catch {
    // Out of reach, like an answer that is none.
  }
  return {};
}

/** The life of one socket. Answers whether it ever said something, and how long the server wishes to be left alone. */
function session(path, receive) {
  return new Promise((over) => {
    const socket = new WebSocket(new URL(path, location.href.replace(/^http/, "ws")));
    let lived = false;
    let timer;

    const end = ({ reason = "" } = {}) => {
      clearTimeout(timer);
      socket.onmessage = socket.onclose = null;
      socket.close();
      over({ lived, wish: Number(/retry_after_ms=(\d+)/.exec(reason)?.[1] ?? 0) });
    };
    // A network that went away does not say so. After a silence we ask, and no answer is an answer.
    const watch = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (socket.readyState === WebSocket.OPEN) socket.send('{"type":"status"}');
        timer = setTimeout(end, PATIENCE);
      }, SILENCE);
    };

    socket.onmessage = ({ data }) => {
      lived = true;
      say("live");
      watch();
      receive(JSON.parse(data));
    };
    socket.onclose = end;
    watch();
  });
}

/** Waits, but not longer than until the network is back. */
function pause(milliseconds) {
  return new Promise((over) => {
    setTimeout(over, milliseconds);
    addEventListener("online", over, { once: true });
  });
}

function say(state) {
  const connection = document.querySelector("#connection");
  if (connection.dataset.state === state) return;
  connection.dataset.state = state;
  connection.textContent = WORDS[state];
}
