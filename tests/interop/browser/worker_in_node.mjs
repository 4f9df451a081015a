/** The engine's use of its worker, with a worker that is told what to do: [loads, loads not, ...] on stdin, outcomes on stdout. */
import { readFileSync } from "node:fs";

const plan = JSON.parse(readFileSync(0, "utf8"));
let made = 0;

globalThis.location = new URL("https://portal.bank.example/");
globalThis.Worker = class extends EventTarget {
  #loads = plan[made++] ?? true;
  constructor() {
    super();
    if (!this.#loads) setTimeout(() => this.dispatchEvent(new Event("error")));
  }
  postMessage({ id }) {
    if (this.#loads && id) setTimeout(() => this.dispatchEvent(Object.assign(new Event("message"), { data: { id, master: new Uint8Array(32) } })));
  }
  terminate() {}
};

const { CoreEngine } = await import("../../../static/portal/src/engine/core.js");
const engine = new CoreEngine({ portal: "x", assets: { "argon-worker.js": { url: "/static/argon-worker-1.js" } }, api: {}, storage: {} });
const outcomes = [];
for (let turn = 0; turn < plan.length; turn += 1) {
  const silence = new Promise((resolve) => setTimeout(resolve, 2000, "nothing"));
  outcomes.push(await Promise.race([engine.context.argon(new Uint8Array(12), new Uint8Array(16), {}).then(() => "done", () => "failed"), silence]));
}
process.stdout.write(JSON.stringify({ outcomes, made }), () => process.exit(0));
