"""Every fault of a next hop ends as the right outcome per copy; rows 14 to 17 of the fault table at this level."""

from __future__ import annotations

import hashlib
import socket
import threading
import tracemalloc
from typing import BinaryIO

import pytest

from relay.core.approval import ApprovalError, ApprovedClear
from relay.core.documents.routes import TlsPolicy
from relay.core.envelope import BodyType
from relay.core.errors import ConfigurationError, StorageError
from relay.core.ids import new_id
from relay.delivery.errors import Why
from relay.delivery.link import Timeouts
from relay.delivery.outcome import Deferred, Delivered, Failed
from relay.delivery.parcel import Parcel, ParcelCopy
from relay.delivery.route import Credentials, Hop
from relay.delivery.smtp import SessionOpener
from tests.integration.delivery.conftest import HASTY, HASTY_AT_THE_END, SHORT, OctetContent, make_cache, make_parcel
from tests.integration.delivery.fault_server import CLOSE, HANG, RESET, Dialogue, FaultServer, refusing_port


def one(outcomes: dict[str, object]) -> object:
    assert list(outcomes) == ["copy0"]
    return outcomes["copy0"]


# --- what works -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [("PIPELINING", "8BITMIME"), ("8BITMIME",), ()])
def test_delivers_byte_identical_with_and_without_pipelining(run_to, features):
    data = b"Subject: x\r\n\r\n.leading dot\r\n..two\r\n.\r\nfrom here\r\n\r\n.\r\n"
    with FaultServer(features) as server:
        outcome = one(run_to(server.port).deliver(make_parcel(data=data)))
        assert isinstance(outcome, Delivered)
        assert (outcome.status, outcome.remote) == ("2.0.0", "localhost")
        assert server.mails[0].data == data


def test_says_only_what_the_peer_offers(run_to):
    more = {
        "body_type": BodyType.EIGHT_BIT_MIME,
        "dsn_ret": "HDRS",
        "dsn_envid": "QQ314159",
        "notify": frozenset({"FAILURE", "SUCCESS"}),
        "orcpt": "rfc822;jonas.weber@partner.example",
    }
    with FaultServer() as server:
        outcome = one(run_to(server.port).deliver(make_parcel(**more)))
        assert isinstance(outcome, Delivered)
        assert outcome.dsn_passed_on
        assert server.mails[0].mail_line == (
            "MAIL FROM:<anna.keller@bank.example> SIZE=21 BODY=8BITMIME RET=HDRS ENVID=QQ314159"
        )
        assert server.mails[0].rcpt_lines == [
            "RCPT TO:<jonas.weber@partner.example> NOTIFY=FAILURE,SUCCESS ORCPT=rfc822;jonas.weber@partner.example"
        ]
    with FaultServer(()) as server:
        outcome = one(run_to(server.port).deliver(make_parcel(**more)))
        assert isinstance(outcome, Delivered)
        assert not outcome.dsn_passed_on
        assert server.mails[0].mail_line == "MAIL FROM:<anna.keller@bank.example>"
        assert server.mails[0].rcpt_lines == ["RCPT TO:<jonas.weber@partner.example>"]


def test_null_reverse_path_and_postmaster(run_to):
    with FaultServer() as server:
        assert isinstance(one(run_to(server.port).deliver(make_parcel("a@b.example", reverse_path=""))), Delivered)
        assert server.mails[0].mail_line.startswith("MAIL FROM:<> ")


def test_falls_back_to_helo_for_an_old_server(run_to):
    def script(_: Dialogue, command: str) -> str | None:
        return "502 5.5.1 what" if command.startswith("EHLO") else None

    with FaultServer(script=script) as server:
        assert isinstance(one(run_to(server.port).deliver(make_parcel())), Delivered)
        assert server.commands[1] == "HELO gate.bank.example"


