"""Typed, validated parameters: hyper-parameters of strategies and options of scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from clbench.blame import blamed
from clbench.errors import UsageError, unknown

PositiveInt = Annotated[int, Field(gt=0)]
NaturalInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


LATER: dict[str, JsonValue] = {"later": True}
"""For `Field(json_schema_extra=…)` of a field that came later and whose default leaves every number as it was: at that
default it is left out of specifications, so that the results stored before keep their hash. The default is final."""


class Parameters(BaseModel):
    """Base of every parameter set: unknown keys, NaN, and ``true`` for a number are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
    noun: ClassVar[str] = "parameter"
    """What messages call a field."""
    on_streams: ClassVar[frozenset[str]] = frozenset()
    """Fields that do nothing where there are episodes."""
    on_episodes: ClassVar[frozenset[str]] = frozenset()
    """Fields that do nothing on a stream."""
    list_hint: ClassVar[str] = "; [vary] of a configuration takes a list of values to try"
    """What messages add where a list stands for a single value."""

    @classmethod
    def parse(cls, values: Mapping[str, Any], owner: str) -> Self:
        """Validate ``values``.

        Args:
            values: Field names and values, as parsed from TOML.
            owner: Who the parameters belong to, for the message (``"strategy 'replay'"``).

        Raises:
            UsageError: Names every wrong field and what is allowed.
        """
        values = {key: cls._none(key, value) for key, value in values.items()}
        with blamed(owner):
            try:
                return cls.model_validate(values)
            except ValidationError as error:
                raise UsageError(f"{owner}: {cls._sentences(error)}") from None

    @classmethod
    def _sentences(cls, error: ValidationError) -> str:
        by_field: dict[str, list[ErrorDetails]] = {}
        for detail in error.errors():
            # A validator of all fields at once names none.
            by_field.setdefault(str(detail["loc"][0]) if detail["loc"] else "", []).append(detail)
        return " ".join(cls._sentence(*item) for item in by_field.items())

    @classmethod
    def _none(cls, key: str, value: Any) -> Any:
        """Return None for the word ``none`` where a field may be None: TOML has no null."""
        field = cls.model_fields.get(key)
        optional = field is not None and type(None) in get_args(field.annotation)
        return None if optional and value == "none" else value

    def specified(self) -> dict[str, Any]:
        """Return what a specification records, as plain data: every field but `LATER` ones at their default."""
        later = {
            name
            for name, field in type(self).model_fields.items()
            if field.json_schema_extra == LATER and getattr(self, name) == field.default
        }
        return self.model_dump(mode="json", exclude=later)

    @classmethod
    def _sentence(cls, field: str, details: list[ErrorDetails]) -> str:
        if details[0]["type"] == "extra_forbidden":
            return unknown(cls.noun, field, cls.model_fields)
        messages = [detail["msg"].removeprefix("Value error, ") for detail in details]
        wanted = [_wanted(message) for message in messages]
        if not field or not all(wanted):  # as "Field required" or a validator's own words
            return (f"{field}: " if field else "") + f"{'; '.join(messages)}."
        listed = " or ".join(dict.fromkeys(wanted)).replace(" or be ", " or ")
        hint = cls.list_hint if all(map(_refuses_list, details)) else ""
        return f"{field} must {listed}, not {details[0]['input']!r}{hint}."

    @classmethod
    def table(cls) -> list[dict[str, str]]:
        """Return one row per field: name, type, default, allowed range and meaning."""
        schema = cls.model_json_schema()
        return [
            {
                "name": name,
                "type": _type_words(schema["properties"][name]),
                "default": "(required)" if field.is_required() else _default_words(field.default),
                "meaning": field.description or "",
            }
            for name, field in cls.model_fields.items()
        ]


def _wanted(message: str) -> str:
    """Return what a message of pydantic asks for: "be greater than 0", "have at least 1 item"."""
    return message.partition(" should ")[2].partition(" after validation")[0]


def _refuses_list(detail: ErrorDetails) -> bool:
    """Return whether a list was given where none may stand, rather than a wrong one."""
    return isinstance(detail["input"], list) and not detail["type"].startswith("too_")


def _default_words(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


_BOUNDS = {
    "exclusiveMinimum": "> {}",
    "minimum": ">= {}",
    "exclusiveMaximum": "< {}",
    "maximum": "<= {}",
}


def _type_words(schema: Mapping[str, Any]) -> str:
    """Return a JSON schema of one field in words, such as ``number > 0`` or ``sgd | adam``."""
    if "anyOf" in schema:
        return " | ".join(_type_words(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_type_words(schema['items'])}"
    words = {"null": "none", "boolean": "true | false"}.get(schema["type"], str(schema["type"]))
    bounds = [text.format(schema[key]) for key, text in _BOUNDS.items() if key in schema]
    return " ".join([words, ", ".join(bounds)]).strip()
