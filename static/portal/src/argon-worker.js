/**
 * Worker that runs Argon2id (RFC 9106), so that the page does not freeze and the memory goes with the worker.
 * Parameters come from the page's script, never from a server: see sealed/stretch.js. sealed-mailbox 4.
 */
import { argon2id } from "hash-wasm";

self.addEventListener("message", async ({ data: { id, secret, salt, parameters } }) => {
  try {
    const master = await argon2id({
      password: secret,
      salt,
      parallelism: 1,
      iterations: parameters.passes,
      memorySize: parameters.memory,
      hashLength: 32,
      outputType: "binary",
    });
    self.postMessage({ id, master }, { transfer: [master.buffer] });
  } catch {
    self.postMessage({ id, failed: true });
  } finally {
    secret.fill(0);
  }
});
