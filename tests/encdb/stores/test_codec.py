"""Messages as bytes: round trips, known answers, and hostile bytes that become nothing."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import itertools
import json
import re
import tracemalloc
import typing
from pathlib import Path

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encdb import errors, wire
from encdb.errors import EncdbError, StoreUnavailable
from encdb.stores.codec import (
    FRAME_BYTES,
    NUMBERS,
    Answer,
    Call,
    FrameReader,
    Malformed,
    WrongVersion,
    decode,
    decode_error,
    decode_framed,
    decode_from,
    encode,
    encode_error,
    frames,
)
from encdb.stores.codec.outline import Outline
from encdb.stores.codec.schema import PIECE_BYTES, coding
from tests.fixtures.messages import ANY, MESSAGES

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
KNOWN = json.loads((VECTORS / "wire.json").read_text(encoding="ascii"))


def body(*messages):
    return b"".join(encode(messages))


def framed(*messages, prefix=b""):
    return b"".join(frames(prefix, encode(messages)))


# --- Round trips -----------------------------------------------------------------------------------


def test_every_message_of_the_wire_has_a_number():
    named = {kind for alias in (wire.Request, wire.Response) for kind in typing.get_args(alias)}
    assert set(NUMBERS) == named
    assert len(set(NUMBERS.values())) == len(NUMBERS)


@pytest.mark.parametrize("name", MESSAGES)
@settings(max_examples=25)
@given(data=st.data())
def test_a_message_comes_back(name, data):
    message = data.draw(MESSAGES[name])
    encoded = body(message)
    assert decode(encoded) == [message]
    # One representation only: what is decoded encodes to the same bytes.
    assert body(*decode(encoded)) == encoded


@settings(max_examples=40)
@given(st.lists(ANY, max_size=6))
def test_several_messages_come_back_through_frames(messages):
    data = framed(*messages)
    assert decode_framed(data) == messages
    assert decode_from(io.BytesIO(data).read) == messages


def large_messages():
    blobs = tuple(bytes([n % 251]) * (3000 + n) for n in range(900))
    writer = bytes(16)
    deltas = tuple(wire.DeltaBlob(writer, n, blobs[n % 900]) for n in range(1, 600))
    heads = wire.TableHeads(7, 1, bytes(2 * FRAME_BYTES), (), deltas, ((writer, 599, 599),))
    return [
        wire.Blobs(7, tuple(range(900)), blobs),
        wire.Ids(7, tuple(range(400_000))),
        wire.Keys(7, tuple((n.to_bytes(8, "big"), n) for n in range(100_000))),
        wire.Heads(False, bytes(16), 1, bytes(16), 3, bytes(PIECE_BYTES), (), (heads, heads)),
        wire.Stage(7, 1, tuple(enumerate(blobs)), ((5, bytes(3 * FRAME_BYTES)),)),
        wire.Commit(
            bytes(16), 1, (wire.TableChange(7, 0, tuple(enumerate(blobs)), delta=deltas[0]),)
        ),
    ]


@pytest.mark.parametrize("message", large_messages(), ids=lambda one: type(one).__name__)
def test_a_large_message_travels_in_frames(message):
    chunks = list(frames(b"head", encode([message])))
    assert len(chunks) > 1
    assert max(map(len, chunks)) <= FRAME_BYTES + 16
    # Pieces are what encoding all at once would give, and no piece but a single blob is long.
    pieces = list(encode([message]))
    whole = cbor2.loads(b"".join(pieces))
    assert cbor2.dumps(whole) == b"".join(pieces)
    longest_blob = max(map(len, re.findall(rb"\x00+", b"".join(pieces))), default=0)
    assert max(map(len, pieces)) <= max(2 * PIECE_BYTES, longest_blob + 16)
    data = b"".join(chunks)[len(b"head") :]
    assert decode_framed(data) == [message]


def test_a_reader_asks_for_one_frame_at_a_time():
    asked = []
    data = io.BytesIO(framed(wire.Blobs(7, (1, 2, 3), (bytes(FRAME_BYTES),) * 3)))

    def read(count):
        asked.append(count)
        return data.read(count)

    decode_from(read)
    assert max(asked) <= FRAME_BYTES


# --- Known answers ---------------------------------------------------------------------------------


def field_value(plain, hint):
    """A field's value from its JSON."""
    if isinstance(plain, dict):
        return bytes.fromhex(plain["hex"])
    if not isinstance(plain, list):
        return plain
    arguments = [one for one in typing.get_args(hint) if one is not type(None)]
    if typing.get_origin(hint) is not tuple and not dataclasses.is_dataclass(hint):
        return field_value(plain, arguments[0])
    if dataclasses.is_dataclass(hint):
        return instance(hint, plain)
    inner = [arguments[0]] * len(plain) if arguments[-1] is Ellipsis else arguments
    return tuple(field_value(one, kind) for one, kind in zip(plain, inner, strict=True))


