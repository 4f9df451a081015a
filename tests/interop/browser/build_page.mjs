/** Bundles the test pages and the worker into the folder that is given. */
import { build } from "esbuild-wasm";

await build({
  absWorkingDir: new URL("../../..", import.meta.url).pathname,
  entryPoints: ["tests/interop/browser/page.mjs", "tests/interop/browser/engine_page.mjs", "static/portal/src/argon-worker.js"],
  entryNames: "[name]",
  outdir: process.argv[2],
  bundle: true,
  format: "esm",
  target: ["chrome133", "firefox130"],
  logLevel: "warning",
});
