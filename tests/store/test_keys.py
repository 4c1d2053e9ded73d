from __future__ import annotations

import base64
import json
import pickle

import pytest

from orchestra_graph.errors import BadKeys
from orchestra_graph.store.keys import Keys
from orchestra_graph.store.sealed import key_of, parts_of, sealed_text, with_names

ONE, TWO = bytes(range(32)), b"2" * 32


def in_base64(secret: bytes) -> str:
    return base64.b64encode(secret).decode()


def test_keys_show_their_ids_only() -> None:
    keys = Keys({"a": ONE, "b": TWO}, use="b")
    assert repr(keys) == "<keys b, a; b writes>"
    assert keys.ids == ("b", "a")
    with pytest.raises(TypeError, match="secrets"):
        pickle.dumps(keys)


def test_what_is_made_of_a_key_is_for_one_purpose() -> None:
    keys = Keys({"a": ONE, "b": TWO}, use="a")
    made = {keys.derived(key, purpose) for key in "ab" for purpose in ("values", "names")}
    assert len(made) == 4
    assert {len(secret or b"") for secret in made} == {32}
    assert ONE not in made
    assert keys.derived("c", "values") is None


@pytest.mark.parametrize(
    "text", [f"a:{in_base64(ONE)}, b:{in_base64(TWO)}", json.dumps({"a": in_base64(ONE), "b": in_base64(TWO)})]
)
def test_keys_are_read_from_a_variable_and_the_first_one_writes(text: str) -> None:
    keys = Keys.of(text)
    assert keys.ids == ("a", "b")
    assert keys.derived("a", "x") == Keys({"a": ONE}, use="a").derived("a", "x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no key in it"),
        ("{}", "no key in it"),
        ("{", "no JSON"),
        ('{"a": 1}', "a text in base64"),
        (in_base64(ONE), "has no id"),
        ("a:hidden!", "not in base64"),
        ("a:" + in_base64(b"hidden" * 3), "18 bytes; 32 random bytes"),
        ("a b:" + in_base64(ONE), "no id of a key"),
    ],
)
def test_what_is_no_key_is_refused_without_saying_it(text: str, says: str) -> None:
    with pytest.raises(BadKeys, match=says) as refused:
        Keys.of(text)
    assert "hidden" not in str(refused.value)
    assert in_base64(ONE)[:12] not in str(refused.value)


def test_the_key_that_writes_is_one_of_them() -> None:
    with pytest.raises(BadKeys, match=r"no key 'b' to write with \(there is 'a'\)"):
        Keys({"a": ONE}, use="b")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sealed:1:2026:AAAA", "2026"),
        ("sealed:1::AAAA", None),
        ("sealed:1:2026", None),
        ("sealed:1:\x1b[31m:AAAA", None),
        ("sealed:1:" + "x" * 65 + ":AAAA", None),
        ("sealed:2:2026:AAAA", None),
        ('{"a": 1}', None),
        ("", None),
    ],
)
def test_the_key_of_a_value_is_read_without_a_key(text: str, found: str | None) -> None:
    assert key_of(text) == found


def test_the_names_of_large_values_are_no_part_of_what_is_encrypted() -> None:
    sealed = sealed_text("2026", "AAAA")
    assert parts_of(sealed) == parts_of(with_names(sealed, {"n", "m"})) == ("2026", "AAAA")
    assert with_names(sealed, set()) == sealed
