// One order, followed live.

import { follow } from "./live.js";
import { draw } from "./map.js";
import { WAY, element, label, put, sentence, stepsDone, toMinute } from "./words.js";

const part = (id) => document.getElementById(id);
const orderId = location.pathname.split("/").at(-1);
const token = new URLSearchParams(location.search).get("token") ?? "";
const access = `?token=${encodeURIComponent(token)}`;

let order = null;
const rows = WAY.map((status) => {
  const row = {
    label: element("span", { className: "step", textContent: label(status) }),
    note: element("span", { className: "step-note" }),
    time: element("time"),
  };
  row.line = element("li", { "data-step": status }, row.label, row.time, row.note);
  return row;
});

part("timeline").append(...rows.map((row) => row.line));
const refusal = await follow({
  address: `/api/orders/${orderId}${access}`,
  path: `/ws/order-tracking/${orderId}/${access}`,
  receive,
});
part("order").hidden = true;
part("refused").hidden = false;
part("refusal").textContent = refusal;

/** Takes in what HTTP or the socket says. An event that is older than what is shown changes nothing. */
function receive(message) {
  switch (message.type) {
    case undefined:
      order = message;
      break;
    case "order.snapshot":
      order = message.order;
      break;
    case "order.updated":
      if (message.seq <= order.seq) return;
      order = { ...order, ...message, history: [...order.history, message] };
      break;
    case "order.location":
      if (message.seq <= order.seq) return;
      order = { ...order, seq: message.seq, location: message };
      break;
    default:
      return;
  }
  show();
}

function show() {
  part("order").removeAttribute("aria-busy");
  document.title = `${label(order.status)} · Order ${order.order_id} · Narrows`;
  part("status").dataset.status = order.status;
  put(part("whose"), `Order ${order.order_id} for ${order.customer}`);
  put(part("status"), label(order.status));
  put(part("sentence"), sentence(order.status));
  put(part("note"), order.note ?? "");
  put(part("map-caption"), draw(order));
  showTimeline();
  const items = order.items.map(({ quantity, name }) => element("li", {}, element("b", {}, `${quantity} ×`), ` ${name}`));
  if (part("items").childElementCount !== items.length) part("items").replaceChildren(...items);
}

function showTimeline() {
  const done = stepsDone(order);
  const cancelled = order.status === "cancelled";
  rows.forEach((row, index) => {
    const last = index === done - 1 && !cancelled;
    const end = index === done && cancelled;
    row.line.dataset.state = end ? "cancelled" : last ? "current" : index < done ? "done" : "ahead";
    if (last) row.line.setAttribute("aria-current", "step");
    else row.line.removeAttribute("aria-current");

    const step = end ? order.history.at(-1) : index < done && order.history[index];
    put(row.label, label(end ? "cancelled" : WAY[index]));
    put(row.note, (step && step.note) || "");
    put(row.time, step ? toMinute(step.at) : "");
    row.time.dateTime = step ? step.at : "";
  });
}
