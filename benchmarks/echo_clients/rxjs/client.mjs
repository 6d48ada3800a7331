// RxJS: what the subscriber of `webSocket(…)` answers goes into it, over `ws`. As rxecho_channel.py and meter.py.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { webSocket } from "rxjs/webSocket";
import WebSocket from "ws";

const WARM_UP = 0.25;
const STEP = 0.02;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    size: { type: "string" },
    binary: { type: "boolean" },
    "in-flight": { type: "string" },
    ca: { type: "string" },
    seconds: { type: "string", default: "1" },
  },
});
const size = Number(values.size);
const seconds = Number(values.seconds);
const pattern = values.binary ? Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)) : "0123456789abcdef";
const payload = Buffer.alloc(size, pattern);
const message = values.binary ? payload : payload.toString();
const ca = values.ca && readFileSync(values.ca);

class Socket extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { perMessageDeflate: false, ca });
  }
}

const now = () => performance.now() / 1000;
const cpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

let step = 1;
let left = 1;
let count = 0;
let isWarm = false;
let began = now();
let cpuBegan = cpu();
let report;

function received(echo) {
  if (echo.length !== size) throw new Error(`an echo of ${echo.length} came, and not of ${size}`);
  left -= 1;
  return left > 0 || look(echo);
}

function look(echo) {
  if (report) return false;
  if (!payload.equals(Buffer.from(echo))) throw new Error("an echo is not what was sent");
  const took = now() - began;
  const used = cpu() - cpuBegan;
  count += step - left;
  step = left = Math.max(1, Math.min(2 * step, Math.floor((count / took) * STEP)));
  if (isWarm && took >= seconds) {
    report = { messages: count, seconds: took, cpu: used };
    left = 0;
    return false;
  }
  if (!isWarm && took >= WARM_UP) {
    isWarm = true;
    count = 0;
    began = now();
    cpuBegan = cpu();
  }
  return true;
}

const subject = webSocket({
  url: positionals[0],
  WebSocketCtor: Socket,
  serializer: (value) => value,
  deserializer: ({ data }) => data,
  openObserver: {
    next: () => {
      for (let sent = 0; sent < Number(values["in-flight"]); sent += 1) subject.next(message);
    },
  },
});
subject.subscribe({
  next: (echo) => {
    if (received(echo)) {
      subject.next(message);
    } else {
      console.log(JSON.stringify(report));
      process.exit();
    }
  },
  error: (event) => {
    console.error(event.message ?? event);
    process.exit(1);
  },
});