def instance(kind, fields):
    hints = typing.get_type_hints(kind)
    names = [one.name for one in dataclasses.fields(kind)]
    assert len(names) == len(fields)
    return kind(
        **{name: field_value(one, hints[name]) for name, one in zip(names, fields, strict=True)}
    )


@pytest.mark.parametrize(
    "vector", KNOWN["messages"], ids=[one["class"] for one in KNOWN["messages"]]
)
def test_known_messages(vector):
    message = instance(getattr(wire, vector["class"]), vector["fields"])
    assert body(message).hex() == vector["body"]
    assert decode(bytes.fromhex(vector["body"])) == [message]


def test_every_class_has_a_known_answer():
    assert {one["class"] for one in KNOWN["messages"]} == {kind.__name__ for kind in NUMBERS}


def test_known_heads_and_errors():
    call, answer, error = KNOWN["call"], KNOWN["answer"], KNOWN["error"]
    packed = Call(bytes.fromhex(call["session"]), call["number"], call["snapshot"])
    assert packed.pack().hex() == call["head"]
    assert Call.unpack(bytes.fromhex(call["head"])) == packed
    ids = (bytes.fromhex(answer["request"]), bytes.fromhex(answer["session"]))
    assert Answer(*ids).pack().hex() == answer["head"]
    assert Answer.unpack(bytes.fromhex(answer["head"])) == Answer(*ids)
    raised = StoreUnavailable(error["message"], code=error["code"])
    assert b"".join(frames(b"", [encode_error(raised)])).hex() == error["framed"]
    both = [wire.Staged(), wire.Claimed(granted=True)]
    assert framed(*both).hex() == KNOWN["framed"]


