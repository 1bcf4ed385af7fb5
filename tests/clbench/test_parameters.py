"""Parameters: wrong names and values are refused with a sentence, and fields describe themselves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError, field_validator

from clbench.errors import UsageError
from clbench.parameters import LATER, Fraction, NaturalInt, Parameters, PositiveFloat, PositiveInt


class Sample(Parameters):
    """One field of each kind."""

    lr: PositiveFloat = Field(0.1, description="learning rate")
    epochs: PositiveInt = Field(1, description="passes")
    memory_size: NaturalInt = 0
    share: Fraction = 0.0
    optimizer: Literal["adam", "sgd"] = "adam"
    online: bool = False
    hidden: Annotated[list[PositiveInt], Field(min_length=1)] = Field([64, 64])
    angles: list[float] | None = None
    order: Literal["shuffled", "natural"] | list[int] = "shuffled"
    kind: Literal["only"] = "only"


def refusal(**values: Any) -> str:
    """Return the sentence that refuses the values."""
    with pytest.raises(UsageError) as caught:
        Sample.parse(values, "strategy 'sample'")
    return str(caught.value)


def test_defaults_and_given_values() -> None:
    assert Sample.parse({}, "x").model_dump()["epochs"] == 1
    parsed = Sample.parse({"lr": 1, "hidden": [8], "order": [1, 0], "online": True}, "x")
    assert (parsed.lr, parsed.hidden, parsed.order, parsed.online) == (1.0, [8], [1, 0], True)
    assert isinstance(parsed.lr, float)  # 1 and 1.0 must not differ in a hash
    assert parsed.model_dump(mode="json") == Sample.parse(
        {"lr": 1.0, "hidden": [8], "order": [1, 0], "online": True}, "x"
    ).model_dump(mode="json")


@pytest.mark.parametrize(
    ("key", "meant"), [("epoch", "epochs"), ("LR", "lr"), ("memorysize", "memory_size")]
)
def test_unknown_key_gets_a_suggestion(key: str, meant: str) -> None:
    sentence = refusal(**{key: 1})
    assert sentence.startswith("strategy 'sample': unknown parameter")
    assert repr(key) in sentence
    assert f"Did you mean {meant!r}?" in sentence
    assert "hidden" in sentence  # the allowed names are listed


def test_key_far_from_any_gets_no_suggestion() -> None:
    sentence = refusal(xyzzy=1)
    assert "Did you mean" not in sentence
    assert "memory_size" in sentence


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("lr", "fast", "number"),
        ("lr", "0.1", "number"),
        ("lr", True, "number"),
        ("lr", None, "number"),
        ("lr", 0, "greater than 0"),
        ("lr", -1.0, "greater than 0"),
        ("lr", float("nan"), "finite"),
        ("lr", float("inf"), "finite"),
        ("epochs", True, "integer"),
        ("epochs", 1.0, "integer"),
        ("epochs", "1", "integer"),
        ("epochs", 0, "greater than 0"),
        ("memory_size", -1, "greater than or equal to 0"),
        ("share", 1, "less than 1"),
        ("share", -0.1, "greater than or equal to 0"),
        ("share", True, "number"),
        ("optimizer", "adamw", "'adam' or 'sgd'"),
        ("online", 1, "boolean"),
        ("online", "true", "boolean"),
        ("hidden", 64, "list"),
        ("hidden", [64, 0], "greater than 0"),
        ("hidden", [64, True], "integer"),
        ("angles", [float("nan")], "finite"),
        ("angles", [True], "number"),
        ("order", "random", "'shuffled' or 'natural'"),
        ("order", ["a"], "integer"),
    ],
)
def test_wrong_value_is_refused_with_what_is_allowed(key: str, value: Any, allowed: str) -> None:
    sentence = refusal(**{key: value})
    assert key in sentence
    assert allowed in sentence
    assert "\n" not in sentence


def test_empty_list_is_refused() -> None:
    assert refusal(hidden=[]) == "strategy 'sample': hidden must have at least 1 item, not []."


@pytest.mark.parametrize(
    ("values", "hinted"),
    [
        ({"lr": [0.1, 0.2]}, True),
        ({"optimizer": ["adam", "sgd"]}, True),
        ({"hidden": []}, False),
        ({"hidden": [64, 0]}, False),
        ({"order": ["random"]}, False),
        ({"lr": "fast"}, False),
    ],
)
def test_a_list_in_place_of_a_value_points_to_vary(values: dict[str, Any], hinted: bool) -> None:
    assert ("[vary]" in refusal(**values)) == hinted


def test_a_validators_own_sentence_and_a_missing_value_read_well() -> None:
    class Strange(Parameters):
        size: int
        even: int = 0

        @field_validator("even")
        @classmethod
        def _check(cls, value: int) -> int:
            if value % 2:
                raise ValueError("odd numbers have no half")
            return value

    with pytest.raises(UsageError) as caught:
        Strange.parse({"even": 1}, "x")
    assert str(caught.value) == "x: size: Field required. even: odd numbers have no half."


def test_every_wrong_field_is_named() -> None:
    sentence = refusal(lr=0, epochs="many", optimiser="sgd")
    assert all(word in sentence for word in ("lr", "epochs", "'many'", "Did you mean 'optimizer'"))


def test_a_field_of_several_types_is_named_once() -> None:
    assert refusal(order="random").count("order must be") == 1


def test_values_are_frozen() -> None:
    parsed = Sample.parse({}, "x")
    with pytest.raises(ValidationError, match="frozen"):
        parsed.lr = 0.5


def test_defaults_are_not_shared() -> None:
    Sample.parse({}, "x").hidden.append(1)
    assert Sample.parse({}, "x").hidden == [64, 64]


def test_table() -> None:
    rows = {row["name"]: row for row in Sample.table()}
    assert list(rows) == list(Sample.model_fields)
    assert rows["lr"] == {
        "name": "lr",
        "type": "number > 0",
        "default": "0.1",
        "meaning": "learning rate",
    }
    assert {name: row["type"] for name, row in rows.items()} == {
        "lr": "number > 0",
        "epochs": "integer > 0",
        "memory_size": "integer >= 0",
        "share": "number >= 0, < 1",
        "optimizer": "adam | sgd",
        "online": "true | false",
        "hidden": "list of integer > 0",
        "angles": "list of number | none",
        "order": "shuffled | natural | list of integer",
        "kind": "only",
    }
    assert {name: row["default"] for name, row in rows.items() if name != "lr"} == {
        "epochs": "1",
        "memory_size": "0",
        "share": "0.0",
        "optimizer": "adam",
        "online": "false",
        "hidden": "[64, 64]",
        "angles": "none",
        "order": "shuffled",
        "kind": "only",
    }


class Grown(Sample):
    """A field came later."""

    dropout: float = Field(0.0, json_schema_extra=LATER)


def test_a_later_field_leaves_specifications_as_they_were_until_it_is_used() -> None:
    assert Grown.parse({}, "x").specified() == Sample.parse({}, "x").specified()
    assert Grown.parse({"dropout": 0.0}, "x").specified() == Sample.parse({}, "x").specified()
    used = Grown.parse({"dropout": 0.5}, "x").specified()
    assert used == Sample.parse({}, "x").specified() | {"dropout": 0.5}
    assert Grown.parse(used, "x").dropout == 0.5


def test_the_word_none_stands_for_null_where_that_is_allowed() -> None:
    assert Sample.parse({"angles": "none"}, "x").angles is None
    assert "epochs must" in refusal(epochs="none")
