/** Runs one walk: `node walk.mjs WALK`, with {url, browser, ...} as JSON on stdin; prints its result as JSON. */
import { readFileSync } from "node:fs";
import { launch } from "./browser.mjs";

const input = JSON.parse(readFileSync(0, "utf8"));
const { run } = await import(`./walk_${process.argv[2]}.mjs`);
const started = await launch(input.browser ?? "chromium");
try {
  const [page] = await started.browser.pages();
  await page.setViewport({ width: 1280, height: 900 });
  const result = await run({ ...started, page, input });
  process.stdout.write(JSON.stringify(result ?? null));
} catch (error) {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
} finally {
  await started.close();
}
