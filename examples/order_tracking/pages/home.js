// The kitchen's counter: the order form, and the demo orders on their way.

import { bag, element, label, pips } from "./words.js";

const MENU = [
  ["Harbour chowder", "Haddock, leek, smoked butter"],
  ["Saffron mussels", "Fennel, white wine"],
  ["Mushroom pie", "Chestnut, thyme, short crust"],
  ["Rye bread", "Baked this morning"],
];
const MOST = 9;
const REFRESH = 5_000;

const form = document.querySelector("#place-form");
const trouble = document.querySelector("#trouble");
const demo = document.querySelector("#demo");

document.querySelector("#menu").append(...MENU.map(([name, about], index) => dish(name, about, index === 0 ? 1 : 0)));
form.addEventListener("submit", place);

// A list that may be some seconds old needs no socket.
refresh();
setInterval(() => document.hidden || refresh(), REFRESH);

async function place(event) {
  event.preventDefault();
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  trouble.textContent = "";
  try {
    location.href = await send();
  } catch (error) {
    trouble.textContent = error.message;
    button.disabled = false;
  }
}

/** Places the order and answers where to follow it. */
async function send() {
  const customer = form.elements.customer.value.trim();
  if (!customer) {
    form.elements.customer.focus();
    throw new Error("Please tell us your name.");
  }
  const counters = [...form.querySelectorAll("[data-dish]")];
  const items = counters
    .map((counter) => ({ name: counter.dataset.dish, quantity: counter.valueAsNumber || 0 }))
    .filter(({ quantity }) => quantity > 0);
  if (!items.length) throw new Error("Please choose at least one dish.");

  const response = await fetch("/api/orders", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ customer, items }),
  }).catch(() => {
    throw new Error("The kitchen cannot be reached. Please try again.");
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer.tracking_url;
}

function dish(name, about, quantity) {
  const counter = element("input", {
    type: "number",
    min: 0,
    max: MOST,
    value: quantity,
    inputMode: "numeric",
    "data-dish": name,
    "aria-label": `How many ${name}`,
  });
  const step = (sign, by, words) =>
    element("button", {
      type: "button",
      textContent: sign,
      "aria-label": `${words} ${name}`,
      onclick: () => (counter.value = Math.min(MOST, Math.max(0, (counter.valueAsNumber || 0) + by))),
    });
  return element(
    "li",
    {},
    element("span", { className: "dish" }, element("b", {}, name), element("small", {}, about)),
    element("span", { className: "stepper" }, step("−", -1, "One less"), counter, step("+", 1, "One more")),
  );
}

async function refresh() {
  try {
    const orders = await (await fetch("/api/demo")).json();
    demo.removeAttribute("aria-busy");
    show(orders);
  } catch {
    // The next refresh tries again; what is shown stays.
  }
}

/** Changes the rows that are there instead of making them anew: a link keeps its focus. */
function show(orders) {
  if (!orders.length) {
    demo.replaceChildren(element("li", { className: "empty" }, "No demo orders are under way. Place one yourself."));
    return;
  }
  const links = orders.map((order) => {
    const link = demo.querySelector(`[data-order-id="${order.order_id}"]`) ?? element("a", { "data-order-id": order.order_id });
    link.href = order.tracking_url;
    link.dataset.status = order.status;
    link.replaceChildren(
      element("b", {}, `${order.order_id} · ${order.customer}`),
      element("span", { className: "state" }, label(order.status)),
      element("small", {}, bag(order.items)),
      pips(order),
    );
    return link;
  });
  const rows = links.map((link) => link.parentElement ?? element("li", {}, link));
  if (rows.length !== demo.childElementCount || rows.some((row, index) => demo.children[index] !== row)) {
    demo.replaceChildren(...rows);
  }
}
