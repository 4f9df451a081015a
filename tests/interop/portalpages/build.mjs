// Bundles the pages' scripts for a test with fake_engine.js in the engine's place. Usage: node build.mjs OUTPUT_FOLDER
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { build } from "esbuild-wasm";

const ROOT = path.resolve(import.meta.dirname, "../../..");
const PORTAL = path.join(ROOT, "static/portal");
const out = process.argv[2];

const result = await build({
  absWorkingDir: ROOT,
  entryPoints: ["entry", "reply", "join"].map((name) => ({ in: path.join(PORTAL, `src/pages/${name}.js`), out: name })),
  outdir: out,
  bundle: true,
  write: false,
  format: "esm",
  charset: "utf8",
  logLevel: "warning",
  plugins: [
    {
      name: "fake-engine",
      setup(on) {
        on.onResolve({ filter: /engine\/(entry_|reply_|join_)?engine\.js$/ }, () => ({ path: path.join(import.meta.dirname, "fake_engine.js") }));
        on.onResolve({ filter: /app\/mailbox\.js$/ }, () => ({ path: path.join(import.meta.dirname, "fake_mailbox.js") }));
      },
    },
  ],
});
const files = result.outputFiles.map(({ path: file, contents }) => [path.basename(file), Buffer.from(contents)]);
files.push(["portal.css", await readFile(path.join(PORTAL, "portal.css"))]);
for (const name of ["frame.js", "argon-worker.js"]) files.push([name, Buffer.from("export {};\n")]);
await mkdir(out, { recursive: true });
const manifest = {};
for (const [name, contents] of files) {
  await writeFile(path.join(out, name), contents);
  manifest[name] = { file: name, integrity: `sha384-${createHash("sha384").update(contents).digest("base64")}` };
}
await writeFile(path.join(out, "manifest.json"), JSON.stringify(manifest));
