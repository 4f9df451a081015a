"""The fonts of body pages: one fontconfig file of our own, so that output does not depend on the host's settings.

It must include fontconfig's rule for bitmap fonts (else colour emoji are drawn at their native 136 pixels), must name
only families that Debian packages bring, and must never put an emoji family in front of a text family (digits would
become emoji). Families: fonts-noto-core, fonts-noto-cjk, fonts-noto-color-emoji, fonts-liberation,
fonts-crosextra-carlito, fonts-crosextra-caladea, fonts-dejavu-core. Source: fonts.conf(5), docs/pdf.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts")
FONTCONFIG_FOLDERS = ("/etc/fonts", "/usr/share/fontconfig", "/var/cache/fontconfig")

# What mail programs name -> the family with the same widths (or the nearest look) that is free.
METRIC_TWINS = {
    "Arial": "Liberation Sans",
    "Helvetica": "Liberation Sans",
    "Helvetica Neue": "Liberation Sans",
    "Arial Narrow": "Liberation Sans Narrow",
    "Times": "Liberation Serif",
    "Times New Roman": "Liberation Serif",
    "Courier": "Liberation Mono",
    "Courier New": "Liberation Mono",
    "Consolas": "DejaVu Sans Mono",
    "Menlo": "DejaVu Sans Mono",
    "Monaco": "DejaVu Sans Mono",
    "Lucida Console": "DejaVu Sans Mono",
    "Calibri": "Carlito",
    "Aptos": "Carlito",
    "Cambria": "Caladea",
    "Verdana": "DejaVu Sans",
    "Tahoma": "Noto Sans",
    "Segoe UI": "Noto Sans",
    "Trebuchet MS": "Noto Sans",
    "Roboto": "Noto Sans",
    "Open Sans": "Noto Sans",
    "Comic Sans MS": "Noto Sans",
    "Georgia": "Noto Serif",
    "Garamond": "Noto Serif",
    "Book Antiqua": "Noto Serif",
    "Palatino": "Noto Serif",
    "system-ui": "Noto Sans",
    "-apple-system": "Noto Sans",
}

GENERICS = {
    "sans-serif": ("Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "DejaVu Sans"),
    "serif": ("Noto Serif", "Noto Naskh Arabic", "Noto Serif Hebrew", "Liberation Serif"),
    "monospace": ("DejaVu Sans Mono", "Liberation Mono"),
    "emoji": ("Noto Color Emoji",),
}

# Which face of the pan-CJK fonts draws Han characters for a language (Han unification).
HAN_FACES = (("ja", "JP"), ("ko", "KR"), ("zh-tw", "TC"), ("zh-hk", "HK"), ("zh-cn", "SC"), ("zh-sg", "SC"))


# A file of each package: what is missing is drawn with a substitute or, for whole scripts, as empty boxes.
PACKAGES = {
    "fonts-noto-core": "NotoSans-Regular.ttf",
    "fonts-noto-cjk": "NotoSansCJK-Regular.ttc",
    "fonts-noto-color-emoji": "NotoColorEmoji.ttf",
    "fonts-liberation": "LiberationSans-Regular.ttf",
    "fonts-crosextra-carlito": "Carlito-Regular.ttf",
    "fonts-crosextra-caladea": "Caladea-Regular.ttf",
    "fonts-dejavu-core": "DejaVuSans.ttf",
}


def find_missing_packages(folders: Iterable[str] = FONT_FOLDERS) -> tuple[str, ...]:
    """Return the Debian packages of fonts that this host lacks, for a configuration check."""
    present = {path.name for folder in folders for path in Path(folder).rglob("*.tt?")}
    return tuple(package for package, name in PACKAGES.items() if name not in present)


def can_read_fonts(folders: Iterable[str] = FONT_FOLDERS) -> bool:
    """Say whether there is a font and this process can open the first."""
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.[to]t[fc]")):
            try:
                with path.open("rb") as font:
                    return len(font.read(4)) == 4
            except OSError:
                return False
    return False


def make_fonts_conf(cache_folder: str) -> str:
    """Return the text of a fonts.conf. `cache_folder` is written when the system's own cache is not up to date."""
    parts = ['<?xml version="1.0"?>', '<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">', "<fontconfig>"]
    parts += [f"<dir>{folder}</dir>" for folder in FONT_FOLDERS]
    parts += [f"<cachedir>{folder}</cachedir>" for folder in ("/var/cache/fontconfig", cache_folder)]
    parts.append('<include ignore_missing="yes">/etc/fonts/conf.d/10-scale-bitmap-fonts.conf</include>')
    for name, twin in METRIC_TWINS.items():
        parts.append(f'<alias binding="same"><family>{name}</family><prefer><family>{twin}</family></prefer></alias>')
    for tag, face in HAN_FACES:
        parts += [_prefer_han(tag, generic, kind, face) for generic, kind in _HAN_KINDS]
    for generic, families in GENERICS.items():
        preferred = "".join(f"<family>{family}</family>" for family in families)
        parts.append(f'<alias binding="same"><family>{generic}</family><prefer>{preferred}</prefer></alias>')
    parts.append(_LAST_RESORT)
    parts.append("</fontconfig>")
    return "\n".join(parts)


_HAN_KINDS = (("sans-serif", "Sans"), ("serif", "Serif"), ("monospace", "Sans Mono"))

# A family that nobody knows ends as sans-serif; the pan-CJK, symbol and emoji fonts follow for what it cannot draw.
_LAST_RESORT = """<match target="pattern">
<edit name="family" mode="append_last"><string>sans-serif</string></edit>
<edit name="family" mode="append_last"><string>Noto Sans</string></edit>
<edit name="family" mode="append_last"><string>DejaVu Sans</string></edit>
<edit name="family" mode="append_last"><string>Noto Sans CJK SC</string></edit>
<edit name="family" mode="append_last"><string>Noto Sans CJK JP</string></edit>
<edit name="family" mode="append_last"><string>Noto Sans Symbols</string></edit>
<edit name="family" mode="append_last"><string>Noto Sans Symbols2</string></edit>
<edit name="family" mode="append_last"><string>Noto Sans Math</string></edit>
<edit name="family" mode="append_last"><string>Noto Color Emoji</string></edit>
</match>"""


def _prefer_han(tag: str, generic: str, kind: str, face: str) -> str:
    return (
        f'<match target="pattern"><test name="lang" compare="contains"><string>{tag}</string></test>'
        f'<test name="family"><string>{generic}</string></test>'
        f'<edit name="family" mode="append" binding="strong"><string>Noto {kind} CJK {face}</string></edit></match>'
    )
