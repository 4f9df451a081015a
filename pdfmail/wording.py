"""Shipped wording of cover, attachment table and last page, German and English.

A brand may replace titles and texts. Numbers, dates and sizes are written as the language does. No text from a mail is
ever put into a sentence here but through a plain replacement.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from .model import Brand, BrandTexts


@dataclass(frozen=True, slots=True)
class Wording:
    """All fixed texts of one language. `{organisation}` and `{host}` are filled in."""

    language: str
    document_title: str
    badge: str
    cover_title: str
    cover_text: str
    subject: str
    sender: str
    to: str
    cc: str
    date: str
    no_subject: str
    see_next_page: str
    more_recipients: str
    attachments: str
    column_name: str
    column_type: str
    column_size: str
    attachments_note_reply: str
    attachments_note: str
    password_title: str
    password_text: str
    privacy_title: str
    privacy_text: str
    page: str
    last_title: str
    last_text: str
    last_text_code: str
    last_title_plain: str
    last_text_plain: str
    button: str
    button_trouble: str
    check_host: str
    code_label: str
    code_text: str
    qr_alt: str
    qr_caption: str
    help_title: str
    help_text: str
    help_original: str
    logo_alt: str
    months: tuple[str, ...]
    notice_title: str
    notice_text: str
    truncated_text: str
    replaced_text: str
    no_text: str
    footer: str = ""


_ENGLISH = Wording(
    language="en",
    document_title="Encrypted message",
    badge="Encrypted message",
    cover_title="A confidential message for you",
    cover_text=(
        "{organisation} sends you this message, and whatever is attached to it, as an encrypted PDF. It stays "
        "protected wherever you keep this file, and it opens only with your password."
    ),
    subject="Subject",
    sender="From",
    to="To",
    cc="Copy",
    date="Date",
    no_subject="(no subject)",
    see_next_page="(see the next page)",
    more_recipients="and {count} more",
    attachments="Attachments",
    column_name="Name",
    column_type="Type",
    column_size="Size",
    attachments_note_reply=(
        "The files are inside this PDF: many readers list them under a paper clip. Some, such as the viewers of Chrome "
        "and Edge and of most phones, show no attachments. The reply page on the last page hands out the same files."
    ),
    attachments_note=(
        "The files are inside this PDF: many readers list them under a paper clip. Some, such as the viewers of Chrome "
        "and Edge and of most phones, show no attachments; then open this file in another reader on a computer."
    ),
    password_title="Your password",  # noqa: S106 - a heading
    password_text=(  # noqa: S106 - a sentence
        "Keep the password safe and pass it on to nobody. Further messages from this sender may use it too. If you "
        "have lost it, ask the sender by telephone, not by e-mail."
    ),
    privacy_title="Your privacy",
    privacy_text=(
        "This message is meant for its recipients alone. If it reached you by mistake, please tell the sender and "
        "delete the file. Nobody is told when you open it."
    ),
    page="Page {page} of {pages}",
    last_title="Reply confidentially",
    last_text=(
        "An ordinary e-mail is not protected on its way. Please use the reply page: open it with the button, type the "
        "password of this PDF, write your answer and add files. It reaches the sender encrypted."
    ),
    last_text_code=(
        "An ordinary e-mail is not protected on its way. Please use the reply page: open it with the button, type the "
        "reply code, write your answer and add files. It reaches the sender encrypted."
    ),
    last_title_plain="About this message",
    last_text_plain=(
        "An ordinary e-mail is not protected on its way. If your answer is confidential, please agree with the sender "
        "on a protected way first, for instance by telephone."
    ),
    button="Reply securely",
    button_trouble=(
        "If the button does nothing (Firefox, for one, switches off links in protected files), type this address into "
        "your browser or scan the code:"
    ),
    check_host="Before you type the password, make sure that the address begins with {host}",
    code_label="Reply code",
    code_text="The reply page asks for this code instead of your password.",
    qr_alt="QR code with the address of the reply page: {url}",
    qr_caption="Scan to reply",
    help_title="Good to know",
    help_text=(
        "Saving: keep this file as it is, it stays encrypted. To keep a copy without password, print it or save the "
        "attachments one by one."
    ),
    help_original=("The complete text of the message is also attached as message.eml for mail programs."),
    logo_alt="Logo of {organisation}",
    months=(
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ),
    notice_title="The text is in the attached original",
    notice_text=(
        "This message is written in a form that cannot be shown as pages. Nothing is missing: the complete message is "
        "attached to this PDF as message.eml. Open it with your mail program. If your reader shows no attachments, "
        "open this file in another one."
    ),
    truncated_text="The text is longer than can be shown here. The complete message is attached as message.eml.",
    replaced_text=(
        "Some characters of this message cannot be shown here and appear as boxes. The complete message is attached as "
        "message.eml."
    ),
    no_text="This message has no text.",
)

_GERMAN = Wording(
    language="de",
    document_title="Verschlüsselte Nachricht",
    badge="Verschlüsselte Nachricht",
    cover_title="Eine vertrauliche Nachricht für Sie",
    cover_text=(
        "{organisation} sendet Ihnen diese Nachricht mit allem, was dazugehört, als verschlüsseltes PDF. Sie bleibt "
        "geschützt, wo immer Sie die Datei aufbewahren, und öffnet sich nur mit Ihrem Passwort."
    ),
    subject="Betreff",
    sender="Von",
    to="An",
    cc="Kopie",
    date="Datum",
    no_subject="(ohne Betreff)",
    see_next_page="(siehe nächste Seite)",
    more_recipients="und {count} weitere",
    attachments="Anlagen",
    column_name="Name",
    column_type="Art",
    column_size="Größe",
    attachments_note_reply=(
        "Die Dateien stecken in diesem PDF: Viele Programme zeigen sie unter einer Büroklammer. Einige, etwa die "
        "Anzeigen von Chrome, Edge und den meisten Telefonen, zeigen keine Anlagen. Die Antwortseite (siehe letzte "
        "Seite) hält dieselben Dateien bereit."
    ),
    attachments_note=(
        "Die Dateien stecken in diesem PDF: Viele Programme zeigen sie unter einer Büroklammer. Einige, etwa die "
        "Anzeigen von Chrome, Edge und den meisten Telefonen, zeigen keine Anlagen; öffnen Sie die Datei dann am "
        "Computer mit einem anderen Programm."
    ),
    password_title="Ihr Passwort",  # noqa: S106 - a heading
    password_text=(  # noqa: S106 - a sentence
        "Bewahren Sie das Passwort gut auf und geben Sie es nicht weiter. Es kann auch für weitere Nachrichten dieses "
        "Absenders gelten. Haben Sie es verloren, fragen Sie ihn am Telefon, nicht per E-Mail."
    ),
    privacy_title="Ihre Privatsphäre",
    privacy_text=(
        "Diese Nachricht ist nur für ihre Empfänger bestimmt. Hat sie Sie irrtümlich erreicht, sagen Sie es bitte dem "
        "Absender und löschen Sie die Datei. Niemand erfährt, wann Sie sie öffnen."
    ),
    page="Seite {page} von {pages}",
    last_title="Vertraulich antworten",
    last_text=(
        "Eine gewöhnliche E-Mail ist unterwegs nicht geschützt. Nutzen Sie bitte die Antwortseite: mit der "
        "Schaltfläche öffnen, das Passwort dieses PDF eingeben, schreiben, Dateien anfügen. Ihre Antwort kommt "
        "verschlüsselt an."
    ),
    last_text_code=(
        "Eine gewöhnliche E-Mail ist unterwegs nicht geschützt. Nutzen Sie bitte die Antwortseite: mit der "
        "Schaltfläche öffnen, den Antwortcode eingeben, schreiben, Dateien anfügen. Ihre Antwort kommt verschlüsselt "
        "an."
    ),
    last_title_plain="Zu dieser Nachricht",
    last_text_plain=(
        "Eine gewöhnliche E-Mail ist unterwegs nicht geschützt. Ist Ihre Antwort vertraulich, vereinbaren Sie mit dem "
        "Absender bitte zuerst einen geschützten Weg, zum Beispiel am Telefon."
    ),
    button="Sicher antworten",
    button_trouble=(
        "Reagiert die Schaltfläche nicht (Firefox etwa schaltet Links in geschützten Dateien ab), geben Sie diese "
        "Adresse in Ihren Browser ein oder scannen Sie den Code:"
    ),
    check_host="Prüfen Sie vor der Eingabe des Passworts, ob die Adresse so beginnt: {host}",
    code_label="Antwortcode",
    code_text="Die Antwortseite fragt nach diesem Code statt nach Ihrem Passwort.",
    qr_alt="QR-Code mit der Adresse der Antwortseite: {url}",
    qr_caption="Scannen und antworten",
    help_title="Gut zu wissen",
    help_text=(
        "Aufbewahren: Speichern Sie die Datei, wie sie ist; sie bleibt verschlüsselt. Für eine Kopie ohne Passwort "
        "drucken Sie sie oder speichern Sie die Anlagen einzeln."
    ),
    help_original=("Der vollständige Text der Nachricht liegt für Mailprogramme auch als message.eml bei."),
    logo_alt="Logo von {organisation}",
    months=(
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ),
    notice_title="Der Text liegt als Original bei",
    notice_text=(
        "Diese Nachricht hat eine Form, die sich nicht als Seiten zeigen lässt. Es fehlt nichts: Die vollständige "
        "Nachricht liegt diesem PDF als message.eml bei. Öffnen Sie sie mit Ihrem Mailprogramm. Zeigt Ihr Programm "
        "keine Anlagen, öffnen Sie diese Datei mit einem anderen."
    ),
    truncated_text=(
        "Der Text ist länger, als hier gezeigt werden kann. Die vollständige Nachricht liegt als message.eml bei."
    ),
    replaced_text=(
        "Einige Zeichen dieser Nachricht lassen sich hier nicht zeigen und erscheinen als Kästchen. Die vollständige "
        "Nachricht liegt als message.eml bei."
    ),
    no_text="Diese Nachricht hat keinen Text.",
)

_TYPES = {
    "pdf": ("PDF document", "PDF-Dokument"),
    "doc docx odt rtf pages": ("Text document", "Textdokument"),
    "xls xlsx ods csv numbers": ("Spreadsheet", "Tabelle"),
    "ppt pptx odp key": ("Presentation", "Präsentation"),
    "png jpg jpeg gif bmp tif tiff webp heic svg": ("Picture", "Bild"),
    "mp3 wav ogg m4a flac": ("Sound", "Ton"),
    "mp4 mov avi mkv webm": ("Video", "Video"),
    "zip 7z rar gz tar": ("Archive", "Archiv"),
    "txt md log": ("Text", "Text"),
    "htm html xml json": ("Web or data file", "Web- oder Datendatei"),
    "eml msg": ("E-mail", "E-Mail"),
    "ics": ("Calendar entry", "Termin"),
    "vcf": ("Contact", "Kontakt"),
}
_BY_SUFFIX = {suffix: names for suffixes, names in _TYPES.items() for suffix in suffixes.split()}
_BY_FAMILY = {"image": "png", "audio": "mp3", "video": "mp4", "text": "txt", "message": "eml"}


def choose_wording(brand: Brand, language: str) -> Wording:
    """Return the texts of a brand in "de", else in English; placeholders for the organisation are filled."""
    base = _GERMAN if language.lower().startswith("de") else _ENGLISH
    own = brand.texts.get(base.language, BrandTexts())
    values: dict[str, object] = {name: getattr(base, name) for name in Wording.__slots__}
    values["footer"] = own.footer
    for name in ("cover_title", "cover_text"):
        values[name] = getattr(own, name) or values[name]
    if own.last_title:
        values["last_title"] = values["last_title_plain"] = own.last_title
    if own.last_text:
        values["last_text"] = values["last_text_code"] = values["last_text_plain"] = own.last_text
    for name, value in values.items():
        if isinstance(value, str):
            # replace, not format: a brace in a brand's text or name is just a brace
            values[name] = value.replace("{organisation}", brand.organisation)
    return Wording(**values)  # type: ignore[arg-type]


def format_date(wording: Wording, moment: datetime) -> str:
    """Write date, time and offset, e.g. `20 November 2026, 09:25 (UTC+01:00)`."""
    offset = moment.utcoffset() or timedelta()
    minutes = int(offset.total_seconds() // 60)
    sign = "+" if minutes >= 0 else "\u2212"
    zone = "UTC" if minutes == 0 else f"UTC{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    dot = "." if wording.language == "de" else ""
    month = wording.months[moment.month - 1]
    return f"{moment.day}{dot} {month} {moment.year}, {moment:%H:%M} ({zone})"


def format_size(wording: Wording, octets: int) -> str:
    """Write a size in decimal units, e.g. `1.4 MB` or `1,4 MB`."""
    if octets < 1000:
        return f"{octets} B"
    value, unit = octets / 1000, "kB"
    for larger in ("MB", "GB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    text = f"{value:.0f}" if value >= 99.5 or unit == "kB" else f"{value:.1f}"
    return f"{text.replace('.', ',') if wording.language == 'de' else text} {unit}"


def name_type(wording: Wording, file_name: str, media_type: str) -> str:
    """Name the kind of a file in words, by its suffix, else by its media type."""
    suffix = file_name.rpartition(".")[2].lower()
    names = _BY_SUFFIX.get(suffix) or _BY_SUFFIX.get(media_type.rpartition("/")[2].lower())
    if names is None:
        family = _BY_FAMILY.get(media_type.partition("/")[0].lower(), "")
        names = _BY_SUFFIX.get(family, ("File", "Datei"))
    return names[1 if wording.language == "de" else 0]
