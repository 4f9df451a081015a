"""Whatever is sent to either API: an answer of the agreed shape, never a fault, and nothing changed by nonsense."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.core.ids import new_id
from relay.core.wire.pae import encode_b64
from tests.contract.portal.site import Browser, Site, make_settings
from tests.contract.store.databases import SteppedClock

KNOWN_ID = "AAAAAAAAAAAAAAAAAAAAAA"
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from([KNOWN_ID, encode_b64(bytes(32)), encode_b64(bytes(64)), "2027-01-04T08:00:00Z", "", 2**53, -1]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
WEB = {
    "login": {"login_id": encode_b64(bytes(32)), "kdf": 1, "auth": encode_b64(bytes(32))},
    "login token": {"token": KNOWN_ID, "kdf": 2, "auth": encode_b64(bytes(32))},
    "rekey": {"capsule": "AAAA", "sig": encode_b64(bytes(64)), "auth": encode_b64(bytes(32))},
    "forgot": {"login_id": encode_b64(bytes(32))},
    "join": {"id": KNOWN_ID, "card": 1, "sealed": "AAAA"},
    "send": {"id": KNOWN_ID, "gen": 1, "card": 1, "sealed": "AAAA", "self": None, "parts": [], "kind": "reply"},
    "sessions/end": {"id": KNOWN_ID},
}
LINK = {
    f"PUT boxes/{KNOWN_ID}": {
        "login_id": encode_b64(bytes(32)),
        "base": None,
        "capsule": "AAAA",
        "state": "first",
        "first_expires": None,
        "must_change": False,
        "lang": "de",
    },
    f"POST boxes/{KNOWN_ID}/end": {"end": "freeze"},
    f"PUT boxes/{KNOWN_ID}/messages/{KNOWN_ID}": {"no": 1, "gen": 1, "card": 1, "sealed": "AAAA", "parts": []},
    "PUT cards/1": {"card": "AAAA", "sigs": []},
    f"PUT tokens/{encode_b64(bytes(32))}": {"box": KNOWN_ID, "id": KNOWN_ID, "expires": None},
    f"PUT joins/{encode_b64(bytes(32))}": {"expires": None},
    "POST outbox/ack": {"acks": [{"box": None, "id": KNOWN_ID, "result": "taken"}]},
    "POST outbox/reoffer": {"since": "2027-01-04T08:00:00Z"},
    "POST reports/ack": {"seq": 1},
    "PUT mark": {"mark": 1, "time": "2027-01-04T08:00:00Z", "reconciled": True},
}
QUICKLY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Browser]]:
    site = Site(make_settings(tmp_path_factory.mktemp("fuzz") / "portal", "sqlite"), SteppedClock())
    site.mark(1)
    yield site, site.signed_in(site.make_box())
    for node in site.nodes:
        node.close()


@st.composite
def changed(draw: st.DrawFn, known: dict[str, Any]) -> Any:
    """A body with some of its values replaced or left out, or something else altogether."""
    if draw(st.integers(0, 9)) == 0:
        return draw(VALUES)
    body = dict(known)
    for name in draw(st.sets(st.sampled_from(sorted(known)), max_size=3)):
        if draw(st.booleans()):
            body[name] = draw(VALUES)
        else:
            del body[name]
    return body


def is_error(answer: Any) -> bool:
    found = answer.get_json()
    return answer.status_code < 500 and set(found) >= {"error", "reference"} and isinstance(found["error"], str)


@given(data=st.data(), name=st.sampled_from(sorted(WEB)))
@QUICKLY
def test_no_body_makes_the_public_side_stumble(place: tuple[Site, Browser], data: st.DataObject, name: str) -> None:
    site, browser = place
    # Nobody waits for the throttle here, and the reader stays signed in.
    browser.address = f"10.{os.urandom(1)[0]}.{os.urandom(1)[0]}.{os.urandom(1)[0]}"
    body = data.draw(changed(WEB[name]))
    answer = browser.call("POST", f"/api/{name.partition(' ')[0]}", body)
    assert answer.status_code < 400 or is_error(answer)
    assert browser.get("/api/session").status_code == 200
    assert site.first.portal.store.main.dialect == "sqlite"


@given(data=st.data(), name=st.sampled_from(sorted(LINK)))
@QUICKLY
def test_no_body_makes_the_link_stumble(place: tuple[Site, Browser], data: st.DataObject, name: str) -> None:
    site, _ = place
    method, _, path = name.partition(" ")
    answer = site.first.link(method, path, data.draw(changed(LINK[name])))
    assert answer.status_code < 400 or is_error(answer)


@given(octets=st.binary(max_size=200))
@QUICKLY
def test_what_is_no_json_is_refused(place: tuple[Site, Browser], octets: bytes) -> None:
    _, browser = place
    answer = browser.client.post(
        "/api/send", data=octets, headers={"X-Letterlock": "1", "Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 401, 413)
    assert is_error(answer)


@given(path=st.text(max_size=40), method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"]))
@QUICKLY
def test_no_path_makes_it_stumble(place: tuple[Site, Browser], path: str, method: str) -> None:
    _, browser = place
    for start in ("/", "/api/", "/api/drafts/", f"/api/blobs/{new_id()}/", "/static/", "/r/", "/join/"):
        assert browser.call(method, start + path.lstrip("/?#")).status_code < 500


@given(name=st.sampled_from(["before", "limit"]), text=st.text(max_size=20))
@QUICKLY
def test_no_query_makes_it_stumble(place: tuple[Site, Browser], name: str, text: str) -> None:
    _, browser = place
    answer = browser.client.get("/api/messages", query_string={name: text}, base_url="https://portal.bank.example")
    assert answer.status_code in (200, 400)


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '{"gen":1.0}', '{"gen":NaN}', "[1]", '"text"', "{" * 3000, "\ud800"])
def test_json_has_one_spelling(place: tuple[Site, Browser], text: str) -> None:
    _, browser = place
    answer = browser.client.post(
        "/api/send",
        data=text.encode("utf-8", "surrogatepass"),
        headers={"X-Letterlock": "1", "Content-Type": "application/json"},
        base_url="https://portal.bank.example",
    )
    assert (answer.status_code, answer.get_json()["error"]) == (400, "bad-request")
