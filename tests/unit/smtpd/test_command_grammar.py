"""Commands and their parameters: taken as the RFCs write them, refused with the right reply otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.envelope import BodyType
from relay.smtpd import grammar, replies
from relay.smtpd.replies import RefusalError, Reply


def mail(rest: str, *, extended: bool = True, auth: bool = False) -> grammar.MailCommand:
    return grammar.parse_mail(rest, extended=extended, auth=auth)


def rcpt(rest: str, *, extended: bool = True, smtputf8: bool = False) -> grammar.RcptCommand:
    return grammar.parse_rcpt(rest, extended=extended, smtputf8=smtputf8)


def test_mail_with_everything() -> None:
    command = mail("FROM:<a@x.example> SIZE=1000 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=Ab+2B1 AUTH=<>", auth=True)
    assert command == grammar.MailCommand("a@x.example", 1000, BodyType.EIGHT_BIT_MIME, True, "HDRS", "Ab+2B1")


def test_case_of_envid_and_orcpt_is_kept() -> None:
    assert mail("from:<a@x.example> envid=AbC").envid == "AbC"
    assert rcpt("to:<a@x.example> orcpt=rfc822;Bob+2Bx@Y").orcpt == "rfc822;Bob+2Bx@Y"


def test_the_null_reverse_path() -> None:
    assert mail("FROM:<>").reverse_path == ""
    assert mail("FROM:<> BODY=7BIT").reverse_path == ""


def test_spaces_where_nothing_can_be_misread() -> None:
    assert mail("FROM:  <a@x.example>   SIZE=1 ").reverse_path == "a@x.example"


@pytest.mark.parametrize(
    ("rest", "reply"),
    [
        ("", replies.BAD_MAIL),
        ("<a@x.example>", replies.BAD_MAIL),
        ("TO:<a@x.example>", replies.BAD_MAIL),
        ("FROM <a@x.example>", replies.BAD_MAIL),
        ("FROM:", replies.BAD_SENDER),
        ("FROM:a@x.example", replies.BAD_SENDER),
        ("FROM:<a@x.example", replies.BAD_SENDER),
        ("FROM:<a@x.example>SIZE=1", replies.BAD_SENDER),
        ("FROM:<<a@x.example>>", replies.BAD_SENDER),
        ("FROM:Alice <a@x.example>", replies.BAD_SENDER),
        ("FROM:<=?utf-8?q?evil=40evil.test=3e?=@x>>", replies.BAD_SENDER),
        ('FROM:<a"b"c@x>', replies.BAD_SENDER),
        ("FROM:<a b@x>", replies.BAD_SENDER),
        ("FROM:<a(x)@x>", replies.BAD_SENDER),
        ("FROM:<@relay.example:a@x.example>", replies.BAD_SENDER),
        ("FROM:<postmaster>", replies.BAD_SENDER),
        ("FROM:< >", replies.BAD_SENDER),
        ("FROM:<a@x.example> SIZE", replies.BAD_PARAMETER),
        ("FROM:<a@x.example> SIZE=", replies.BAD_PARAMETER),
        ("FROM:<a@x.example> SIZE=-1", replies.BAD_PARAMETER),
        ("FROM:<a@x.example> SIZE=1x", replies.BAD_PARAMETER),
        ("FROM:<a@x.example> SIZE=\u0661", replies.BAD_PARAMETER),
        ("FROM:<a@x.example> SIZE=" + "9" * 21, replies.BAD_PARAMETER),
        ("FROM:<a@x.example> SIZE=1 SIZE=1", replies.BAD_PARAMETER),
        ("FROM:<a@x.example> SIZE=1=1", replies.BAD_PARAMETER),
        ("FROM:<a@x.example> BODY=BINARYMIME", replies.BAD_PARAMETER),
        ("FROM:<a@x.example> BODY", replies.BAD_PARAMETER),
        ("FROM:<a@x.example> SMTPUTF8=1", replies.BAD_PARAMETER),
        ("FROM:<a@x.example> RET=ALL", replies.BAD_PARAMETER),
        ("FROM:<a@x.example> ENVID=a+zz", replies.BAD_PARAMETER),
        ("FROM:<a@x.example> ENVID=" + "a" * 101, replies.BAD_PARAMETER),
        ("FROM:<a@x.example> -X=1", replies.BAD_PARAMETER),
        ("FROM:<a@x.example> REQUIRETLS", replies.UNKNOWN_PARAMETER),
        ("FROM:<a@x.example> AUTH=<>", replies.UNKNOWN_PARAMETER),
        ("FROM:<a@x.example> NOTIFY=NEVER", replies.UNKNOWN_PARAMETER),
        ("FROM:<d\u00f6rte@x.example>", replies.NEEDS_SMTPUTF8),
        ("FROM:<a@m\u00fcller.example>", replies.NEEDS_SMTPUTF8),
    ],
)
def test_mail_refused(rest: str, reply: Reply) -> None:
    with pytest.raises(RefusalError) as caught:
        mail(rest)
    assert caught.value.reply == reply


@pytest.mark.parametrize(
    ("rest", "reply"),
    [
        ("FROM:<a@x.example>", replies.BAD_RCPT),
        ("TO:<>", replies.BAD_RECIPIENT),
        ("TO:<a>", replies.BAD_RECIPIENT),
        ("TO:<a@x.example> NOTIFY=NEVER,SUCCESS", replies.BAD_PARAMETER),
        ("TO:<a@x.example> NOTIFY=", replies.BAD_PARAMETER),
        ("TO:<a@x.example> NOTIFY=SUCCESS,SUCCESS", replies.BAD_PARAMETER),
        ("TO:<a@x.example> ORCPT=a@x", replies.BAD_PARAMETER),
        ("TO:<a@x.example> ORCPT=rfc822;", replies.BAD_PARAMETER),
        ("TO:<a@x.example> ORCPT=rfc822;a+zz", replies.BAD_PARAMETER),
        ("TO:<a@x.example> ORCPT=rfc822;" + "a" * 500, replies.BAD_PARAMETER),
        ("TO:<a@x.example> ORCPT=rfc822;\u00e4@x", replies.BAD_PARAMETER),
        ("TO:<a@x.example> ORCPT=utf-8;\u00e4@x", replies.NEEDS_SMTPUTF8),
        ("TO:<a@x.example> SIZE=1", replies.UNKNOWN_PARAMETER),
        ("TO:<\u00e4@x.example>", replies.NEEDS_SMTPUTF8),
    ],
)
def test_rcpt_refused(rest: str, reply: Reply) -> None:
    with pytest.raises(RefusalError) as caught:
        rcpt(rest)
    assert caught.value.reply == reply


def test_rcpt_taken() -> None:
    command = rcpt("TO:<a@x.example> NOTIFY=delay,FAILURE ORCPT=utf-8;\\x{C4}b@x")
    assert command.notify == frozenset({"DELAY", "FAILURE"})
    assert command.orcpt == "utf-8;\\x{C4}b@x"
    assert rcpt("TO:<\u00e4@x.example> ORCPT=utf-8;\u00e4@x", smtputf8=True).orcpt == "utf-8;\u00e4@x"
    assert rcpt("TO:<a@x.example> NOTIFY=NEVER").notify == frozenset({"NEVER"})
    assert rcpt("TO:<PostMaster>").is_bare_postmaster
    assert not rcpt("TO:<postmaster@x.example>").is_bare_postmaster


def test_no_parameters_after_helo() -> None:
    with pytest.raises(RefusalError) as caught:
        mail("FROM:<a@x.example> SIZE=1", extended=False)
    assert caught.value.reply == replies.BAD_MAIL
    assert mail("FROM:<a@x.example>", extended=False).size == 0


@pytest.mark.parametrize("rest", ["", "x", "-1", "1 LAST x", "1 LOST", "1LAST", "9" * 21, "1.5", "\u0661"])
def test_a_bad_bdat_closes_since_octets_and_commands_cannot_be_told_apart(rest: str) -> None:
    with pytest.raises(RefusalError) as caught:
        grammar.parse_bdat(rest)
    assert caught.value.reply.closes


def test_bdat() -> None:
    assert grammar.parse_bdat("0 last") == (0, True)
    assert grammar.parse_bdat("86") == (86, False)


@pytest.mark.parametrize("name", ["client", "mx.bank.example", "my_pc", "[192.0.2.1]", "[IPv6:2001:db8::1]", "a" * 255])
def test_helo_names(name: str) -> None:
    assert grammar.parse_helo(name) == name


@pytest.mark.parametrize("name", ["", "a b", "a(b)", "<x>", "a;b", "\u00e4", "a" * 256, "-x", "[x", "a\\b", '"x"'])
def test_helo_names_that_could_forge_a_trace_field(name: str) -> None:
    with pytest.raises(RefusalError):
        grammar.parse_helo(name)


@pytest.mark.parametrize(
    "line", [b"NOOP\0", b"MAIL FROM:<a\rb@x>", b"NOOP\t", b"\x80\x81", b"RCPT TO:<\xff@x>", b"NOOP \x7f"]
)
def test_lines_that_are_not_text(line: bytes) -> None:
    with pytest.raises(RefusalError) as caught:
        grammar.decode_line(line)
    assert caught.value.reply == replies.NOT_TEXT


def reply_to(parse: Callable[[], object]) -> Reply | None:
    try:
        parse()
    except RefusalError as refusal:
        return refusal.reply
    return None


def test_an_encoded_word_in_an_address_is_not_decoded() -> None:
    # The stock server made "evil@evil.test>"@x of it.
    assert mail("FROM:<=?utf-8?q?evil=40evil.test=3e?=@x>").reverse_path == "=?utf-8?q?evil=40evil.test=3e?=@x"


@given(
    st.one_of(
        st.binary(max_size=80),
        st.text(max_size=60).map(lambda t: f"MAIL FROM:<{t}>".encode("utf-8", "surrogatepass")),
    )
)
def test_any_line_is_parsed_or_refused_with_a_reply(line: bytes) -> None:
    def parse() -> None:
        verb, rest = grammar.decode_line(line)
        if verb == "MAIL":
            command = mail(rest)
            assert f"<{command.reverse_path}>" in line.decode()
            assert not any(c < " " for c in command.reverse_path)

    reply = reply_to(parse)
    assert reply is None or (500 <= reply.code < 560 and reply.status.startswith("5."))


_PARAMETERS = st.lists(
    st.tuples(
        st.sampled_from(["SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "NOTIFY", "ORCPT", "X", "AUTH"]),
        st.one_of(
            st.none(), st.text(alphabet="0123ABC;+=,<>\u00e4", max_size=6), st.sampled_from(["7BIT", "FULL", "NEVER"])
        ),
    ),
    max_size=4,
)


@given(_PARAMETERS)
def test_any_parameters_are_parsed_or_refused(parameters: list[tuple[str, str | None]]) -> None:
    rest = " ".join(name if value is None else f"{name}={value}" for name, value in parameters)
    is_twice = len({name for name, _ in parameters}) < len(parameters)
    for parse in (lambda: mail(f"FROM:<a@x.example> {rest}"), lambda: rcpt(f"TO:<a@x.example> {rest}")):
        reply = reply_to(parse)
        assert reply in (None, replies.BAD_PARAMETER, replies.UNKNOWN_PARAMETER, replies.NEEDS_SMTPUTF8)
        assert reply is not None or not is_twice
