"""Taking dots off undoes delivery's stuffing, however the octets are cut."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from relay.delivery.stuffing import stuff_blocks
from relay.demo.catcher import DotReader

PIECES = st.lists(st.sampled_from([b".", b"..", b"a", b"\r\n", b".\r\n", b"\r\n.\r\n", b"x" * 5000]), max_size=40).map(
    b"".join
)


@given(PIECES, st.lists(st.integers(1, 30), max_size=60))
def test_undoes_stuffing(content, cuts):
    stream = io.BytesIO(content)
    wire = b"".join(stuff_blocks(stream, len(content), stream.read(7))) + b"QUIT\r\n"
    reader, offset, found = DotReader(), 0, b""
    for cut in [*cuts, len(wire)]:
        if reader.is_complete:
            break
        found += reader.feed(wire[offset : offset + cut])
        offset += cut
    whole = content if not content or content.endswith(b"\r\n") else content + b"\r\n"
    assert reader.is_complete
    assert found == whole
    assert (reader.rest + wire[offset:]) == b"QUIT\r\n"
