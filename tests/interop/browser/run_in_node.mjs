/** Runs one function of suite.mjs: {name, data} on stdin, its result on stdout. */
import { Argon2 } from "../../../static/portal/src/sealed/argon2.js";
import { run } from "./suite.mjs";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { name, data } = JSON.parse(Buffer.concat(chunks).toString("utf8"));
const argon = async (secret, salt, parameters) => new Argon2().run(secret, salt, parameters);
process.stdout.write(JSON.stringify(await run(name, data, argon)));
