"""Typed, validated parameters: hyper-parameters of strategies and options of scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from clbench.errors import UsageError, unknown

PositiveInt = Annotated[int, Field(gt=0)]
NaturalInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Parameters(BaseModel):
    """Base of every parameter set: unknown keys, NaN, and ``true`` for a number are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    @classmethod
    def parse(cls, values: Mapping[str, Any], owner: str) -> Self:
        """Validate ``values``.

        Args:
            values: Field names and values, as parsed from TOML.
            owner: Who the parameters belong to, for the message (``"strategy 'replay'"``).

        Raises:
            UsageError: Names every wrong field and what is allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            by_field: dict[str, list[ErrorDetails]] = {}
            for detail in error.errors():
                by_field.setdefault(str(detail["loc"][0]), []).append(detail)
            sentences = [cls._sentence(*item) for item in by_field.items()]
            raise UsageError(f"{owner}: " + " ".join(sentences)) from None

    @classmethod
    def _sentence(cls, field: str, details: list[ErrorDetails]) -> str:
        if details[0]["type"] == "extra_forbidden":
            return unknown("parameter", field, cls.model_fields)
        messages = [detail["msg"].removeprefix("Value error, ") for detail in details]
        wanted = [_wanted(message) for message in messages]
        if not all(wanted):  # as "Field required" or a validator's own words
            return f"{field}: {'; '.join(messages)}."
        listed = " or ".join(wanted).replace(" or be ", " or ")
        return f"{field} must {listed}, not {details[0]['input']!r}."

    @classmethod
    def table(cls) -> list[dict[str, str]]:
        """Return one row per field: name, type, default, allowed range and meaning."""
        schema = cls.model_json_schema()
        return [
            {
                "name": name,
                "type": _type_words(schema["properties"][name]),
                "default": _default_words(field.default),
                "meaning": field.description or "",
            }
            for name, field in cls.model_fields.items()
        ]


def _wanted(message: str) -> str:
    """Return what a message of pydantic asks for: "be greater than 0", "have at least 1 item"."""
    return message.partition(" should ")[2].partition(" after validation")[0]


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
