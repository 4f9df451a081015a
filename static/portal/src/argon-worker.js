/**
 * Worker that runs Argon2id, so that the page does not freeze and the memory goes with the worker.
 * Parameters come from the page's script, never from a server: see sealed/stretch.js. sealed-mailbox 4.
 */
import { Argon2 } from "./sealed/argon2.js";

/** Milliseconds until the memory is wiped: not while the answer is still on its way to a reader who waits. */
const WIPE = 2000;
/** @type {Argon2 | undefined} */
let argon;
let wiping = 0;

/** Either {memory}: make room for a run that is about to come; or a run. */
self.addEventListener("message", ({ data: { memory, id, secret, salt, parameters } }) => {
  if (memory) {
    try {
      argon ??= new Argon2();
      argon.prepare(memory);
    } catch {
      // The run will say so.
    }
    return;
  }
  clearTimeout(wiping);
  try {
    argon ??= new Argon2();
    const master = argon.run(secret, salt, parameters);
    self.postMessage({ id, master }, { transfer: [master.buffer] });
  } catch {
    self.postMessage({ id, failed: true });
  } finally {
    secret.fill(0);
    wiping = self.setTimeout(() => argon?.wipe(), WIPE);
  }
});
