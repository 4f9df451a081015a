// Whom an answer to all reaches: the relay passes nothing on to the outside.

/** @typedef {{name: string, addr: string, inside?: boolean | null}} Person */

/** @param {Person} person */
export const nameOf = (person) => person.name || person.addr;

const domainOf = (/** @type {Person} */ person) => person.addr.split("@").at(-1)?.toLowerCase();

/**
 * The others of a message: whom an answer to all reaches, and who stays out of it.
 * @param {{from: Person, to: Person[], cc: Person[]}} message @param {string} own address of the reader, "" if it is not known
 * @returns {{reached: Person[], left: Person[], isCertain: boolean}} not certain in older messages, which do not say who is inside: then those
 *   of the sender's own domain are, and of the rest the page does not know
 */
export function findOthers({ from, to, cc }, own) {
  const others = [...to, ...cc].filter(({ addr }) => ![own, from.addr.toLowerCase()].includes(addr.toLowerCase()));
  const isReached = (/** @type {Person} */ person) => person.inside ?? domainOf(person) === domainOf(from);
  return { reached: others.filter(isReached), left: others.filter((one) => !isReached(one)), isCertain: others.every(({ inside }) => typeof inside === "boolean") };
}
