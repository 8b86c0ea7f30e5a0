// Every order, followed live by the staff.

import { follow } from "./live.js";
import { bag, element, isFinished, label, pips, put, toSecond } from "./words.js";

const NEXT = {
  placed: ["paid", "Mark as paid"],
  paid: ["preparing", "Start cooking"],
  preparing: ["shipped", "Hand to courier"],
  shipped: ["out_for_delivery", "Send out"],
  out_for_delivery: ["delivered", "Mark delivered"],
};
const CANCELLABLE = ["placed", "paid", "preparing"];
const FEED_LENGTH = 50;
/** A finished order stays on the board at least this long; then a new one may take its place. */
const LINGER = 15_000;

const part = (id) => document.getElementById(id);
const staff = new URLSearchParams(location.search).get("staff") ?? "";
const headers = { Authorization: `Bearer ${staff}` };

/** By order: what is known of it, the row that shows it, and since when it is finished. */
const shown = new Map();
/** Events of orders that are being asked for. */
const early = new Map();

const refusal = await follow({
  address: "/api/orders",
  headers,
  path: `/ws/board/?staff=${encodeURIComponent(staff)}`,
  receive,
});
part("desk").hidden = true;
part("refused").hidden = false;
part("refusal").textContent = refusal;

function receive(message) {
  part("desk").removeAttribute("aria-busy");
  if (Array.isArray(message)) showAll(message);
  else if (message.type === "board.snapshot") showAll(message.orders);
  else if (shown.has(message.order_id)) hear(message);
  else if (message.order_id) meet(message);
}

function showAll(orders) {
  const listed = new Set(orders.map((order) => order.order_id));
  for (const [orderId, place] of shown) {
    if (listed.has(orderId)) continue;
    place.row.line.remove();
    shown.delete(orderId);
  }
  for (const order of orders) add(order, -Infinity);
  tally();
}

/** Takes in an event. One that is older than what is shown changes nothing, and where one was missed the order is asked for. */
function hear(event) {
  const place = shown.get(event.order_id);
  if (!place || event.seq <= place.order.seq) return;
  if (event.seq > place.order.seq + 1) {
    meet(event);
    return;
  }
  if (event.type === "order.location") {
    place.order = { ...place.order, seq: event.seq, location: event };
  } else {
    place.order = { ...place.order, ...event, history: [...place.order.history, event] };
    report(event);
  }
  if (isFinished(place.order.status)) place.finished ??= performance.now();
  show(place);
}

/** Asks for an order that the board does not have yet, or not as it is, and keeps what happens to it meanwhile. */
async function meet(event) {
  if (early.has(event.order_id)) {
    early.get(event.order_id).push(event);
    return;
  }
  early.set(event.order_id, []);
  const response = await fetch(`/api/orders/${event.order_id}`, { headers }).catch(() => null);
  const order = response?.ok ? await response.json().catch(() => null) : null;
  const meanwhile = early.get(event.order_id);
  early.delete(event.order_id);
  if (!order) return;
  add(order, performance.now());
  if (event.type === "order.updated") report(event);
  meanwhile.forEach(hear);
}

/** Shows an order, where a finished one stood for a while if there is such a place: then nothing else moves. */
function add(order, finished) {
  let place = shown.get(order.order_id);
  if (!place) {
    const free = [...shown.values()].find((place) => place.finished < performance.now() - LINGER);
    if (free) shown.delete(free.order.order_id);
    place = { row: free?.row ?? newRow() };
    shown.set(order.order_id, place);
  } else if (order.seq <= place.order.seq) {
    return;
  }
  place.order = order;
  place.finished = isFinished(order.status) ? finished : undefined;
  show(place);
}

function newRow() {
  const row = {
    link: element("a", { className: "number" }),
    name: element("b", { className: "name" }),
    contents: element("small", { className: "contents" }),
    state: element("span", { className: "state" }),
    pips: element("span"),
    time: element("time"),
    next: element("button", { type: "button", className: "next" }),
    cancel: element("button", { type: "button", className: "cancel", textContent: "Cancel" }),
  };
  row.line = element(
    "li",
    {},
    row.link,
    row.name,
    row.contents,
    element("span", { className: "how" }, row.state, row.pips),
    row.time,
    element("span", { className: "acts" }, row.next, row.cancel),
  );
  row.next.onclick = () => change(row, row.next.dataset.to);
  row.cancel.onclick = () => change(row, "cancelled");
  part("board").append(row.line);
  return row;
}

function show({ order, row }) {
  const { order_id: orderId, status } = order;
  const [to, words] = NEXT[status] ?? ["", ""];
  row.line.dataset.orderId = orderId;
  row.line.dataset.status = status;
  put(row.link, `#${orderId}`);
  row.link.href = order.tracking_url;
  put(row.name, order.customer);
  put(row.contents, bag(order.items));
  row.contents.title = bag(order.items);
  put(row.state, label(status));
  const drawn = pips(order);
  row.pips.replaceWith(drawn);
  row.pips = drawn;
  put(row.time, toSecond(lastHeard(order)));
  row.next.dataset.to = to;
  put(row.next, words);
  row.next.setAttribute("aria-label", `${words}: order ${orderId}`);
  row.next.classList.toggle("gone", !to);
  row.cancel.setAttribute("aria-label", `Cancel order ${orderId}`);
  row.cancel.classList.toggle("gone", !CANCELLABLE.includes(status));
  tally();
}

/** When the order was last heard of. Times of one form sort like text. */
function lastHeard({ history, location }) {
  return [history.at(-1).at, location?.at ?? ""].sort().at(-1);
}

function tally() {
  const orders = [...shown.values()].map((place) => place.order);
  const finished = orders.filter((order) => isFinished(order.status)).length;
  part("board").classList.toggle("empty", !orders.length);
  put(part("tally"), `${orders.length - finished} under way, ${finished} just finished`);
}

/** Asks for a step. The row changes when the event comes, like that of everybody else who looks. */
async function change(row, status) {
  const orderId = row.line.dataset.orderId;
  const buttons = [row.next, row.cancel];
  buttons.forEach((button) => (button.disabled = true));
  try {
    const response = await fetch(`/api/orders/${orderId}/status`, {
      method: "POST",
      headers: { ...headers, "Content-Type": "application/json" },
      body: JSON.stringify({ status }),
    });
    put(part("trouble"), response.ok ? "" : (await response.json()).error);
  } catch {
    put(part("trouble"), "The kitchen cannot be reached. Please try again.");
  }
  buttons.forEach((button) => (button.disabled = false));
}

function report({ at, order_id: orderId, status, note }) {
  const line = element(
    "li",
    {},
    element("time", {}, toSecond(at)),
    element("span", {}, element("b", {}, `#${orderId}`), ` ${label(status)}`),
    element("small", { title: note ?? "" }, note ?? ""),
  );
  const feed = part("feed");
  // Who has scrolled back to read keeps the place.
  const follows = feed.scrollTop + feed.clientHeight >= feed.scrollHeight - 8;
  feed.append(line);
  while (feed.childElementCount > FEED_LENGTH) feed.firstElementChild.remove();
  if (follows) feed.scrollTop = feed.scrollHeight;
}