def test_the_vectors_are_computed_independently():
    source = (VECTORS / "make_wire.py").read_text(encoding="utf-8")
    assert not re.search(r"^\s*(from|import) (encdb|proxy|indexes|cbor2)", source, re.MULTILINE)
    spec = importlib.util.spec_from_file_location("make_wire", VECTORS / "make_wire.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert maker.wire() == KNOWN


# --- Hostile bytes ---------------------------------------------------------------------------------

LEASE = [17, 7, "ordinal", 1]


@pytest.mark.parametrize(
    "plain",
    [
        [[*LEASE, 0]],  # a field too many
        [LEASE[:-1]],  # one too few
        [[17, 7, "ordinals", 1]],  # an unknown word
        [[17, 7, b"ordinal", 1]],  # bytes for text
        [[17, True, "ordinal", 1]],  # a truth value for a number
        [[17, 7.0, "ordinal", 1]],
        [[17, 1 << 63, "ordinal", 1]],
        [[17, -2, "ordinal", 1]],
        [[17, None, "ordinal", 1]],
        [[17, [7], "ordinal", 1]],
        [[True, 7, "ordinal", 1]],  # a truth value for the class
        [["Lease", 7, "ordinal", 1]],
        [[999]],
        [[]],
        [17],
        17,
        {1: LEASE},
        [{17: 7}],
        [[2, 7, [[1]]]],
        [[2, 7, "12"]],
        [[2, 7, {}]],
        [[18, 7, 1, [[1]], []]],  # pairs that are none
        [[18, 7, 1, [[1, b"", 2]], []]],
        [[18, 7, 1, [[b"", 1]], []]],
        [[5, 7, [1]]],
        [[7]] * 4097,
    ],
    ids=repr,
)
def test_what_is_no_message_is_refused(plain):
    with pytest.raises(Malformed):
        decode(cbor2.dumps(plain))


def test_constructors_have_the_last_word():
    """What has the right types still has to make sense."""
    for plain in (
        [17, 7, "ordinal", 0],
        [22, 7, 1, [[1, b""], [1, b""]], [], []],
        [20, 7, "merge", b"", 9],
    ):
        with pytest.raises(EncdbError):
            decode(cbor2.dumps([plain]))


def test_lists_are_sorted_by_the_constructors():
    assert decode(cbor2.dumps([[2, 7, [3, 1, 2, 1]]])) == [wire.ReadPages(7, (1, 2, 3))]


def test_tags_are_refused():
    for tag in (*range(300), 1004, 43000, 55799, 65535):
        head = b"\xd9" + tag.to_bytes(2, "big")
        for inner in (7, b"\x07", "7", [7, 1], [[17, 7, "ordinal", 1]], {}):
            for data in (b"\x81\x84\x11%s\x67ordinal\x01", b"%s"):
                with pytest.raises(Malformed):
                    decode(data % (head + cbor2.dumps(inner)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x81",
        b"\x9f\xff",  # indefinite
        b"\x81\x9f\x08\xff",
        b"\x81\x82\x08\x5f\x41a\xff",
        b"\x81" * 100_000,  # deep
        b"\x9b" + b"\xff" * 8,  # an array that nothing could hold
        b"\x81\x83\x02\x07\x9b\x00\x00\x00\xff\xff\xff\xff\xff",
        b"\x5b\x7f" + b"\xff" * 7,
        b"\x81\xf7",
        b"\x81\xe0",
        b"\xa1\x80\x00",
        b"\x81\x81\x08\x00",  # something after the body
        b"\xff",
    ],
    ids=lambda data: data[:12].hex(),
)
def test_bytes_that_are_no_body_are_refused(data):
    with pytest.raises(Malformed):
        decode(data)
    with pytest.raises(Malformed):
        decode_framed(len(data).to_bytes(4, "big") + data + bytes(4))
    # In two frames, so that it is read as a stream.
    parts = [one for one in (data[:1], data[1:]) if one]
    stream = b"".join(len(one).to_bytes(4, "big") + one for one in parts) + bytes(4)
    with pytest.raises(Malformed):
        decode_framed(stream)


def attempted(data):
    """Decoding raises nothing else, whatever it is given."""
    for run in (decode, decode_framed, lambda given: decode_from(io.BytesIO(given).read)):
        try:
            messages = run(data)
        except (Malformed, EncdbError):
            continue
        assert body(*messages)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_random_bytes(data):
    attempted(data)


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary(max_size=40) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=30,
)


@settings(max_examples=100)
@given(st.sampled_from(sorted(NUMBERS.values())), st.lists(plain_values, max_size=9))
def test_random_fields(number, fields):
    attempted(cbor2.dumps([[number, *fields]]))


@settings(max_examples=200)
@given(ANY, st.data())
def test_damaged_messages(message, data):
    encoded = bytearray(framed(message))
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    attempted(bytes(encoded))


@given(ANY, st.data())
def test_a_body_cut_short_is_refused(message, data):
    encoded = framed(message)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    with pytest.raises(Malformed):
        decode_framed(cut)
    with pytest.raises(Malformed):
        decode_framed(encoded + b"\x00")


def test_frames_have_a_longest():
    with pytest.raises(Malformed):
        decode_framed((FRAME_BYTES + 1).to_bytes(4, "big") + bytes(FRAME_BYTES + 1) + bytes(4))
    reader = FrameReader(io.BytesIO(b"\x00\x00\x00\x05hello\x00\x00\x00\x00").read, 4)
    with pytest.raises(Malformed):
        reader.readall()


