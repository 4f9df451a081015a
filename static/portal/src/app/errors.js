// What went wrong, in words for the reader: what happened, what is safe, what to do next.

const CODES = {
  quota: "error-quota",
  "too-large": "error-too-large",
  "too-many": "error-too-many",
  generation: "error-generation",
  changed: "error-generation",
  counts: "counts",
  wait: "wait.seconds",
  wrong: "error-wrong-password",
  "cards-behind": "error-cards-behind",
  unfinished: "files-unfinished",
  "somebody-else": "somebody-else",
  long: "password.long",
  common: "password.common",
  "login-name": "password.login-name",
  "first-form": "password.first-form",
  same: "password.same",
  empty: "error-empty",
};

/** @returns {boolean} true when only a new sign-in helps */
export const isSignedOut = (error) => error?.code === "signed-out";

/** @param {Error & {code?: string, reference?: string, body?: Object}} error @param {Object} words @returns {string} */
export function explainError(error, words) {
  if (error?.name === "OfflineError") return `${words.t("error.offline")} ${words.t("error.offline.do")}`;
  if (error?.name === "SealedDataError") return `${words.t("error.unverified")} ${words.t("error.unverified.do")}`;
  const known = CODES[error?.code];
  const text = known ? words.t(known, { n: error.body?.seconds ?? 0 }) : `${words.t("error.unknown")} ${words.t("error.unknown.do")}`;
  return error?.reference ? `${text} ${words.t("error.reference", { reference: error.reference })}` : text;
}
