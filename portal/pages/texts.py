"""The words that scripts show, by page and name, in English; the catalogues hold the other languages.

Placeholders are `{name}`; `NAME.one` stands for one of it. No mark-up: scripts set them as text. Words that the server
itself writes stand in the templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SHELL: Mapping[str, str] = MappingProxyType(
    {
        "password.show": "Show",
        "password.hide": "Hide",
        "password.show.label": "Show the password",
        "password.hide.label": "Hide the password",
        "browser.old": "Your browser cannot open this page",
        "browser.old.why": "It lacks something that is needed to unlock messages on your device. "
        "Nothing is wrong with your password or your message.",
        "browser.old.do": "Please update your browser, or use a current Chrome, Edge, Firefox or Safari. "
        "If you came here from inside another app, open the link in your browser instead.",
        "browser.old.call": "If that is not possible, call {organisation}: {phone}. "
        "They can send your message in another way.",
        "error.offline": "There is no connection right now.",
        "error.offline.do": "Nothing is lost. Check your network and try again.",
        "error.unknown": "That did not work.",
        "error.unknown.do": "Nothing is lost. Try again in a minute. If it stays, call {organisation}: {phone}.",
        "error.reference": "Reference {reference}.",
        "error.unverified": "This message could not be verified.",
        "error.unverified.do": "Please call {organisation}: {phone}.",
        "wait.seconds": "Please wait {n} seconds, then try again.",
        "wait.seconds.one": "Please wait a second, then try again.",
        "wait.minutes": "Please wait {n} minutes, then try again.",
        "wait.minutes.one": "Please wait a minute, then try again.",
        "error.many": "Too many tries.",
        "input.password.empty": "Please type your password.",
        "input.code": "This code does not look right. It has 12 letters and digits and stands in the e-mail.",
        "unlock.working": "Unlocking on your device",
    }
)

PASSWORD: Mapping[str, str] = MappingProxyType(
    {
        "password.short": "Too short: {n} characters to go.",
        "password.short.one": "Too short: one character to go.",
        "password.fair": "Strength: enough. A few more characters make it better.",
        "password.good": "Strength: good.",
        "password.best": "Strength: very good.",
        "password.weak": "Strength: weak. Use several words that do not belong together.",
        "password.long": "That is too long. Use at most 128 characters.",
        "password.common": "Many people use this password. Please choose another one.",
        "password.login-name": "Please do not use your e-mail address as the password.",
        "password.first-form": "This looks like a password from a phone call. Add one more character.",
        "password.same": "This is the password you have now. Please choose a new one.",
        "password.differ": "The two passwords are not the same.",
        "password.fits": "Both passwords are the same.",
        "password.ascii": "Please use letters without accents, digits, spaces and signs: "
        "not every PDF reader takes others.",
        "password.pdf-long": "That is too long. Use at most 32 characters.",
        "password.edge": "Please do not begin or end with a space.",
    }
)

ENTRY: Mapping[str, str] = MappingProxyType(
    {
        "title.password": "Choose your own password",
        "input.name": "Please type your whole e-mail address, like anna@partner.example.",
        "wrong": "The e-mail address or the password is not right.",
        "wrong.do": "Check both. Capital letters count, unless it is the password from the phone call. "
        "A password from a phone call works for 7 days and only until you have chosen your own.",
        "locked": "This mailbox takes no more passwords.",
        "locked.do": "Please call {organisation}: {phone}.",
        "forgot.sent": "Thank you. If there is a mailbox for this address, the person who wrote to you now knows "
        "that you need a new password.",
        "forgot.next": "They will call you and tell you a new first password. We never send one by e-mail.",
        "changed": "The password was changed elsewhere in the meantime. Please sign in again.",
        "change.asked": "{organisation} asks everybody to choose a new password. The old one stops working.",
        "saving": "Making your new keys on your device",
        "opening": "Opening your mailbox",
        "simple": "Let our server open my mail for this visit",
        "counts": "Your new password counts. Please sign in with it.",
        "signed-out": "You are signed out. Please sign in again. "
        "A browser holds one mailbox or one reply open at a time.",
        "closed": "Your mailbox is being closed. Within a few minutes everything in it is deleted.",
    }
)

REPLY: Mapping[str, str] = MappingProxyType(
    {
        "title": "Reply to {name}",
        "title.done": "Your reply is on its way",
        "intro": "{name} from {organisation} wrote to you on {date}.",
        "wrong": "That password does not match.",
        "wrong.do": "Check it against the one that opened your PDF, or ask the person who wrote to you.",
        "tries": "{n} tries left.",
        "tries.one": "One try left.",
        "locked": "This page is locked",
        "secret.form.b32": "This does not look like the password of a PDF. "
        "It has 16 letters and digits, like dghz-4eb6-7gnc-xxd6.",
        "secret.form.digits": "This does not look like the password of a PDF. It has 24 digits.",
        "secret.form.words": "This does not look like the password of a PDF. It has 6 words.",
        "to": "To",
        "sender": "{name}, {organisation}",
        "all": "Everyone at {organisation}: {names}",
        "file": "File",
        "file.remove": "Remove",
        "file.remove.label": "Remove {name}",
        "file.retry": "Try again",
        "file.retry.label": "Try again with {name}",
        "file.save": "Save",
        "file.save.label": "Save {name}",
        "file.waiting": "waiting",
        "file.sending": "{done} of {size}",
        "file.done": "{size}, ready to send",
        "file.failed": "not stored yet",
        "file.saving": "{done} of {size}",
        "file.saved": "{size}, saved",
        "file.save.failed": "could not be saved",
        "file.too-large": "{name} is too large. All files together may have {limit}.",
        "file.too-many": "You can send up to {n} files with one reply.",
        "file.empty": "{name} is empty and was not added.",
        "file.quota": "There is no room for this file at the moment. Send your reply without it, or try again later.",
        "file.added": "{name} was added.",
        "file.removed": "{name} was removed.",
        "text.empty": "Please write something, or add a file.",
        "files.busy": "Some files are still being stored. Your reply leaves when they are.",
        "sending": "Sending your reply",
        "send.failed": "Your reply has not left yet.",
        "send.failed.do": "Your text is still here. Check your network and try again.",
        "away": "You were away for a while, or something else was opened in this browser.",
        "away.do": "Please type the password again. Your text and your files are still here.",
        "send.closed": "This page was closed in the meantime, so your reply could not be sent.",
        "send.cards": "The organisation's keys have changed and this page has not got them yet. "
        "Please try again in an hour.",
        "done.files": "With {n} files: {names}.",
        "done.files.one": "With one file: {names}.",
        "done.when": "{name} gets it within a few minutes.",
        "done.copy": "As a rule you also get a copy as an encrypted PDF, with the same password.",
        "done.copy.no": "You get no copy of this reply. Keep your own, if you need one.",
        "done.time": "Sent on {date}.",
        "leave": "Your reply has not been sent.",
    }
)

JOIN: Mapping[str, str] = MappingProxyType(
    {
        "link.broken": "This link is not complete",
        "link.broken.do": "Open it from the e-mail once more. If you copied it, make sure that the last characters "
        "are there.",
        "link.untrusted": "This page could not be verified",
        "link.untrusted.do": "It does not fit the link in your e-mail, so nothing was sent. "
        "Please call {organisation}: {phone}.",
        "done.mailbox": "Your mailbox is being made",
        "done.mailbox.next": "Within a few minutes you will get an e-mail that says that your message is here. "
        "Then sign in with your e-mail address and the password you have just chosen.",
        "done.pdf": "Your password is set",
        "done.pdf.next": "Within a few minutes you will get your message as a PDF that opens with the password you "
        "have just chosen.",
        "done.note": "Keep the password. We cannot read it.",
        "gone": "This link was used already",
        "gone.do": "If it was not you, please call {organisation}: {phone}.",
        "saving": "Making your keys on your device",
        "input.name": "Please type your whole e-mail address, like anna@partner.example.",
    }
)
