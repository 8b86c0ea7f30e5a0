// Sends messages to an echo, one after the other, and compares what comes back.
const [url, sizes, done] = arguments;
const socket = new WebSocket(url);
socket.binaryType = "arraybuffer";

function text(size) {
  let records = "";
  for (let number = 0; records.length < size; number++) records += `{"id":${number},"to":"Zoë"},`;
  return records.slice(0, size);
}

// Bytes that do not compress, and bytes that do.
function noise(size) {
  return crypto.getRandomValues(new Uint8Array(size));
}

const messages = sizes.flatMap((size) => [text(size), new TextEncoder().encode(text(size)), noise(size)]);
const wrong = [];
let at = 0;

function equal(sent, got) {
  if (typeof sent === "string") return sent === got;
  const bytes = new Uint8Array(got);
  return bytes.length === sent.length && bytes.every((byte, place) => byte === sent[place]);
}

function next() {
  if (at < messages.length) return socket.send(messages[at]);
  const { extensions } = socket;
  socket.onclose = null;
  socket.close();
  done([extensions, wrong]);
}

socket.onopen = next;
socket.onclose = (event) => done([socket.extensions, [`closed with ${event.code} ${event.reason} at message ${at}`]]);
socket.onmessage = ({ data }) => {
  if (!equal(messages[at], data)) wrong.push(`message ${at} of ${messages[at].length}`);
  at += 1;
  next();
};
