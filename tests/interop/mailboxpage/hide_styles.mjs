// hideStyles without a browser: a JSON list of mails on stdin, a list of what it makes of them on stdout.
import { readFileSync } from "node:fs";

// What the module reads of the browser when it is loaded.
globalThis.Node = class { get childNodes() { return []; } get nodeType() { return 0; } };
globalThis.Element = class { get localName() { return ""; } get namespaceURI() { return ""; } };
globalThis.Document = class { get body() { return null; } };
const { hideStyles } = await import("../../../static/portal/src/app/allowlist.js");
process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(hideStyles)));
