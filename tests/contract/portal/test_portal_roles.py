"""PostgreSQL: what the role of the web process is refused. What it needs, all other contract tests do under it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from portal.context import open_portal
from portal.settings import load_settings
from portal.store.engine import AccessError
from portal.store.grants import _WEB, find_schema
from portal.store.models import KEYS_METADATA, METADATA
from portal.store.schema import SchemaError
from tests.contract.portal.site import Site, make_settings
from tests.contract.store.databases import SteppedClock

pytestmark = pytest.mark.postgres

REFUSED = {
    "reads an answer": "SELECT sealed FROM outbox",
    "reads answers with everything else": "SELECT * FROM outbox",
    "finds an answer's row key": "SELECT row_key FROM outbox",
    "gets an answer back as it is written": "INSERT INTO outbox (box, seq, kind, id, gen, card, row_key, sealed, "
    "parts, digest, state, at) VALUES ('b', 1, 'item', 'i', 1, 1, 'k', 's', '[]', 'd', 'waiting', 0) RETURNING sealed",
    "takes an answer away": "DELETE FROM outbox",
    "says that an answer was taken": "UPDATE outbox SET state = 'taken'",
    "writes a message": "INSERT INTO message (box, id, no, gen, card, row_key, sealed, parts, digest, stored) "
    "VALUES ('b', 'm', 1, 1, 1, 'k', 's', '[]', 'd', 0)",
    "changes a message": "UPDATE message SET sealed = 's'",
    "writes a chunk of a message": "INSERT INTO chunk (box, side, id, i, n, size, sha256, stored, data) "
    "VALUES ('b', 'down', 'm', 0, 0, 1, 'd', 0, 'x')",
    "changes a chunk": "UPDATE chunk SET data = 'x'",
    "makes a box": "INSERT INTO box (id, kind, state, gen, lang, created) "
    "VALUES ('x', 'mailbox', 'active', 1, 'de', 0)",
    "takes over a login": "UPDATE box SET login_id = 'x'",
    "thaws a box": "UPDATE box SET frozen = 0",
    "deletes a box": "DELETE FROM box",
    "adds a card": "INSERT INTO card (serial, card, sigs, digest) VALUES (9, 'c', '[]', 'd')",
    "adds a link": "INSERT INTO token (hash, box, ticket, digest) VALUES ('h', 'b', 't', 'd')",
    "opens a portal that waits for the relay": "UPDATE mark SET waiting = 0",
    "says that the relay was here": "UPDATE mark SET number = 9",
    "registers twice": "UPDATE registration SET used = 0",
    "deletes what it reported": "DELETE FROM report",
    "forgets wrong tries": "DELETE FROM throttle",
    "looks at what is pulled": "SELECT * FROM lease",
    "makes a table": "CREATE TABLE mine (x int)",
    "empties a table": "TRUNCATE chunk",
    "lifts the rules": "ALTER TABLE chunk DISABLE ROW LEVEL SECURITY",
    "calls itself another": "SET SESSION AUTHORIZATION portal_link",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(make_settings(tmp_path_factory.mktemp("roles") / "portal", "postgresql"), SteppedClock())
    assert made.mark(1).status_code == 204
    box = made.make_box()
    made.push_message(box, 1, {(0, 0): b"chunk"})
    assert made.signed_in(box).send(box).status_code == 201
    made.first.link("PUT", "joins/" + "A" * 43, {"expires": None})
    yield made
    for node in made.nodes:
        node.close()


@pytest.mark.parametrize("what", REFUSED)
def test_web_is_refused(site: Site, what: str) -> None:
    node = site.first
    assert node.web_portal is not node.portal
    with pytest.raises(AccessError), node.web_portal.store.main.write() as connection:
        connection.execute(text(REFUSED[what]))


def test_web_reads_what_it_must_and_row_keys(site: Site) -> None:
    store = site.first.web_portal.store
    with store.main.read() as connection:
        assert connection.execute(text("SELECT sealed FROM message")).scalar() is not None
        assert connection.execute(text("SELECT self_sealed FROM outbox")).scalar() is not None
        assert connection.execute(text("SELECT data FROM chunk WHERE side = 'down'")).scalar() is not None
    with pytest.raises(AccessError), store.keys.write() as connection:
        connection.execute(text("UPDATE row_key SET key = 'k'"))


def test_every_table_is_named_so_that_a_new_one_is_thought_of() -> None:
    assert set(_WEB) == {*METADATA.tables, *KEYS_METADATA.tables}
    assert find_schema("postgresql://a@b/c") == "public"
    assert find_schema('postgresql://a@b/c?options=-c%20search_path%3D"row_keys",x') == "row_keys"


def test_before_the_grants_and_after_an_upgrade_web_says_what_to_do(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "portal", "postgresql", is_bare=True)
    web = load_settings(settings.path, "web")
    with pytest.raises(SchemaError, match="grants --apply"):
        open_portal(web)
    owner = open_portal(settings)
    with pytest.raises(SchemaError, match="grants --apply"):
        open_portal(web)
    from portal.cli import main

    for _ in range(2):
        # Again is the same.
        assert main(["--config", str(settings.path), "grants", "--apply"]) == 0
    open_portal(web).close()
    with owner.store.main.write() as connection:
        connection.execute(text("ALTER TABLE report DROP COLUMN gen"))
        connection.execute(text("UPDATE revision SET number = 1"))
    with pytest.raises(SchemaError, match="older version"):
        open_portal(web)
    owner.close()
    open_portal(settings).close()
    open_portal(web).close()
