"""OpenFeature's API keeps its state in modules: every test here begins and ends with none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openfeature import _event_support, api
from openfeature.evaluation_context import EvaluationContext
from openfeature.transaction_context import (
    ContextVarsTransactionContextPropagator,
    set_transaction_context,
    set_transaction_context_propagator,
)


@pytest.fixture(autouse=True)
def clean_api() -> Iterator[None]:
    set_transaction_context_propagator(ContextVarsTransactionContextPropagator())
    yield
    _event_support.clear()
    api.clear_providers()
    api.clear_hooks()
    api.set_evaluation_context(EvaluationContext())
    set_transaction_context(EvaluationContext())
