// Node's `ws` as the client of an echo: node echo.cjs URL SEED COUNT. Prints the extensions in use and what was wrong, as JSON.
const WebSocket = require("ws");
const { exchange } = require("../exchange.js");

const [url, seed, count] = process.argv.slice(2);
exchange(WebSocket, url, Number(seed), Number(count), (found) => console.log(JSON.stringify(found)));
