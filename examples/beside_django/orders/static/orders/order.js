// Watches one order: Django says where it stands and gives a ticket, the socket tells what changes.

const WORDS = {
  connecting: "Connecting…",
  live: "Live",
  offline: "Connection lost. Trying again…",
  refused: "This order cannot be watched.",
};
const BASE = 500;
const CAP = 10_000;

const part = (id) => document.getElementById(id);
const page = part("order").dataset;
const steps = [...document.querySelectorAll("[data-step]")];

show({ version: Number(page.version), status: page.status, label: part("label").textContent, at: part("at").dateTime });

for (let failures = 0; ; failures += 1) {
  const ticket = await ask();
  if (ticket === "refused") break;
  if (ticket && (await watch(ticket))) failures = 0;
  say("offline");
  // Full jitter: all who lost the same server do not come back in the same moment.
  await new Promise((over) => setTimeout(over, Math.random() * Math.min(CAP, BASE * 2 ** failures)));
}
say("refused");

/** Asks Django where the order stands, shows that, and answers a ticket; "refused", or nothing when Django is out of reach. */
async function ask() {
  try {
    const response = await fetch(page.stateUrl, { signal: AbortSignal.timeout(8_000) });
    if ([401, 403, 404].includes(response.status)) return "refused";
    const { ticket, ...state } = await response.json();
    show(state);
    return ticket;
  } catch {
    return undefined;
  }
}

/** The life of one socket; answers whether it was ever open. */
function watch(ticket) {
  const url = new URL(page.socketUrl, location.href.replace(/^http/, "ws"));
  url.searchParams.set("ticket", ticket);
  const socket = new WebSocket(url);
  let lived = false;
  socket.onopen = () => {
    lived = true;
    say("live");
    // What changed between the first answer and now, nobody told this page.
    ask();
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "order.updated") show(message);
    // Redis was away: whatever was sent meanwhile is lost.
    if (message.type === "order.missed") ask();
  };
  return new Promise((over) => {
    socket.onclose = () => over(lived);
  });
}

/** Shows a state, unless a newer one is there already. */
function show({ version, status, label, at }) {
  if (version < Number(page.version)) return;
  page.version = version;
  page.status = status;
  part("label").textContent = label;
  part("at").dateTime = at;
  part("at").textContent = new Date(at).toLocaleTimeString();
  const now = steps.findIndex((step) => step.dataset.step === status);
  steps.forEach((step, index) => {
    step.dataset.state = index < now ? "done" : index === now ? "now" : "ahead";
    if (index === now) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
  });
}

function say(state) {
  part("connection").dataset.state = state;
  part("connection").textContent = WORDS[state];
}
