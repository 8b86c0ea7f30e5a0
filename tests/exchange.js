// Exchanges random messages with an echo. Runs in a page and in Node, whose `ws` has the browser's interface.

const IN_FLIGHT = 8;

// Sends `count` messages that follow from the seed, a few of them in flight, then closes. Calls `done` with the extensions in
// use and a list of what was wrong.
function exchange(WebSocket, url, seed, count, done) {
  const draw = messages(seed);
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  const waiting = [];
  const wrong = [];
  let extensions = "";
  let sent = 0;
  let came = 0;

  function send() {
    while (sent < count && waiting.length < IN_FLIGHT) {
      const next = draw();
      waiting.push(next);
      socket.send(next);
      sent += 1;
    }
    if (came === count) socket.close(1000);
  }

  socket.onopen = () => {
    extensions = socket.extensions;
    send();
  };
  socket.onmessage = ({ data }) => {
    const expected = waiting.shift();
    if (expected === undefined || !equal(expected, data)) {
      wrong.push(`message ${came}: sent ${expected?.length}, received ${data.length ?? data.byteLength} bytes or characters`);
    }
    came += 1;
    send();
  };
  socket.onerror = ({ message }) => wrong.push(message ?? "an error");
  socket.onclose = ({ code, reason }) => {
    if (code !== 1000 || came !== count) wrong.push(`closed with ${code} "${reason}" after ${came} messages`);
    done([extensions, wrong]);
  };
}

// Draws text and bytes, often of about 64 KiB. Some compress well, some not at all, in any order.
function messages(seed) {
  const random = xorshift(seed);
  const below = (limit) => random() % limit;

  function size() {
    switch (below(6)) {
      case 0: return below(600);
      case 1: return below(20_000);
      case 2: return below(200_001);
      default: return 65_536 - 1_000 + below(2_000);
    }
  }

  function noise(size) {
    const words = Uint32Array.from({ length: Math.ceil(size / 4) }, random);
    return new Uint8Array(words.buffer, 0, size);
  }

  function records(size) {
    let text = "";
    while (text.length < size) text += `{"id":${below(100_000)},"to":"Zoë"},`;
    return text.slice(0, size);
  }

  // Noise, then zeros.
  function mixed(size) {
    const bytes = new Uint8Array(size);
    bytes.set(noise(below(size + 1)));
    return bytes;
  }

  return () => {
    const length = size();
    switch (below(5)) {
      case 0: return "repeat ".repeat(length / 7 + 1).slice(0, length);
      case 1: return records(length);
      case 2: return new TextEncoder().encode(records(length));
      case 3: return noise(length);
      default: return mixed(length);
    }
  };
}

function equal(sent, got) {
  if (typeof sent === "string" || typeof got === "string") return sent === got;
  const bytes = new Uint8Array(got);
  return bytes.length === sent.length && bytes.every((byte, place) => byte === sent[place]);
}

// Whole numbers below 2^32; a seed is not zero.
function xorshift(seed) {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

if (typeof module === "object") module.exports = { exchange };
