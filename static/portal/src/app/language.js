// The language that the reader chose, kept in a cookie that the portal's pages read. Set by a press on a link alone.

const YEAR = 365 * 24 * 3600;

/** Keeps what is chosen by the links to the other language, also by those that come later. */
export function rememberLanguage() {
  document.addEventListener("click", (event) => {
    const lang = event.target.closest?.("a[hreflang]")?.lang;
    // Lax: the link in an e-mail comes from elsewhere, and its page is to speak the chosen language too.
    if (lang) document.cookie = `letterlock-language=${lang}; Path=/; Max-Age=${YEAR}; SameSite=Lax${location.protocol === "https:" ? "; Secure" : ""}`;
  });
}
