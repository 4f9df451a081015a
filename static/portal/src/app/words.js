// Texts, times and sizes in the reader's language and time zone. Knows no text itself: they stand in the page's data.

/**
 * @param {string} lang - de or en
 * @param {Object<string, string>} texts - by name; {n} and other names in braces are filled; NAME.one for one of it
 * @param {() => Date} [now]
 */
export function makeWords(lang, texts, now = () => new Date()) {
  const locale = lang === "en" ? "en-GB" : lang;
  const plural = new Intl.PluralRules(locale);
  const form = (options) => new Intl.DateTimeFormat(locale, options);
  const clock = form({ hour: "2-digit", minute: "2-digit" });
  const date = form({ day: "numeric", month: "long", year: "numeric" });
  const thisYear = form({ day: "numeric", month: "short" });
  const otherYear = form({ day: "numeric", month: "short", year: "numeric" });
  const day = (at) => new Date(at.getFullYear(), at.getMonth(), at.getDate());

  const words = {
    lang,
    now,
    /** @param {string} name @param {Object<string, string|number>} [values] @returns {string} */
    t(name, values = {}) {
      const one = "n" in values && plural.select(values.n) === "one" && texts[`${name}.one`];
      return (one || texts[name] || name).replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
    },
    clock: (time) => clock.format(new Date(time)),
    date: (time) => date.format(new Date(time)),
    full: (time) => `${words.date(time)}, ${words.clock(time)}`,
    /** Short: the time today, "Yesterday", else the day. */
    short(time) {
      const at = new Date(time);
      const days = Math.round((day(now()) - day(at)) / 864e5);
      if (days === 0) return clock.format(at);
      if (days === 1) return words.t("yesterday");
      return (at.getFullYear() === now().getFullYear() ? thisYear : otherYear).format(at);
    },
    /** Whole days until a time, rounded down; negative when it has passed. */
    daysUntil: (time) => Math.floor((new Date(time) - now()) / 864e5),
    /** @param {number} bytes @returns {string} "412 kB" */
    size(bytes) {
      const unit = bytes < 999.5 ? 0 : bytes < 999500 ? 1 : bytes < 999.5e6 ? 2 : 3;
      return new Intl.NumberFormat(locale, {
        style: "unit",
        unit: ["byte", "kilobyte", "megabyte", "gigabyte"][unit],
        unitDisplay: unit ? "short" : "long",
        maximumFractionDigits: unit > 1 ? 1 : 0,
      }).format(bytes / 1000 ** unit);
    },
    /** A kind of file in a word: "PDF", "Excel". */
    fileKind(name, type) {
      const end = /\.(\w{1,5})$/.exec(name)?.[1].toLowerCase();
      const known = { xls: "Excel", xlsx: "Excel", doc: "Word", docx: "Word", ppt: "PowerPoint", pptx: "PowerPoint" };
      if (end) return known[end] ?? end.toUpperCase();
      return type.startsWith("image/") ? type.slice(6).toUpperCase() : words.t("file");
    },
  };
  return words;
}

const GERMAN = /\b(und|der|die|das|nicht|wir|Sie|ist|mit|für|Ihre?n?|den|auf)\b/g;
const ENGLISH = /\b(and|the|of|to|you|we|is|with|for|your|are|on|this)\b/gi;

/** The language of a mail that does not name one, for those who have it read aloud; "" if it cannot be told. */
export function guessLanguage(text) {
  const sample = text.slice(0, 2000);
  const german = (sample.match(GERMAN) || []).length + (/[äöüß]/i.test(sample) ? 1 : 0);
  const english = (sample.match(ENGLISH) || []).length;
  return german > english ? "de" : english > german ? "en" : "";
}
