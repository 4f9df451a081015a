"""`verify` for a mail server inside that no system trusts: by a route's own trust file, on a real TLS server."""

from __future__ import annotations

import ssl
from pathlib import Path

from relay.cli.certificate import write_self_signed
from relay.core.clock import SystemClock
from relay.core.documents.routes import RoutesDocument
from relay.delivery.connections import ConnectionCache
from relay.delivery.deliver import DeliveryRun
from relay.delivery.errors import Why
from relay.delivery.outcome import Deferred, Delivered
from relay.delivery.route import MailerTable
from relay.delivery.smtp import SessionOpener
from tests.integration.delivery.conftest import SHORT, make_parcel
from tests.integration.delivery.fault_server import FaultServer

CA = "mail-ca.pem"


def test_a_self_signed_server_is_verified_by_its_own_certificate(tmp_path: Path) -> None:
    """As `letterlock init` makes one; reached by address, known by another name."""
    chain, key = write_self_signed(tmp_path / "server", "mail.bank.example", SystemClock())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    with FaultServer(context=context) as server:
        line = {"pattern": "*", "hop": "inside", "host": "127.0.0.1", "port": server.port, "tls": "verify"}
        document = RoutesDocument.from_json({"routes": [line | {"tls_name": "mail.bank.example", "ca": CA}]})
        table = MailerTable(document, find_ca=lambda name: tmp_path / name)
        # Equal hops share connections, and each look at the trust file needs a new one.
        opener = SessionOpener("gate.bank.example", SHORT)

        def deliver() -> Delivered | Deferred:
            cache = ConnectionCache(opener)
            try:
                outcome = DeliveryRun(lambda: table, cache).deliver(make_parcel())["copy0"]
            finally:
                cache.close_all()
            assert isinstance(outcome, Delivered | Deferred)
            return outcome

        missing = deliver()
        assert isinstance(missing, Deferred)
        assert (missing.why, "trust file" in missing.text) == (Why.TLS, True)
        other, _ = write_self_signed(tmp_path / "other", "mail.bank.example", SystemClock())
        (tmp_path / CA).write_bytes(other.read_bytes())
        wrong = deliver()
        assert isinstance(wrong, Deferred)
        assert "certificate" in wrong.text
        assert server.mails == []
        (tmp_path / CA).unlink()
        (tmp_path / CA).write_bytes(chain.read_bytes())
        assert isinstance(deliver(), Delivered)
