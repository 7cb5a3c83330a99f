"""Files and JSON that users hand in: read once, or refused with their name and place."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from web.cli.output import EXIT_ERROR, EXIT_USAGE, CommandError


def read_text(path: str) -> str:
    """Read a UTF-8 file."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(
            f"{path} is not UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from error
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error


def parse_json(text: str, what: str, *, exit_code: int = EXIT_ERROR, hint: str = "") -> Any:
    """Parse JSON; ``what`` names it in the complaint."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(
            f"{what} is not JSON: {error}", hint=hint or None, exit_code=exit_code
        ) from error
    except RecursionError as error:
        raise CommandError(f"{what} is nested too deeply", exit_code=exit_code) from error


def parse_option(text: str, name: str, *, hint: str) -> dict[str, Any]:
    """Parse an option whose value is a JSON object; anything else is a usage error."""
    value = parse_json(text, name, exit_code=EXIT_USAGE, hint=hint)
    if not isinstance(value, dict):
        raise CommandError(f"{name} must be a JSON object", hint=hint, exit_code=EXIT_USAGE)
    return value


def read_data(path: str) -> Any:
    """Read what a JSON file (``.json``) or a TOML file (any other name) holds."""
    text = read_text(path)
    if path.endswith(".json"):
        return parse_json(text, path)
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CommandError(f"{path} is not TOML: {error}") from error


def read_document(path: str) -> dict[str, Any]:
    """Read a table from a file as :func:`read_data` does, and refuse anything else."""
    document = read_data(path)
    if not isinstance(document, dict):
        raise CommandError(f"{path} holds no table")
    return document
