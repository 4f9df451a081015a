// Rates what comes in as a JSON list on stdin: [strength 0-4, rule for PDFs or ""] each.
import { readFileSync } from "node:fs";
import { checkPdfPassword } from "../../../static/portal/src/pages/password.js";
import { rateStrength } from "../../../static/portal/src/pages/strength.js";

const passwords = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(passwords.map((one) => [rateStrength(one), checkPdfPassword(one)])));
