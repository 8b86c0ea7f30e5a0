// What the pages say of an order, and how they put it on the page: always as text, never as markup.

/** The way of an order, in order. */
export const WAY = ["placed", "paid", "preparing", "shipped", "out_for_delivery", "delivered"];

const LABELS = {
  placed: "Placed",
  paid: "Paid",
  preparing: "Preparing",
  shipped: "Shipped",
  out_for_delivery: "Out for delivery",
  delivered: "Delivered",
  cancelled: "Cancelled",
};

/** Short enough for one line of a phone. */
const SENTENCES = {
  placed: "We have your order.",
  paid: "Thank you. Cooking starts soon.",
  preparing: "Your food is being cooked.",
  shipped: "It is packed and with the courier.",
  out_for_delivery: "It is on its way across the strait.",
  delivered: "It has arrived. Enjoy your meal.",
  cancelled: "Nothing will be charged.",
};

export const label = (status) => LABELS[status] ?? status;
export const sentence = (status) => SENTENCES[status] ?? "";
export const isFinished = (status) => status === "delivered" || status === "cancelled";

/** How many steps of the way are done; a cancelled order keeps those that it had. */
export function stepsDone({ status, history }) {
  const last = status === "cancelled" ? history.at(-2)?.status : status;
  return WAY.indexOf(last) + 1;
}

export const bag = (items) => items.map(({ quantity, name }) => `${quantity} × ${name}`).join(", ");

const minutes = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const seconds = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });

export const toMinute = (at) => minutes.format(new Date(at));
export const toSecond = (at) => seconds.format(new Date(at));

/** A new element: its properties, then what is in it. A property with a dash is an attribute. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** Changes a text only when it differs, so that nobody is told the same thing twice. */
export function put(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

/** Six pips that show how far an order is. */
export function pips(order) {
  const row = element("span", { className: "pips", "aria-hidden": "true" });
  row.append(...WAY.map((_, step) => element("i", { className: step < stepsDone(order) ? "done" : "" })));
  return row;
}
