// The drawn map: the way of an order and its courier on it. `town.rs` has the same town in degrees.

const WEST = 11.0;
const EAST = 11.08;
const NORTH = 55.034;
const SOUTH = 55.0;
const WIDTH = 400;
const HEIGHT = 300;
const KILOMETRES = 5.1 / WIDTH;

const part = (id) => document.getElementById(id);

/** Draws the order, and answers what the map shows in words. */
export function draw(order) {
  const way = order.route.points.map(toMap);
  const line = `M${way.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join(" ")}`;
  part("route").setAttribute("d", line);
  part("travelled").setAttribute("d", line);
  move(part("door"), way.at(-1));

  const courier = courierOf(order);
  const { share, left } = courier && isOnMap(courier) ? progressOn(way, courier) : { share: 0 };
  part("travelled").style.strokeDashoffset = order.status === "delivered" ? 0 : 1 - share;
  part("courier").classList.toggle("seen", Boolean(courier));
  if (courier) move(part("courier"), [clamp(courier[0], WIDTH), clamp(courier[1], HEIGHT)]);
  return caption(order, courier, left);
}

/** Where on the map the courier is, while there is one. */
function courierOf({ status, location }) {
  const over = status === "delivered" || status === "cancelled";
  return location && !over ? toMap(location) : null;
}

function caption({ status, route, location }, courier, left) {
  if (status === "delivered") return `Delivered to ${route.address}.`;
  if (status === "cancelled") return "Cancelled. No courier is on the way.";
  if (!courier) return `To ${route.address}. The courier shows here once on the way.`;
  if (isOnMap(courier)) return `${(left * KILOMETRES).toFixed(1)} km to ${route.address}.`;
  return `The courier is off this map, at ${location.lat.toFixed(4)}, ${location.lng.toFixed(4)}.`;
}

function isOnMap([x, y]) {
  return x >= 0 && x <= WIDTH && y >= 0 && y <= HEIGHT;
}

/** How much of the way lies behind its point that is nearest to the spot, and how much is left. */
function progressOn(way, [x, y]) {
  let behind = 0;
  let nearest = { off: Infinity, done: 0 };
  for (let leg = 1; leg < way.length; leg += 1) {
    const [[fromX, fromY], [toX, toY]] = [way[leg - 1], way[leg]];
    const [legX, legY] = [toX - fromX, toY - fromY];
    const length = Math.hypot(legX, legY);
    const along = Math.min(1, Math.max(0, ((x - fromX) * legX + (y - fromY) * legY) / length ** 2));
    const off = Math.hypot(fromX + along * legX - x, fromY + along * legY - y);
    if (off < nearest.off) nearest = { off, done: behind + along * length };
    behind += length;
  }
  return { share: nearest.done / behind, left: behind - nearest.done };
}

function toMap({ lat, lng }) {
  return [((lng - WEST) / (EAST - WEST)) * WIDTH, ((NORTH - lat) / (NORTH - SOUTH)) * HEIGHT];
}

function clamp(value, limit) {
  return Math.min(limit - 8, Math.max(8, value));
}

function move(what, [x, y]) {
  what.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
}
