/** Runs one function of suite.mjs: {name, data} on stdin, its result on stdout. */
import { argon2id } from "hash-wasm";
import { run } from "./suite.mjs";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { name, data } = JSON.parse(Buffer.concat(chunks).toString("utf8"));
const argon = (password, salt, { memory, passes }) =>
  argon2id({ password, salt, parallelism: 1, iterations: passes, memorySize: memory, hashLength: 32, outputType: "binary" });
process.stdout.write(JSON.stringify(await run(name, data, argon)));