def test_connection_is_reused_and_reset_after_a_refusal(run_to):
    def script(_: Dialogue, command: str) -> str | None:
        return "550 5.1.1 no" if "nobody@" in command else None

    with FaultServer(script=script) as server:
        run = run_to(server.port)
        assert isinstance(one(run.deliver(make_parcel())), Delivered)
        assert isinstance(one(run.deliver(make_parcel("nobody@partner.example"))), Failed)
        assert isinstance(one(run.deliver(make_parcel())), Delivered)
        assert server.connections == 1
        assert server.commands.count("RSET") == 1


def test_a_session_closed_while_idle_costs_nothing(run_to):
    """The peer ends the idle session, with or without a word: the next mail goes over a new one in the same attempt."""
    gone = threading.Event()

    def script(dialogue: Dialogue, command: str) -> str | None:
        if command.startswith("MAIL") and dialogue.mail_count:
            gone.set()
            return CLOSE
        return None

    with FaultServer(script=script) as server:
        run = run_to(server.port)
        assert isinstance(one(run.deliver(make_parcel())), Delivered)
        assert isinstance(one(run.deliver(make_parcel())), Delivered)
        assert gone.is_set()
        assert server.connections == 2


def test_421_to_mail_on_a_used_session_is_tried_again_at_once(run_to):
    def script(dialogue: Dialogue, command: str) -> str | None:
        return "421 4.4.2 idle too long" if command.startswith("MAIL") and dialogue.mail_count else None

    with FaultServer(script=script) as server:
        run = run_to(server.port)
        assert isinstance(one(run.deliver(make_parcel())), Delivered)
        assert isinstance(one(run.deliver(make_parcel())), Delivered)
        assert server.connections == 2


def test_more_recipients_than_the_peer_takes_go_in_several_transactions(run_to):
    with FaultServer(("PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=9")) as server:
        outcomes = run_to(server.port).deliver(make_parcel(*(f"r{n}@partner.example" for n in range(5))))
        assert len(outcomes) == 5
        assert all(isinstance(o, Delivered) for o in outcomes.values())
        assert [len(mail.rcpt_lines) for mail in server.mails] == [2, 2, 1]


@pytest.mark.parametrize("refusal", ["452 4.5.3 Too many recipients", "552 Too many recipients"])
def test_overflow_is_sent_at_once_in_the_next_transaction(run_to, refusal):
    def script(dialogue: Dialogue, command: str) -> str | None:
        return refusal if command.startswith("RCPT") and len(dialogue.rcpts) >= 2 else None

    with FaultServer(script=script) as server:
        outcomes = run_to(server.port).deliver(make_parcel(*(f"r{n}@partner.example" for n in range(5))))
        assert all(isinstance(o, Delivered) for o in outcomes.values())
        assert [len(mail.rcpt_lines) for mail in server.mails] == [2, 2, 1]
        assert server.connections == 1


# --- row 14: down, 4xx, silent ----------------------------------------------------------------------------------------


def test_refused_connection_defers_and_marks_the_hop_down(run_to):
    with refusing_port() as port:
        run = run_to(port)
        outcome = one(run.deliver(make_parcel()))
        assert isinstance(outcome, Deferred)
        assert (outcome.status, outcome.why) == ("4.4.1", Why.CONNECT)
        assert [status.is_down for status in run.cache.statuses()] == [True]
        second = one(run.deliver(make_parcel()))
    assert isinstance(second, Deferred)
    assert second.why is Why.HOP_DOWN
    assert "refused" in second.text


def test_silence_after_connect_defers(run_to):
    with FaultServer(script=lambda _, command: HANG if command == "<connect>" else None) as server:
        outcome = one(run_to(server.port, timeouts=HASTY).deliver(make_parcel()))
        assert isinstance(outcome, Deferred)
        assert (outcome.status, outcome.why) == ("4.4.2", Why.LOST)


@pytest.mark.parametrize("greeting", ["554 5.7.1 no service for you", "421 4.3.2 busy"])
def test_a_refused_session_defers_and_bounces_nothing(run_to, greeting):
    with FaultServer(script=lambda _, command: greeting if command == "<connect>" else None) as server:
        outcome = one(run_to(server.port).deliver(make_parcel()))
        assert isinstance(outcome, Deferred)
        assert outcome.status == "4.3.2"


