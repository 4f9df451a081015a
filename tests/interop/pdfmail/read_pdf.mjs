// Prints what pdf.js sees in a PDF as JSON: node read_pdf.mjs PDFJS_DIRECTORY FILE PASSWORD
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [directory, file, password] = process.argv.slice(2);
// Only drawing needs these; Node has them not, and nothing is drawn here.
globalThis.DOMMatrix ??= class {};
globalThis.Path2D ??= class {};
globalThis.ImageData ??= class {};
const pdfjs = await import(pathToFileURL(path.join(directory, 'legacy/build/pdf.mjs')));
const data = () => new Uint8Array(fs.readFileSync(file));

async function refusal(attempt) {
  try {
    await pdfjs.getDocument({ data: data(), password: attempt, verbosity: 0 }).promise;
    return 'opened';
  } catch (error) {
    return error.name;
  }
}

const result = { refused: [await refusal(undefined), await refusal('wrong-password-1')], pages: [], files: {} };
const pdf = await pdfjs.getDocument({ data: data(), password, verbosity: 0 }).promise;
result.title = (await pdf.getMetadata()).info.Title;
result.mode = await pdf.getPageMode();
for (const item of Object.values((await pdf.getAttachments()) ?? {})) {
  result.files[item.filename] = Buffer.from(item.content).toString('base64');
}
const tags = (node) => [node.role ?? node.type, ...(node.children ?? []).flatMap(tags)];
for (let number = 1; number <= pdf.numPages; number += 1) {
  const page = await pdf.getPage(number);
  result.pages.push({
    text: (await page.getTextContent()).items.map((item) => item.str).join(' '),
    links: (await page.getAnnotations()).map((item) => item.url),
    tags: tags(await page.getStructTree()),
  });
}
console.log(JSON.stringify(result));
