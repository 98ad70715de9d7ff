"""Logits processors and stopping criteria: Python callables inside generate()."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from .arrays import to_kind, to_lists

#: Classes of the reference and the option whose processor they take the place of.
_REPLACED = {
    "TemperatureLogitsWarper": "temperature", "TopKLogitsWarper": "top_k",
    "TopPLogitsWarper": "top_p", "MinPLogitsWarper": "min_p", "TopHLogitsWarper": "top_h",
    "TypicalLogitsWarper": "typical_p", "EpsilonLogitsWarper": "epsilon_cutoff",
    "EtaLogitsWarper": "eta_cutoff", "RepetitionPenaltyLogitsProcessor": "repetition_penalty",
    "NoRepeatNGramLogitsProcessor": "no_repeat_ngram_size",
    "NoBadWordsLogitsProcessor": "bad_words_ids", "SequenceBiasLogitsProcessor": "sequence_bias",
    "MinLengthLogitsProcessor": "min_length",
    "MinNewTokensLengthLogitsProcessor": "min_new_tokens",
    "SuppressTokensLogitsProcessor": "suppress_tokens",
}


class LogitsProcessor:
    """Base of processors: (input_ids [1, N], scores [1, V]) -> scores [1, V]."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        raise NotImplementedError


class LogitsProcessorList(list):
    """Processors that run one after the other."""

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        for process in self:
            scores = process(input_ids, scores, **kwargs)
        return scores


class StoppingCriteria:
    """Base of criteria: (input_ids [1, N], scores=None) -> bool, true ends the row."""

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


class StoppingCriteriaList(list):
    """Criteria of which any may end a row."""

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> bool:
        return any(bool(np.all(to_lists(stop(input_ids, scores, **kwargs)))) for stop in self)


def _row(ids: np.ndarray, torch_wanted: bool) -> Any:
    return to_kind(ids.astype(np.int64)[None], torch_wanted)  # a copy: the view ends with the call


def native_processors(processors: Any, torch_wanted: bool) -> list | None:
    """(name, function) for the extension, which calls for one row at a time."""

    def adapt(process: Callable) -> Callable:
        def run(ids: np.ndarray, row: int, scores: np.ndarray) -> None:
            del row
            given = to_kind(scores[None].copy(), torch_wanted)
            result = process(_row(ids, torch_wanted), given)
            if result is None:
                raise TypeError(f"logits_processor: {process!r} returned None, not scores")
            scores[:] = np.asarray(result, dtype=np.float32).reshape(scores.shape)

        return run

    return [(_REPLACED.get(type(process).__name__, ""), adapt(process))
            for process in processors or []] or None


def native_criteria(criteria: Any, torch_wanted: bool) -> list | None:
    """Functions for the extension, which asks for one row at a time."""

    def adapt(criterion: Callable) -> Callable:
        def run(ids: np.ndarray, row: int) -> bool:
            del row
            return bool(np.all(to_lists(criterion(_row(ids, torch_wanted), None))))

        return run

    if callable(criteria) and not isinstance(criteria, list):
        criteria = [criteria]
    return [adapt(criterion) for criterion in criteria or []] or None


def native_prefix_function(function: Callable | None, torch_wanted: bool) -> Callable | None:
    """The function with int64 ids [N] in the caller's kind of array."""
    if function is None:
        return None
    return lambda batch, ids: [
        int(i) for i in to_lists(function(batch, to_kind(ids.astype(np.int64), torch_wanted)))]
