"""The text format reader against the protobuf runtime's own printer, and what it refuses."""

import functools

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from weights_convert.message import Message, Word
from weights_convert.textformat import MAX_DEPTH, MAX_LENGTH, decode, parse

KINDS = {"i": 3, "f": 1, "s": 9, "b": 8, "m": 11}  # int64, double, string, bool, message


@functools.cache
def _tree_class():
    file = descriptor_pb2.FileDescriptorProto(name="tree.proto", package="t", syntax="proto2")
    tree = file.message_type.add(name="Tree")
    for number, (name, kind) in enumerate(KINDS.items(), start=1):
        field = tree.field.add(name=name, number=number, label=3, type=kind)
        if name == "m":
            field.type_name = ".t.Tree"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Tree"))


LEAVES = {
    "i": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    "f": st.lists(st.floats(allow_nan=False), max_size=3),
    "s": st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=3),
    "b": st.lists(st.booleans(), max_size=2),
}
TREES = st.recursive(
    st.fixed_dictionaries(LEAVES),
    lambda inner: st.fixed_dictionaries(LEAVES | {"m": st.lists(inner, max_size=3)}),
    max_leaves=8,
)


def _fill(message, tree):
    for name, values in tree.items():
        for value in values:
            if name == "m":
                _fill(message.m.add(), value)
            else:
                getattr(message, name).append(value)
    return message


def _check(message: Message, tree):
    assert message.integers("i") == tree["i"]
    assert message.numbers("f") == tree["f"]
    assert message.strings("s") == tree["s"]
    assert [str(value) for value in message._values("b")] == [str(b).lower() for b in tree["b"]]
    nested = message.messages("m")
    assert len(nested) == len(tree.get("m", []))
    for inner, expected in zip(nested, tree.get("m", []), strict=True):
        _check(inner, expected)


@settings(max_examples=150, deadline=None)
@given(tree=TREES, one_line=st.booleans(), pointy=st.booleans(), utf8=st.booleans())
def test_reads_what_protobuf_prints(tree, one_line, pointy, utf8):
    text = text_format.MessageToString(
        _fill(_tree_class()(), tree), as_one_line=one_line, pointy_brackets=pointy, as_utf8=utf8
    )
    _check(parse(text), tree)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab:{}<>[]\"'\\0129.-+eExf#\n ,;é\0"), max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        problem = f"line: {parse(text).line}"
    except ValueError as error:
        problem = str(error)
    assert problem.startswith("line")


def test_everything_the_format_allows():
    message = parse(
        "# a comment\n"
        "size: [1, 2, 0x10, 010];  rate: -2.5e-1f, half: .5 empty: []\n"
        "name: 'single' \"double\\n\\x41\\102\" # two pieces are one string\n"
        "kind: MAX minus: -inf nothing: nan\n"
        "inner < deep { flag: true } > inner: { flag: false }\n"
        "[caffe.extension] { a: 1 }\n"
    )
    assert message.integers("size") == [1, 2, 16, 8]
    assert message.number("rate", 0.0) == -0.25
    assert message.number("half", 0.0) == 0.5
    assert message.integers("empty") == []
    assert message.string("name") == "singledouble\nAB"
    assert message.word("kind") == Word("MAX")
    assert message.number("minus", 0.0) == float("-inf")
    first, second = message.messages("inner")
    assert first.message("deep").flag("flag", False) is True
    assert second.flag("flag", True) is False
    assert message.unasked() == ["nothing", "[caffe.extension]"]
    assert second.line == 5


def test_names_that_are_not_utf8_are_latin1():
    assert decode("fire/é".encode()) == "fire/é"
    assert decode("fire/é".encode("latin-1")) == "fire/é"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: 1\nb", r"line 2: expected ':' or '\{' after 'b'"),
        ("a {\n b: 1", "line 1: the message that opens here never ends"),
        ("a { b: 1 >", "line 1: expected a field's name, found '>'"),
        ("a: }", "line 1: expected a value, found '}'"),
        ("a: -b", "line 1: '-b' is no value"),
        ("a: 3x3", "line 1: cannot read '3x3'"),
        ('a: "open\n"', "line 1: cannot read '\"open"),
        ("a: [1, 2", "line 1: the list of 'a' never ends"),
        ("\n\n-a: 1", "line 3: expected a field's name, found '-a'"),
        ("1: 1", "line 1: expected a field's name, found '1'"),
        ("a {" * (MAX_DEPTH + 1), f"nested deeper than {MAX_DEPTH} messages"),
        ("a {" * 10**6, f"nested deeper than {MAX_DEPTH} messages"),
        ("a: " + "1" * 65, "a number of 65 digits"),
        ("a: '" + "x" * MAX_LENGTH + "'", f"a name or value of {MAX_LENGTH + 2} letters"),
    ],
)
def test_refuses(text, error):
    with pytest.raises(ValueError, match=error):
        parse(text)


def test_refuses_more_tokens_than_any_network_has(monkeypatch):
    monkeypatch.setattr("weights_convert.textformat.MAX_TOKENS", 300)
    assert parse("a:1 " * 99).integers("a") == [1] * 99
    with pytest.raises(ValueError, match="line 1: more than 300 names, values and marks"):
        parse("a:1 " * 100)


@pytest.mark.parametrize(
    ("text", "read", "error"),
    [
        ("a: 1", lambda m: m.message("a"), r"a must be a message \{ ... \}, got 1"),
        ("a {}", lambda m: m.integer("a", 0), "a must be an integer, got a message"),
        ("a: 1.5", lambda m: m.integer("a", 0), "a must be an integer, got 1.5"),
        ("a: 1 a: 2", lambda m: m.integer("a", 0), "a is written 2 times, it may be written once"),
        ("a: 9223372036854775808", lambda m: m.integers("a"), "does not fit 64 bits"),
        ("a: 'x'", lambda m: m.number("a", 0.0), "a must be a number, got 'x'"),
        ("a: WORD", lambda m: m.string("a"), "a must be a string, got 'WORD'"),
        ("a: yes", lambda m: m.flag("a", True), "a must be true or false, got 'yes'"),
        ("a: 2", lambda m: m.choice("a", ("X", "Y"), "X"), "a must be one of X, Y, got 2"),
        ("a: Z", lambda m: m.choice("a", ("X", "Y"), "X"), "a must be one of X, Y, got 'Z'"),
    ],
)
def test_a_field_of_another_type_is_refused(text, read, error):
    with pytest.raises(ValueError, match=error):
        read(parse(text))


def test_a_choice_may_be_its_number():
    assert parse("a: 1").choice("a", ("X", "Y"), "X") == "Y"
    assert parse("").choice("a", ("X", "Y"), "X") == "X"
