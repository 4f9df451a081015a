/**
 * Sealed mailbox, format LL1: all that the browser seals, opens, signs and verifies (docs: sealed-mailbox).
 * No I/O, no document, no storage. Each format is a module of its own in src/sealed; nothing in them may be
 * "improved" in passing: a change is LL2. Counterpart: relay.core.wire.sealed.
 */
export { dropSeeds, makeCapsule, openCapsule, openWithSeed, readCapsule, readStrippedCapsule, signRekey, verifyRekey } from "./src/sealed/capsule.js";
export { checkCards, checkCardsByPrint, TrustedCards } from "./src/sealed/card.js";
export { countParts, openDown } from "./src/sealed/down.js";
export { concat, Fields, formatTime, fromB64, isId, newId, pae, randomBytes, readJson, toB64, toUtf8, writeJson } from "./src/sealed/encoding.js";
export { InputError, SealedDataError } from "./src/sealed/errors.js";
export { checkOwnPassword, MAX_PASSWORD, MIN_PASSWORD, normaliseLoginName, readCrockford, readSecret } from "./src/sealed/forms.js";
export { readJoinLink, sealJoin } from "./src/sealed/join.js";
export { CHUNK, countChunks, derivePartKey, MAX_SEALED_CHUNK, newMessageKey, PartOpener, PartSealer } from "./src/sealed/parts.js";
export { deriveSeedKeys } from "./src/sealed/seed.js";
export { openSelf, sealSelf } from "./src/sealed/selfsealed.js";
export { KDF_OF_KIND, KDF_PARAMETERS, loginId, stretch } from "./src/sealed/stretch.js";
export { checkSupport } from "./src/sealed/support.js";
export { openTab, sealTab } from "./src/sealed/tab.js";
export { openSent, sealUp } from "./src/sealed/up.js";
