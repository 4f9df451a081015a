/** The engine in a page, with the real worker, session storage and cookies: see remote_engine.mjs. */
import { Api } from "../../../static/portal/src/engine/api.js";
import { makeFaultyFetch, makeRemote } from "./remote_engine.mjs";

const portal = document.querySelector("main").dataset.portal;
const net = makeFaultyFetch(fetch.bind(globalThis));
const assets = { "argon-worker.js": { url: "/static/argon-worker.js" } };
globalThis.engineCall = makeRemote({ portal, api: new Api({ fetch: net.fetch }), storage: sessionStorage, assets, net });
document.querySelector("main").textContent = "ready";
