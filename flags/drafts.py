"""A flag that is to be made, as a program or a form sends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from flags.edits import stored_variant
from flags.errors import InvalidInputError
from flags.instructions import Grammar, Instant, Metadata, VariantName
from flags.plain import (
    MAX_DESCRIPTION_LENGTH,
    MAX_NAME_LENGTH,
    MAX_NESTING,
    MAX_VARIANTS,
    check_flag_key,
    check_name,
    check_plain,
)
from flags.problems import as_input_error


class VariantDraft(Grammar):
    """A variant's value; ``on`` says whether serving it means that the feature is on."""

    value: Any
    on: bool | None = None


class FlagDraft(Grammar):
    """A flag to make. Without ``type`` it is boolean, with variants ``on`` and ``off``."""

    key: str
    type: Literal["boolean", "string", "integer", "float", "object"] = "boolean"
    name: Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH)] = ""
    description: Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION_LENGTH)] = ""
    owner: Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH)] = ""
    client: bool = False
    expires: Instant | None = None
    kind: Literal["temporary", "permanent"] = "temporary"
    metadata: Metadata = Field(default_factory=dict)
    variants: Annotated[dict[VariantName, VariantDraft], Field(max_length=MAX_VARIANTS)] = Field(
        default_factory=dict
    )
    off: VariantName | None = Field(
        default=None,
        description="Left out: the variant that is not on, else the first. Null: caller's default.",
    )
    default: VariantName | None = Field(
        default=None, description="Left out: the first variant. Null: caller's default."
    )

    def stored_variants(self) -> dict[str, Any]:
        """Give the variants as they are stored, their values in the flag's type."""
        if not self.variants:
            if self.type != "boolean":
                raise InvalidInputError(
                    f"a flag of type {self.type} needs its variants",
                    field="variants",
                    hint='such as {"control": {"value": …}, "new": {"value": …}}',
                )
            given = {"on": VariantDraft(value=True), "off": VariantDraft(value=False)}
        else:
            given = self.variants
        stored = {}
        for name, variant in given.items():
            check_name(name, f"variants.{name}", what="variant")
            stored[name] = stored_variant(
                self.type, variant.value, variant.on, f"variants.{name}.value"
            )
        for name in ("off", "default"):
            chosen = getattr(self, name)
            if chosen is not None and chosen not in stored:
                raise InvalidInputError(
                    f"the flag has no variant {chosen!r}",
                    field=name,
                    hint=f"its variants are {', '.join(stored)}",
                )
        return stored

    def ends(self, off: str, default: str) -> tuple[str | None, str | None]:
        """Give the off variant and the default: those named, else the ones given here."""
        return (
            self.off if "off" in self.model_fields_set else off,
            self.default if "default" in self.model_fields_set else default,
        )


def parse_draft(document: Any) -> FlagDraft:
    """Read a flag to make.

    Raises
    ------
    InvalidInputError
        With the path of the field and a hint.
    """
    if not isinstance(document, Mapping):
        raise InvalidInputError("a flag is a JSON object", hint='{"key": "checkout-v2"}')
    given = dict(document)
    check_plain(given, "", max_nesting=MAX_NESTING + 3)
    try:
        draft = FlagDraft.model_validate(given)
    except ValidationError as error:
        raise as_input_error(error, given) from None
    check_flag_key(draft.key, "key")
    return draft
