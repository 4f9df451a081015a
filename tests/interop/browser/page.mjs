/** Runs functions of suite.mjs in a page, under the portal's own policy, with the real worker. */
import { Argon } from "../../../static/portal/src/engine/argon.js";
import { run } from "./suite.mjs";

const argon = new Argon("/static/argon-worker.js");
globalThis.runSuite = async (name, address) => run(name, address ? await (await fetch(address)).json() : undefined, argon.run);
globalThis.runSuiteWith = async (name, data) => run(name, data, argon.run);
document.querySelector("main").textContent = "ready";
