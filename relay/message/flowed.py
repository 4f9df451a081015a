"""format=flowed text back to paragraphs (RFC 3676 4). Changes nothing else."""

from __future__ import annotations


def unfold_flowed(text: str, *, del_sp: bool = False) -> str:
    """Return the text (LF line ends) with soft line breaks joined, quote marks kept as `> `.

    `del_sp` is the DelSp parameter: the blank before a soft break goes too.
    """
    out: list[str] = []
    paragraph: list[str] = []
    depth = -1
    for raw in text.split("\n"):
        stripped = raw.lstrip(">")
        quotes = len(raw) - len(stripped)
        line = stripped.removeprefix(" ")  # RFC 3676 4.4: space-stuffing
        if paragraph and quotes != depth:
            # RFC 3676 4.5: a soft break before another depth is a mistake, the paragraph ends.
            out.append(_join(depth, paragraph))
            paragraph = []
        depth = quotes
        # RFC 3676 4.3: the signature separator is never flowed.
        if line.endswith(" ") and line != "-- ":
            paragraph.append(line[:-1] if del_sp else line)
        else:
            paragraph.append(line)
            out.append(_join(depth, paragraph))
            paragraph = []
    if paragraph:
        out.append(_join(depth, paragraph))
    return "\n".join(out)


def _join(depth: int, paragraph: list[str]) -> str:
    text = "".join(paragraph)
    return f"{'>' * depth} {text}" if depth else text
