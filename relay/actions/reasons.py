"""What a sender reads of a decision, in his language: why a mail is held or refused, which wish was not granted.

Decisions are stored, logged and traced in English; an operator's own words stand as he wrote them. Whatever has no
translation here is shown in English, never left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.core.decision import OLD_CIPHER, Decision, Reason

_GERMAN: Mapping[str, str] = {
    OLD_CIPHER: "Für alte Leseprogramme wird AES-128 verwendet; AES-256 ist stärker.",
    "Clear text was asked for, but the mail is confidential.": (
        "Gewünscht war Klartext, aber die Nachricht ist vertraulich."
    ),
    "Clear text was asked for together with a protected method.": (
        "Gewünscht war Klartext und zugleich ein geschützter Weg."
    ),
    "Clear text was asked for, but a rule protects this mail.": (
        "Gewünscht war Klartext, aber eine Regel schützt diese Nachricht."
    ),
    "Clear text was asked for, but this sender may not send in the clear.": (
        "Gewünscht war Klartext, aber diese Absenderadresse darf nicht im Klartext senden."
    ),
    "Clear text was asked for, but not allowed to this recipient.": (
        "Gewünscht war Klartext, aber an diese Adresse ist das nicht erlaubt."
    ),
    "A new password was asked for, but every message has its own.": (
        "Gewünscht war ein neues Passwort, aber jede Nachricht hat ohnehin ihr eigenes."
    ),
    "There is no portal with mailboxes.": "Es gibt kein Portal mit Postfächern.",
    "This sender is not among those who may write to the outside.": (
        "Diese Absenderadresse darf nicht nach außen schreiben."
    ),
    "The mail is confidential; it cannot be released in the clear.": (
        "Die Nachricht ist vertraulich; sie kann nicht im Klartext freigegeben werden."
    ),
    "The message is in a loop: it has passed through too many mail servers.": (
        "Die Nachricht läuft im Kreis: Sie ist durch zu viele Mailserver gegangen."
    ),
    "A login may write only from its own addresses; the From or Sender field names another one.": (
        "Mit dieser Anmeldung darf nur von den eigenen Adressen geschrieben werden; das Feld From oder Sender nennt"
        " eine andere."
    ),
    "A PDF needs a sender of ours who can be told its password.": (
        "Eine PDF-Datei braucht eine Absenderadresse des Hauses, der das Passwort mitgeteilt werden kann."
    ),
}
_GERMAN_BY_REASON: Mapping[Reason, str] = {
    Reason.RULE: "Eine Regel sieht das so vor.",
    Reason.HEADER: "Ein Steuerfeld der Nachricht ist nicht zu verstehen.",
    Reason.NOT_YET_POSSIBLE: "Der verlangte Schutz ist für diese Adresse noch nicht möglich.",
    Reason.TOO_LARGE: "Die geschützte Nachricht ist größer, als auf der anderen Seite angenommen wird.",
    Reason.SYSTEM: "Das Gateway konnte über die Nachricht nicht entscheiden.",
    Reason.LOOP: "Die Nachricht läuft im Kreis.",
    Reason.SENDER: "Es ist keine Absenderadresse des Hauses bekannt, der ein Passwort mitgeteilt werden kann.",
    Reason.SPECIAL_MAIL: "Für diese Art von Nachricht ist das so eingestellt.",
    Reason.FOREIGN_SENDER: "Für Nachrichten fremder Absender ist das so eingestellt.",
}
_OURS = frozenset({Reason.NOT_YET_POSSIBLE, Reason.TOO_LARGE, Reason.HEADER})
"""With these the text of a decision is the gateway's, never an operator's."""


def say_warning(warning: str, language: str) -> str:
    """Return a decision's warning in the language."""
    return _GERMAN.get(warning, warning) if language == "de" else warning


def say_reason(decision: Decision, language: str) -> str:
    """Return why a copy is held or refused, in the language."""
    english = decision.text or decision.explanation
    if language != "de":
        return english
    known = _GERMAN.get(decision.text)
    if known is not None:
        return known
    if decision.text and decision.reason not in _OURS:
        return decision.text
    return _GERMAN_BY_REASON.get(decision.reason, english)
