/**
 * Bundles static/portal/src into static/portal/dist: one file an entry, nothing shared, so that each script tag's
 * integrity covers all that it runs. Names carry the content's hash; manifest.json names file and integrity (W3C SRI).
 * The same sources give the same octets. Nothing is fetched; esbuild runs as WebAssembly, so no native program is needed.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

const ROOT = path.resolve(import.meta.dirname, "..");
const PORTAL = path.join(ROOT, "static/portal");
const DIST = path.join(PORTAL, "dist");
const STAMP = path.join(DIST, ".stamp");
const ENTRIES = {
  "entry.js": "src/pages/entry.js",
  "reply.js": "src/pages/reply.js",
  "join.js": "src/pages/join.js",
  "frame.js": "src/app/frame.js",
  "argon-worker.js": "src/argon-worker.js",
  "portal.css": "portal.css",
};
async function listSources() {
  const found = await readdir(PORTAL, { recursive: true, withFileTypes: true });
  const files = found.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  return files.filter((file) => /\.(js|css|svg|json)$/.test(file) && !file.startsWith(DIST)).sort();
}

async function makeStamp() {
  const hash = createHash("sha256");
  const files = [import.meta.filename, path.join(ROOT, "package-lock.json"), ...(await listSources())];
  for (const file of files) hash.update(path.relative(ROOT, file)).update("\0").update(await readFile(file)).update("\0");
  return hash.digest("hex");
}

async function isFresh(stamp) {
  return existsSync(STAMP) && (await readFile(STAMP, "utf8")) === stamp;
}

async function bundle(entries) {
  const { build } = await import("esbuild-wasm");
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: entries.map(([name, source]) => ({ in: path.join(PORTAL, source), out: path.parse(name).name })),
    outdir: DIST,
    bundle: true,
    write: false,
    minify: true,
    format: "esm",
    target: ["chrome133", "firefox130", "safari17"],
    charset: "utf8",
    legalComments: "none",
    external: ["/static/*"],
    metafile: true,
    logLevel: "silent",
  });
  const files = result.outputFiles.map(({ path: file, contents }) => ({ name: path.basename(file), contents: Buffer.from(contents) }));
  return { files, licences: await collectLicences(Object.keys(result.metafile.inputs)) };
}

/** What the licences of the packages inside ask for: their text beside the copies. */
async function collectLicences(inputs) {
  const names = new Set(inputs.map((input) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1]).filter(Boolean));
  const texts = [];
  for (const name of [...names].sort()) {
    const folder = path.join(ROOT, "node_modules", name);
    const { version, license } = JSON.parse(await readFile(path.join(folder, "package.json"), "utf8"));
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    if (!file) throw new Error(`${name} comes without the text of its licence`);
    texts.push(`${name} ${version} (${license})\n\n${await readFile(path.join(folder, file), "utf8")}`);
  }
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}

function hashName(name, contents) {
  const { name: stem, ext } = path.parse(name);
  return `${stem}-${createHash("sha256").update(contents).digest("hex").slice(0, 16)}${ext}`;
}

/** Into a folder of its own, then in place: whoever reads meanwhile sees the old or the new whole. */
async function write(files, licences, stamp) {
  const fresh = path.join(ROOT, `node_modules/.bundle-${process.pid}`);
  const old = `${fresh}-old`;
  await mkdir(fresh, { recursive: true });
  const manifest = {};
  for (const { name, contents } of files) {
    const file = hashName(name, contents);
    manifest[name] = { file, integrity: `sha384-${createHash("sha384").update(contents).digest("base64")}` };
    await writeFile(path.join(fresh, file), contents);
    // Made once, and smaller than a web server makes them: the portal gives them to browsers that take them.
    await writeFile(path.join(fresh, `${file}.br`), brotliCompressSync(contents));
    await writeFile(path.join(fresh, `${file}.gz`), gzipSync(contents, { level: 9 }));
  }
  await writeFile(path.join(fresh, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  await writeFile(path.join(fresh, "LICENSES.txt"), licences);
  await writeFile(path.join(fresh, ".stamp"), stamp);
  for (let tried = 1; ; tried += 1) {
    await rename(DIST, old).catch(() => {});
    try {
      await rename(fresh, DIST);
      break;
    } catch (error) {
      // Another bundler was quicker: its folder goes, and the last one stays.
      if (tried >= 5) throw error;
    } finally {
      await rm(old, { recursive: true, force: true });
    }
  }
}

function measure(files) {
  return Object.fromEntries(files.map(({ name, contents }) => [name, gzipSync(contents, { level: 9 }).length]));
}

const stamp = await makeStamp();
if (await isFresh(stamp)) process.exit(0);
if (process.argv.includes("--check")) process.exit(1);
const entries = Object.entries(ENTRIES);
const missing = entries.filter(([, source]) => !existsSync(path.join(PORTAL, source)));
for (const [name, source] of missing) console.error(`${name} has no source: static/portal/${source} is missing`);
if (missing.length) process.exit(1);
const { files, licences } = await bundle(entries).catch((error) => {
  for (const { location, text } of error.errors ?? [{ text: error.message }]) {
    console.error(`${location ? `${location.file}:${location.line}: ` : ""}${text}`);
  }
  process.exit(1);
});
await write(files, licences, stamp);
if (process.argv.includes("--sizes")) console.log(JSON.stringify(measure(files)));