@pytest.mark.parametrize("where", ["MAIL", "RCPT", "DATA", "<dot>"])
@pytest.mark.parametrize("features", [("PIPELINING",), ()])
def test_4xx_defers_with_the_peers_status(run_to, where, features):
    def script(_: Dialogue, command: str) -> str | None:
        return "451 4.7.1 greylisted" if command.startswith(where) else None

    with FaultServer(features, script) as server:
        run = run_to(server.port)
        outcome = one(run.deliver(make_parcel()))
        assert isinstance(outcome, Deferred)
        assert (outcome.status, outcome.text, outcome.why) == ("4.7.1", "451 4.7.1 greylisted", Why.REPLY)
        assert server.mails == []
        assert not run.cache.statuses()[0].is_down


@pytest.mark.parametrize("where", ["MAIL", "RCPT", "DATA", "<dot>"])
@pytest.mark.parametrize("features", [("PIPELINING",), ()])
def test_5xx_fails_with_the_peers_status(run_to, where, features):
    def script(_: Dialogue, command: str) -> str | None:
        return "550 5.7.26 refused" if command.startswith(where) else None

    with FaultServer(features, script) as server:
        outcome = one(run_to(server.port).deliver(make_parcel()))
        assert isinstance(outcome, Failed)
        assert (outcome.status, outcome.text) == ("5.7.26", "550 5.7.26 refused")


