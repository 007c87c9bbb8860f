"""Asking sub-models. Importing this does not import litellm."""

from __future__ import annotations

from ._account import Account
from ._agent import AgentModel
from ._batch import BatchProgress, OnProgress, ask_all, ask_one
from ._bounded import IN_FLIGHT
from ._budget import KINDS, NO_BUDGET, Budget, tightest
from ._budgeted import Budgeted
from ._calls import CACHE_MB, Calls
from ._choose import (
    AGENT,
    HOW_TO_SET,
    SMALL_MODELS,
    NoModel,
    choose,
    open_model,
    prepare_model,
)
from ._command_agent import CommandAgent
from ._embeddings import LOCAL, Embedder, unasked_of
from ._guest_calls import (
    CallLimits,
    Rest,
    Strict,
    answer_guest,
    checked,
    estimate_guest,
    is_model_name,
)
from ._in_flight import InFlight
from ._litellm import LiteLLMModel
from ._meter import METER, Meter
from ._model import SubModel
from ._model_folder import ModelFolderError, find_model
from ._openai_server import Failure, LocalOpenAIServer
from ._questions import Question, Questions
from ._router import Router
from ._schema import SchemaMismatchError, UnusableSchemaError, check_schema, read_data
from ._scripted import ScriptedModel
from ._trouble import scrub, secret_values
from ._types import DEFAULT_TIMEOUT_S, Answer, Attachment, Prompt, Request, Turn, Usage
from ._vectors import MAX_DIMENSIONS

__all__ = [
    "AGENT",
    "CACHE_MB",
    "DEFAULT_TIMEOUT_S",
    "HOW_TO_SET",
    "IN_FLIGHT",
    "KINDS",
    "LOCAL",
    "MAX_DIMENSIONS",
    "METER",
    "NO_BUDGET",
    "SMALL_MODELS",
    "Account",
    "AgentModel",
    "Answer",
    "Attachment",
    "BatchProgress",
    "Budget",
    "Budgeted",
    "CallLimits",
    "Calls",
    "CommandAgent",
    "Embedder",
    "Failure",
    "InFlight",
    "LiteLLMModel",
    "LocalOpenAIServer",
    "Meter",
    "ModelFolderError",
    "NoModel",
    "OnProgress",
    "Prompt",
    "Question",
    "Questions",
    "Request",
    "Rest",
    "Router",
    "SchemaMismatchError",
    "ScriptedModel",
    "Strict",
    "SubModel",
    "Turn",
    "UnusableSchemaError",
    "Usage",
    "answer_guest",
    "ask_all",
    "ask_one",
    "check_schema",
    "checked",
    "choose",
    "estimate_guest",
    "find_model",
    "is_model_name",
    "open_model",
    "prepare_model",
    "read_data",
    "scrub",
    "secret_values",
    "tightest",
    "unasked_of",
]
