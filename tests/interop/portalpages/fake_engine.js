// Stands in for static/portal/src/engine/engine.js where a test looks at the pages alone: no cryptography, no network.
// What happens is chosen by what is typed: see PLAYS.

class Fault extends Error {
  constructor(name, fields) {
    super(name);
    Object.assign(this, { name, ...fields });
  }
}

const PLAYS = {
  "wrong-password-1": () => new Fault("ApiError", { status: 401, code: "wrong", body: { tries_left: 4 } }),
  "wrong-password-2": () => new Fault("ApiError", { status: 401, code: "wrong", body: { tries_left: 1 } }),
  "locked-password-1": () => new Fault("ApiError", { status: 423, code: "locked", body: {} }),
  "waiting-password-1": () => new Fault("ApiError", { status: 429, code: "wait", body: { seconds: 240 } }),
  "offline-password-1": () => new Fault("OfflineError", {}),
  "broken-password-1": () => new Fault("ApiError", { status: 500, code: "fault", reference: "ABCD-1234", body: {} }),
  "unverified-password-1": () => new Fault("SealedDataError", { code: "signature" }),
  "signed-out": () => new Fault("ApiError", { status: 401, code: "signed-out", body: {} }),
  "changed-password-1": () => new Fault("ApiError", { status: 409, code: "changed", body: {} }),
};

const pause = (ms) => new Promise((go) => setTimeout(go, ms));

function play(text) {
  const fault = PLAYS[text];
  if (fault) throw fault();
}

/** Whether the session is over by now, for what its name says; a new password begins another. */
let away = "";

class Ticket {
  from = { name: "Maria Keller", addr: "maria@bank.example" };
  to = [{ name: "Anna Berger", addr: "anna@partner.example", inside: false }];
  cc = location.search.includes("everyone")
    ? [{ name: "Jens Otto", addr: "otto@bank.example", inside: true }, { name: "Bernd Lind", addr: "b.lind@nord.example", inside: false }]
    : [];
  copy = !location.search.includes("no-copy");
  subject = "Loan contract for signature";
  org = "Example Bank";
  time = "2026-11-20T09:42:00Z";
  files = true;
  limits = { message: 50 * 2 ** 20, parts: 100 };
  quote = "Dear Ms Berger,\n\nplease find attached the contract and the annex. If you agree, sign page 7 and send it back.\n\nKind regards\nMaria Keller";
  parts = [
    { i: 0, role: "text", name: "", type: "text/plain", size: 10 },
    { i: 1, role: "file", name: "Contract.pdf", type: "application/pdf", size: 412000 },
    { i: 2, role: "file", name: "Annex A with a rather long name that has to wrap somewhere on a phone.xlsx", type: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", size: 88000 },
  ];
  attachments = [];
  async download(i, { onProgress } = {}) {
    if (away === "download") play("signed-out");
    const { size } = this.parts[i];
    onProgress?.(size, size);
    return new Blob([new Uint8Array(size)]);
  }
  async attach(file, { signal, onProgress } = {}) {
    if (away === "attach") play("signed-out");
    const stored = { i: this.attachments.length + 1, name: file.name, size: file.size, state: "sending" };
    this.attachments.push(stored);
    return this.#store(stored, file.name.startsWith("fail"), signal, onProgress);
  }
  async retry(i, { signal, onProgress } = {}) {
    return this.#store(this.attachments.find((one) => one.i === i), false, signal, onProgress);
  }
  async #store(stored, fails, signal, onProgress) {
    for (let step = 1; step <= 4; step += 1) {
      await pause(stored.name.startsWith("slow") ? 400 : 20);
      if (signal?.aborted) throw new DOMException("stopped", "AbortError");
      onProgress?.((stored.size * step) / 4, stored.size);
      if (fails && step === 2) {
        stored.state = "failed";
        throw new Fault("OfflineError", {});
      }
    }
    stored.state = "done";
    return stored;
  }
  detach(i) {
    this.attachments = this.attachments.filter((one) => one.i !== i);
  }
  async send(typed) {
    await pause(50);
    play(typed.text);
    globalThis.sentReply = { ...typed, files: this.attachments.map((one) => one.name) };
    return { id: "AAAAAAAAAAAAAAAAAAAAAA" };
  }
}

class Invitation {
  org = "Example Bank";
  async chooseMailbox(typed) {
    await pause(50);
    play(typed.password);
    globalThis.joined = { want: "mailbox", ...typed };
  }
  async choosePdf(typed) {
    await pause(50);
    play(typed.password);
    globalThis.joined = { want: "pdf", ...typed };
  }
}

export function createEngine() {
  const asked = new URLSearchParams(location.search);
  return {
    checkSupport: async () => !asked.has("old"),
    prepareWorker: () => {},
    resume: async () => null,
    async signIn({ loginName, password, code }) {
      await pause(asked.has("slow") ? 60000 : 50);
      play(password);
      globalThis.signedIn = { loginName, password, code };
      const isOwn = ["an own good password", "ein gutes eigenes Passwort"].includes(password);
      return { mustChange: !isOwn, firstPassword: true, state: "first", lang: password.startsWith("ein ") ? "de" : "" };
    },
    async changePassword(session, { newPassword }) {
      await pause(50);
      play(newPassword);
      globalThis.changedTo = newPassword;
      return { ...session, mustChange: false };
    },
    async forgot() {
      await pause(20);
    },
    async openReply({ secret }) {
      await pause(50);
      play(secret);
      away = away ? "" : (asked.get("away") ?? "");
      return new Ticket();
    },
    async openJoin({ fragment }) {
      if (!/^#[\w-]{22}\.[\w-]{22}$/.test(fragment)) throw new Fault("InputError", { code: "link" });
      return new Invitation();
    },
  };
}
