/** Errors of the engine, beside those of ../sealed/errors.js. Texts are for programmers; pages choose words by `name` and `code`. */
export { InputError, SealedDataError } from "../sealed/errors.js";

/** The portal answered no. */
export class ApiError extends Error {
  /** @param {number} status @param {Record<string, unknown>} body */
  constructor(status, body) {
    const code = typeof body.error === "string" ? body.error : "unknown";
    super(`portal answered ${status} ${code}`);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.reference = typeof body.reference === "string" ? body.reference : "";
    this.body = body;
  }
}

/** The portal did not answer; whether it acted is not known. The same call with the same octets may be made again. */
export class OfflineError extends Error {
  /** @param {unknown} [cause] */
  constructor(cause) {
    super("the portal did not answer", { cause });
    this.name = "OfflineError";
    this.code = "offline";
  }
}

/** The engine will not do it. */
export class RefusedError extends Error {
  /** @param {"cards-behind" | "somebody-else" | "unfinished" | "not-files"} code */
  constructor(code) {
    super(`refused: ${code}`);
    this.name = "RefusedError";
    this.code = code;
  }
}