# --- Memory ----------------------------------------------------------------------------------------

MEMORY = 1 << 20


@pytest.mark.parametrize("item", [b"\x80", b"\x81\x80", b"\x82\x00\x40", b"\x19\x01\x00", b"\x40"])
def test_a_body_that_would_grow_is_refused_before_it_does(item):
    """A million of the smallest values are a megabyte on the wire and much more in memory."""
    count = (1 << 20) // len(item)
    data = b"".join(frames(b"", [b"\x9a" + count.to_bytes(4, "big"), item * count]))
    tracemalloc.start()
    with pytest.raises(Malformed):
        decode_framed(data, MEMORY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(data) + 3 * MEMORY


@pytest.mark.parametrize(
    "data", [b"\xa0", b"\xc0\x00", b"\xf9\x00\x00", b"\x9f\xff", b"\x5f\xff", b"\x1c"]
)
def test_what_no_message_has_ends_the_account(data):
    with pytest.raises(Malformed):
        Outline(MEMORY).take(data + bytes(9))


@settings(max_examples=60)
@given(st.lists(ANY, min_size=1, max_size=3), st.data())
def test_the_account_does_not_depend_on_the_parts(messages, data):
    whole = body(*messages)
    outline, parts = Outline(MEMORY), Outline(MEMORY)
    outline.take(whole)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=20)))
    for start, end in itertools.pairwise([0, *cuts, len(whole)]):
        parts.take(whole[start:end])
    assert parts._left == outline._left == MEMORY - _memory(cbor2.loads(whole))
    assert decode_from(io.BytesIO(framed(*messages)).read, MEMORY) == messages


def _memory(plain):
    if type(plain) is list:
        return 112 + sum(map(_memory, plain))
    return 56 if type(plain) in (bytes, str) else 40


# --- Heads and errors ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Call, Answer])
def test_heads_are_checked(kind):
    good = Call(bytes(16), 1).pack() if kind is Call else Answer(bytes(16)).pack()
    assert len(good) == kind.LENGTH
    with pytest.raises(WrongVersion):
        kind.unpack(b"\x02" + good[1:])
    for bad in (b"", good[:-1], good + b"\x00"):
        with pytest.raises(Malformed):
            kind.unpack(bad)
    with pytest.raises(Malformed):
        Answer.unpack(Answer(bytes(16)).pack()[:-1] + b"\x02")


@pytest.mark.parametrize(
    "kind", ["StoreUnavailable", "FormatError", "TamperError", "DataError", "InternalError"]
)
def test_errors_come_back(kind):
    error = getattr(errors, kind)("the store is locked", code="E_STORE_LOCKED")
    back = decode_error(encode_error(error))
    assert (type(back), back.code, back.message) == (type(error), error.code, error.message)
    assert back.fix == errors.CODES["E_STORE_LOCKED"].fix


def test_a_server_cannot_raise_what_no_store_raises():
    for plain in (
        ["KeyringError", "E_PASSPHRASE_WRONG", "x"],
        ["KeyboardInterrupt", "E_STORE_LOCKED", "x"],
        ["StoreUnavailable", "E_NO_SUCH", "x"],
        ["StoreUnavailable", "E_STORE_LOCKED", b"x"],
        ["StoreUnavailable", "E_STORE_LOCKED"],
        ["StoreUnavailable", "E_STORE_LOCKED", "x" * 1001],
        {},
    ):
        with pytest.raises(Malformed):
            decode_error(cbor2.dumps(plain))
    with pytest.raises(Malformed):
        decode_error(b"\xff")


def test_an_error_cannot_write_on_the_terminal():
    plain = ["StoreUnavailable", "E_STORE_LOCKED", "a\x1b[2Jb\u202ec\nd"]
    assert decode_error(cbor2.dumps(plain)).message == "a[2Jbcd"


def test_unknown_annotations_are_noticed():
    with pytest.raises(TypeError):
        coding(float)