@pytest.mark.parametrize("where", ["<connect>", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("fault", [CLOSE, RESET, HANG, "gibberish", ["250-a", "550 b"], "250 " + "x" * 5000])
def test_any_break_before_the_end_of_data_defers(run_to, where, fault):
    with FaultServer(script=lambda _, command: fault if command.startswith(where) else None) as server:
        outcome = one(run_to(server.port, timeouts=HASTY if fault == HANG else SHORT).deliver(make_parcel()))
        assert isinstance(outcome, Deferred)
        # A reset may come before the client has left connect().
        early = (Why.CONNECT,) if (where, fault) == ("<connect>", RESET) else ()
        assert outcome.why in (Why.LOST, Why.PROTOCOL, *early)
        assert not outcome.is_doubtful
        assert server.mails == []


@pytest.mark.parametrize(
    "code", ["530 5.7.0 Must issue a STARTTLS command first", "535 5.7.8 login", "503 5.5.1 order"]
)
def test_faults_of_the_set_up_are_no_bounce(run_to, code):
    with FaultServer(script=lambda _, command: code if command.startswith("MAIL") else None) as server:
        outcome = one(run_to(server.port).deliver(make_parcel()))
        assert isinstance(outcome, Deferred)
        assert outcome.status.startswith("4.")


def test_data_wanted_for_nobody_is_not_given(run_to):
    def script(_: Dialogue, command: str) -> str | None:
        return "550 5.1.1 no" if command.startswith("RCPT") else "354 go" if command == "DATA" else None

    with FaultServer(script=script) as server:
        outcome = one(run_to(server.port).deliver(make_parcel()))
        assert isinstance(outcome, Failed)
        assert "." not in server.commands
        assert server.mails == []


# --- row 15: the doubtful window --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [CLOSE, HANG, "gibberish"])
def test_lost_after_the_final_dot_is_doubtful_and_the_retry_sends_the_same_bytes(run_to, fault):
    broken = [True]

    def script(_: Dialogue, command: str) -> str | None:
        return fault if command == "<dot>" and broken[0] else None

    with FaultServer(script=script) as server:
        run = run_to(server.port, timeouts=HASTY_AT_THE_END if fault == HANG else SHORT)
        parcel = make_parcel()
        outcome = one(run.deliver(parcel))
        assert isinstance(outcome, Deferred)
        assert outcome.is_doubtful
        assert "twice" in outcome.text
        broken[0] = False
        assert isinstance(one(run.deliver(parcel)), Delivered)
        assert {mail.data for mail in server.mails} == {b"Subject: x\r\n\r\nhello\r\n"}


# --- row 16: one of three ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [("PIPELINING",), ()])
def test_one_refused_recipient_of_three_fails_alone(run_to, features):
    def script(_: Dialogue, command: str) -> str | None:
        return "550 5.1.1 no such user" if "two@" in command else "450 4.2.1 later" if "four@" in command else None

    with FaultServer(features, script) as server:
        names = ("one", "two", "three", "four")
        outcomes = run_to(server.port).deliver(make_parcel(*(f"{name}@partner.example" for name in names)))
        assert [type(outcomes[f"copy{n}"]) for n in range(4)] == [Delivered, Failed, Delivered, Deferred]
        assert outcomes["copy1"].status == "5.1.1"
        assert len(server.mails) == 1
        assert len(server.mails[0].rcpt_lines) == 2


def test_421_in_the_middle_of_recipients_delivers_to_nobody(run_to):
    def script(_: Dialogue, command: str) -> str | None:
        return "421 4.3.2 closing" if "two@" in command else None

    with FaultServer(script=script) as server:
        outcomes = run_to(server.port).deliver(make_parcel("one@p.example", "two@p.example", "three@p.example"))
        assert {type(o) for o in outcomes.values()} == {Deferred}
        assert server.mails == []


# --- row 17: TLS ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [TlsPolicy.ENCRYPT, TlsPolicy.VERIFY])
def test_lost_starttls_defers_and_nothing_goes_in_clear(run_to, policy):
    with FaultServer() as server:
        outcome = one(run_to(server.port, policy).deliver(make_parcel()))
        assert isinstance(outcome, Deferred)
        assert (outcome.status, outcome.why) == ("4.7.4", Why.TLS)
        assert [c for c in server.commands if c.startswith(("MAIL", "AUTH"))] == []


@pytest.mark.parametrize("kind", ["expired", "wrong-name", "foreign"])
def test_bad_certificate_defers_where_it_is_to_be_verified(run_to, certificates, kind):
    with FaultServer(context=certificates.context(kind)) as server:
        run = run_to(server.port, TlsPolicy.VERIFY, ca_file=certificates.ca_file)
        outcome = one(run.deliver(make_parcel()))
        assert isinstance(outcome, Deferred)
        assert (outcome.status, outcome.why) == ("4.7.5", Why.TLS)
        assert "certificate" in outcome.text
        assert server.mails == []


@pytest.mark.parametrize("policy", [TlsPolicy.MAY, TlsPolicy.ENCRYPT])
def test_bad_certificate_does_where_only_encryption_is_asked_for(run_to, certificates, policy):
    with FaultServer(context=certificates.context("expired")) as server:
        outcome = one(run_to(server.port, policy).deliver(make_parcel()))
        assert isinstance(outcome, Delivered)
        assert server.mails[0].tls
        assert outcome.tls
        assert outcome.tls.startswith("TLSv1.3 ")


def test_verified_tls_and_the_features_of_before_are_forgotten(run_to, certificates):
    with FaultServer(context=certificates.context("good"), features_after_tls=("8BITMIME",)) as server:
        run = run_to(server.port, TlsPolicy.VERIFY, ca_file=certificates.ca_file)
        assert isinstance(one(run.deliver(make_parcel(dsn_ret="HDRS"))), Delivered)
        assert server.mails[0].mail_line == "MAIL FROM:<anna.keller@bank.example>"


def test_name_to_verify_may_be_set(run_to, certificates):
    with FaultServer(context=certificates.context("wrong-name")) as server:
        hop = {"ca_file": certificates.ca_file, "tls_name": "elsewhere.example"}
        assert isinstance(one(run_to(server.port, TlsPolicy.VERIFY, **hop).deliver(make_parcel())), Delivered)


def _broken_handshake(dialogue: Dialogue, command: str) -> str | None:
    if command == "STARTTLS":
        dialogue.say("220 go")
        dialogue.sock.sendall(b"this is no TLS at all\r\n")
        return CLOSE
    return None


def test_broken_handshake_falls_back_to_clear_on_a_new_connection_for_may_only(run_to, certificates):
    with FaultServer(script=_broken_handshake, context=certificates.context("good")) as server:
        outcome = one(run_to(server.port, TlsPolicy.ENCRYPT).deliver(make_parcel()))
        assert isinstance(outcome, Deferred)
        assert outcome.why in (Why.TLS, Why.PROTOCOL)
        assert server.mails == []


def test_octets_sent_before_the_handshake_are_refused(run_to, certificates):
    """Response injection: what an attacker puts behind the 220 must not count as said in TLS."""

    def script(_: Dialogue, command: str) -> list[str] | None:
        return ["220 go", "250 injected"] if command == "STARTTLS" else None

    with FaultServer(script=script, context=certificates.context("good")) as server:
        for policy in (TlsPolicy.MAY, TlsPolicy.ENCRYPT):
            outcome = one(run_to(server.port, policy).deliver(make_parcel()))
            assert isinstance(outcome, Deferred)
            assert outcome.why is Why.PROTOCOL
        assert server.mails == []


def test_refused_starttls_goes_on_in_clear_for_may_only(run_to, certificates):
    def script(_: Dialogue, command: str) -> str | None:
        return "454 4.7.0 TLS not available" if command == "STARTTLS" else None

    with FaultServer(script=script, context=certificates.context("good")) as server:
        assert isinstance(one(run_to(server.port, TlsPolicy.MAY).deliver(make_parcel())), Delivered)
        outcome = one(run_to(server.port, TlsPolicy.ENCRYPT).deliver(make_parcel()))
        assert isinstance(outcome, Deferred)
        assert outcome.status == "4.7.4"
        assert len(server.mails) == 1


def test_requiretls_wants_a_verified_peer_that_promises_it(run_to, certificates):
    with FaultServer(context=certificates.context("good"), features_after_tls=("REQUIRETLS",)) as server:
        run = run_to(server.port, TlsPolicy.MAY, ca_file=certificates.ca_file)
        assert isinstance(one(run.deliver(make_parcel(requiretls=True))), Delivered)
        assert server.mails[0].mail_line.endswith(" REQUIRETLS")
    with FaultServer(context=certificates.context("good")) as server:
        run = run_to(server.port, TlsPolicy.MAY, ca_file=certificates.ca_file)
        outcome = one(run.deliver(make_parcel(requiretls=True)))
        assert isinstance(outcome, Deferred)
        assert outcome.status == "4.7.30"
        assert isinstance(one(run.deliver(make_parcel())), Delivered)
    with FaultServer() as server:
        run = run_to(server.port)
        outcome = one(run.deliver(make_parcel(requiretls=True)))
        assert isinstance(outcome, Deferred)
        assert isinstance(one(run.deliver(make_parcel())), Delivered), "other mail for this hop is not held up"
        assert len(server.mails) == 1


# --- logins -----------------------------------------------------------------------------------------------------------


def test_login_only_over_verified_tls_or_loopback():
    with pytest.raises(ConfigurationError, match="verify"):
        Hop("outside", "mx.partner.example", 587, TlsPolicy.ENCRYPT, Credentials("gate", "secret"))
    assert "secret" not in repr(Hop("outside", "localhost", 587, credentials=Credentials("gate", "secret")))


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_logs_in(run_to, mechanism):
    def script(_: Dialogue, command: str) -> str | None:
        answers = {"AUTH LOGIN": "334 VXNlcm5hbWU6", "Z2F0ZQ==": "334 UGFzc3dvcmQ6", "c2VjcmV0": "235 2.7.0 in"}
        return "235 2.7.0 in" if command == "AUTH PLAIN AGdhdGUAc2VjcmV0" else answers.get(command)

    with FaultServer((f"AUTH {mechanism}",), script) as server:
        run = run_to(server.port, credentials=Credentials("gate", "secret"))
        assert isinstance(one(run.deliver(make_parcel())), Delivered)


def test_refused_login_defers_without_the_peers_words(run_to):
    def script(_: Dialogue, command: str) -> str | None:
        return f"535 5.7.8 wrong: {command}" if command.startswith("AUTH") else None

    with FaultServer(("AUTH PLAIN",), script) as server:
        outcome = one(run_to(server.port, credentials=Credentials("gate", "secret")).deliver(make_parcel()))
        assert isinstance(outcome, Deferred)
        assert outcome.why is Why.LOGIN
        assert "AGdhdGU" not in outcome.text
        assert server.mails == []


# --- content ----------------------------------------------------------------------------------------------------------


def test_eight_bit_content_is_not_converted(run_to):
    data = b"Subject: x\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"
    with FaultServer(("PIPELINING",)) as server:
        outcome = one(run_to(server.port).deliver(make_parcel(data=data)))
        assert isinstance(outcome, Failed)
        assert (outcome.status, outcome.why) == ("5.6.3", Why.CONVERSION)
        late = b"Subject: x\r\n\r\n" + b"x" * 70 * 2**10 + b"\r\n" + b"y" * 2**18 + b"\xe4\r\n"
        assert isinstance(one(run_to(server.port).deliver(make_parcel(data=late))), Failed)
        declared = make_parcel(body_type=BodyType.EIGHT_BIT_MIME)
        assert isinstance(one(run_to(server.port).deliver(declared)), Delivered), "declared, yet all ASCII"
        assert len(server.mails) == 1
    with FaultServer() as server:
        assert isinstance(one(run_to(server.port).deliver(make_parcel(data=data))), Delivered)
        assert server.mails[0].data == data
        assert "BODY=8BITMIME" in server.mails[0].mail_line


def test_binary_content_fails(run_to):
    with FaultServer() as server:
        outcome = one(run_to(server.port).deliver(make_parcel(body_type=BodyType.BINARY_MIME)))
        assert isinstance(outcome, Failed)
        assert outcome.status == "5.6.3"


def test_smtputf8_where_needed(run_to):
    with FaultServer() as server:
        run = run_to(server.port)
        assert isinstance(one(run.deliver(make_parcel("jürgen@müller.example", smtputf8=True))), Delivered)
        assert server.mails[0].mail_line.endswith(" SMTPUTF8")
    with FaultServer(("8BITMIME",)) as server:
        run = run_to(server.port)
        outcomes = run.deliver(make_parcel("jürgen@partner.example", "jonas@partner.example", smtputf8=True))
        assert isinstance(outcomes["copy0"], Failed)
        assert outcomes["copy0"].status == "5.6.7"
        assert isinstance(outcomes["copy1"], Delivered)
        outcome = one(run.deliver(make_parcel(data="Subject: Grüße\r\n\r\nx\r\n".encode(), smtputf8=True)))
        assert isinstance(outcome, Failed)
        assert outcome.status == "5.6.9"
        assert len(server.mails) == 1


def test_too_large_for_the_peer_fails_without_sending(run_to):
    with FaultServer(("SIZE 100",)) as server:
        outcome = one(run_to(server.port).deliver(make_parcel(data=b"x" * 99 + b"\r\n")))
        assert isinstance(outcome, Failed)
        assert (outcome.status, outcome.why) == ("5.3.4", Why.SIZE)
        assert not any(c.startswith("MAIL") for c in server.commands)


@pytest.mark.parametrize("data", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\n\r", b"a\r\r\nb\r\n", b"\n.\r\n", b"a\r\n.\nb\r\n"])
def test_bare_line_ends_never_leave(run_to, data):
    with FaultServer() as server:
        outcome = one(run_to(server.port).deliver(make_parcel(data=data)))
        assert isinstance(outcome, Deferred)
        assert (outcome.status, outcome.why) == ("4.6.0", Why.CONTENT)
        assert server.mails == []


class BreakingContent(OctetContent):
    """Content whose store fails or lies on the way."""

    def __init__(self, data: bytes, claimed: int, error: Exception | None) -> None:
        super().__init__(data)
        self.claimed = claimed
        self.error = error

    @property
    def size(self) -> int:
        return self.claimed

    def open(self) -> BinaryIO:
        stream = super().open()
        if self.error is not None:
            error, first, read = self.error, [True], stream.read

            def read_once(size: int = -1) -> bytes:
                if first[0]:
                    first[0] = False
                    return read(size)
                raise error

            stream.read = read_once  # type: ignore[method-assign]
        return stream


@pytest.mark.parametrize(
    "content",
    [
        BreakingContent(b"a\r\n" * 300_000, 900_000, StorageError("gone")),
        BreakingContent(b"a\r\n" * 300_000, 900_000, OSError("gone")),
        BreakingContent(b"a\r\n" * 100, 500_000, None),
        BreakingContent(b"a\r\n" * 100, 10, None),
    ],
)
def test_content_that_cannot_be_read_whole_is_not_delivered(run_to, content):
    with FaultServer() as server:
        outcome = one(run_to(server.port).deliver(make_parcel(content=content)))
        assert isinstance(outcome, Deferred)
        assert outcome.why is Why.CONTENT
        assert outcome.status.startswith("4.")
        assert server.mails == []


def test_45_megabytes_in_flat_memory(run_to):
    block = b"x" * 70 + b"\r\n." + b"y" * 53 + b"\r\n"
    data = block * (45_000_000 // len(block))

    digest = hashlib.sha256()
    with FaultServer() as server:

        def take(dialogue: Dialogue) -> str:
            while (line := dialogue.reader.readline()) != b".\r\n":
                digest.update(line[1:] if line.startswith(b".") else line)
            return "250 2.0.0 Ok"

        def script(dialogue: Dialogue, command: str) -> str | None:
            if command != "DATA":
                return None
            dialogue.say("354 go ahead")
            return take(dialogue)

        server.script = script
        parcel = make_parcel(data=data)
        run = run_to(server.port)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        outcome = one(run.deliver(parcel))
        peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        assert isinstance(outcome, Delivered)
        assert digest.digest() == hashlib.sha256(data).digest()
        assert peak < 4_000_000


def test_a_reply_given_in_the_middle_of_data_counts(run_to):
    def script(dialogue: Dialogue, command: str) -> str | None:
        if command != "DATA":
            return None
        dialogue.say("354 go ahead")
        dialogue.reader.read(100_000)
        dialogue.say("552 5.3.4 too big")
        dialogue.sock.shutdown(socket.SHUT_RD)
        return HANG

    with FaultServer(script=script) as server:
        patience = Timeouts(10, 10, 10, 10, 10, block=0.5, quit=0.2)
        run = run_to(server.port, timeouts=patience)
        outcome = one(run.deliver(make_parcel(data=b"x" * 76 + b"\r\n" + b"y\r\n" * 10_000_000)))
        assert isinstance(outcome, Failed)
        assert outcome.status == "5.3.4"
        assert server.mails == []


# --- what may be handed over ------------------------------------------------------------------------------------------


def test_nothing_without_approval_can_be_made_or_sent(run_to):
    message_id, content = new_id(), OctetContent(b"x\r\n")
    for approval in (None, "yes", True, object(), type("ApprovedClear", (ApprovedClear,), {})(message_id, 0, new_id())):
        copy = ParcelCopy("c", "jonas.weber@partner.example", approval)  # type: ignore[arg-type]
        with pytest.raises(ApprovalError):
            Parcel(message_id, 0, "a@bank.example", (copy,), content)
    other = ParcelCopy("c", "jonas.weber@partner.example", ApprovedClear(new_id(), 0, new_id()))
    with pytest.raises(ApprovalError):
        Parcel(message_id, 0, "a@bank.example", (other,), content)
    forged = make_parcel()
    object.__setattr__(forged, "copies", (ParcelCopy("c", "jonas.weber@partner.example", None),))  # type: ignore[arg-type]
    with FaultServer() as server:
        with pytest.raises(ApprovalError):
            run_to(server.port).deliver(forged)
        with pytest.raises(ApprovalError):
            run_to(server.port).deliver(object())  # type: ignore[arg-type]
        assert server.commands == []


@pytest.mark.parametrize(
    "path", ["a@b.example>\r\nRCPT TO:<x@y.example", "a b@c.example", "", "a@b.example> NOTIFY=NEVER"]
)
def test_no_command_is_injected_by_a_stored_path(run_to, path):
    message_id = new_id()
    copy = ParcelCopy("copy0", path, ApprovedClear(message_id, 0, new_id()))
    parcel = Parcel(message_id, 0, "anna.keller@bank.example", (copy,), OctetContent(b"x\r\n"))
    with FaultServer() as server:
        outcome = one(run_to(server.port).deliver(parcel))
        assert isinstance(outcome, Deferred)
        assert not any(c.startswith(("RCPT", "DATA")) for c in server.commands)


# --- connections ------------------------------------------------------------------------------------------------------


def test_no_more_connections_than_the_hop_allows(run_to):
    with FaultServer() as server:
        run = run_to(server.port, max_connections=3)
        threads = [threading.Thread(target=run.deliver, args=(make_parcel(),)) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(server.mails) == 24
        assert server.most_at_once <= 3


def test_thousands_waiting_for_a_dead_hop_try_once(run_to):
    with FaultServer(script=lambda _, command: "421 4.3.2 no" if command == "<connect>" else None) as server:
        run = run_to(server.port)
        outcomes = [one(run.deliver(make_parcel())) for _ in range(2000)]
        assert {type(o) for o in outcomes} == {Deferred}
        assert server.connections == 1


def test_a_hop_comes_back_by_one_probe():
    now = [0.0]
    cache = make_cache(monotonic=lambda: now[0])
    dead = [True]

    def script(_: Dialogue, command: str) -> str | None:
        return "421 4.3.2 no" if command == "<connect>" and dead[0] else None

    with FaultServer(script=script) as server:
        hop = Hop("outside", "127.0.0.1", server.port, TlsPolicy.NONE)
        for pause in (15, 30, 60, 120, 240, 300, 300):
            assert cache.is_open(hop)
            with pytest.raises(Exception, match="refuses"), cache.lease(hop):
                pass
            assert cache.closed_keys([hop]) == {hop.key}
            now[0] += pause - 1
            assert not cache.is_open(hop)
            now[0] += 1
        dead[0] = False
        with cache.lease(hop):
            assert not cache.is_open(hop), "one probe only until it is known to work"
        cache.note_success(hop)
        with cache.lease(hop):
            assert cache.is_open(hop)
        assert server.connections == 8
        now[0] += 11
        cache.close_idle()
        assert server.commands.count("QUIT") == 1


@pytest.mark.parametrize("where", ["<connect>", "EHLO", "STARTTLS", "MAIL", "<dot>"])
def test_abort_ends_a_session_that_hangs_anywhere(run_to, certificates, where):
    waiting = threading.Event()

    def script(dialogue: Dialogue, command: str) -> str | None:
        if command.startswith(where):
            if where == "STARTTLS":
                dialogue.say("220 go, and then nothing")
            waiting.set()
            return HANG
        return None

    patient = Timeouts(10, 60, 60, 60, 60, 60, 60, quit=0.2)
    with FaultServer(script=script, context=certificates.context("good")) as server:
        run = run_to(server.port, TlsPolicy.ENCRYPT, timeouts=patient)
        found: list[object] = []
        thread = threading.Thread(target=lambda: found.append(one(run.deliver(make_parcel()))))
        thread.start()
        assert waiting.wait(10)
        while thread.is_alive():
            run.cache.abort_busy()
            thread.join(0.05)
        assert isinstance(found[0], Deferred)
        assert found[0].is_doubtful == (where == "<dot>")


def test_session_opened_by_hand_says_quit():
    with FaultServer() as server:
        session = SessionOpener("g.example", SHORT)(Hop("inside", "127.0.0.1", server.port, TlsPolicy.NONE))
        assert session.size_limit == 50_000_000
        session.quit()
        assert server.commands[-1] == "QUIT"
