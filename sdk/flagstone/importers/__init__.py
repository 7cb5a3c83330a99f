"""Importers: the configuration of other products becomes a flag set.

Each module is one vendor and has one function, ``convert(document, …) -> ImportResult``. A vendor's
quirks are written down here as conditions and ranges; the evaluator knows nothing of them.
"""

from flagstone.importers.result import CannotCarryError, ImportFileError, ImportResult, Note

__all__ = ["CannotCarryError", "ImportFileError", "ImportResult", "Note"]
