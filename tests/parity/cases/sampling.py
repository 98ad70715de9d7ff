"""Sampling: frequencies against the scores that are reported, seeds, and what may be drawn."""

import numpy as np

from case import Case, ids
from forward import arguments

PROMPT = ids(1, 6, 64, 61)
DRAWS = 1500
LONG = dict(do_sample=True, top_k=0, max_new_tokens=12)


def _generate(side, model, seed, rows=1, **keywords):
    used = side.load(model, "sdpa")
    given = {"input_ids": PROMPT, "num_return_sequences": rows, **keywords}
    return used.generate(**arguments(side, given), **side.sampling_seed(seed),
                         return_dict_in_generate=True, output_scores=True)  # fmt: skip


def _too_far(counts, probabilities):
    """Tokens whose count is over 5 standard deviations from what is expected, and not by 3 draws."""
    total = counts.sum()
    spread = np.sqrt(total * probabilities * (1 - probabilities))
    return int(np.sum(np.abs(counts - total * probabilities) > 5 * spread + 3))


def _frequencies(name, model="gen_flat", **keywords):
    """The first token of many rows, by the scores of the same call."""

    def run(side):
        output = _generate(side, model, 5, DRAWS, do_sample=True, max_new_tokens=1, **keywords)
        scores = side.numpy(output.scores[0]).astype(np.float64)
        drawn = side.numpy(output.sequences)[:, -1]
        chances = np.exp(scores[0] - scores[0].max())
        chances /= chances.sum()
        counts = np.bincount(drawn, minlength=scores.shape[1])
        return {"scores": scores[0].astype(np.float32), "too far": _too_far(counts, chances),
                "removed but drawn": int(counts[np.isinf(scores[0])].sum())}  # fmt: skip

    return Case(name, run)


def _second_token(side):
    """Rows draw independently: the second token follows the first one's own scores."""
    output = _generate(side, "gen_flat", 6, 400, do_sample=True, max_new_tokens=2, top_k=4)
    rows = side.numpy(output.sequences)[:, -2:]
    second = side.numpy(output.scores[1])
    return {"removed but drawn": int(np.isinf(second[np.arange(400), rows[:, 1]]).sum()),
            "several first tokens": len(set(rows[:, 0].tolist())) > 2}  # fmt: skip


def _seeds(side):
    texts = [side.numpy(_generate(side, "gen_flat", seed, **LONG).sequences).tolist()
             for seed in (1, 1, 2)]  # fmt: skip
    return {"same seed": texts[0] == texts[1], "other seed": texts[0] == texts[2]}


def _rows_differ(side):
    rows = side.numpy(_generate(side, "gen_flat", 3, 6, **LONG).sequences).tolist()
    return {"different": len({tuple(row) for row in rows}) > 4}


def _speculative(side):
    """With an assistant the distribution stays that of the model: many runs of one token each."""
    used = side.load("gen_flat", "sdpa")
    draft = side.open(side.directory("gen_flat_draft"), "sdpa")
    given = arguments(side, {"input_ids": PROMPT})
    options = dict(do_sample=True, top_k=5, max_new_tokens=2, return_dict_in_generate=True,
                   output_scores=True)  # fmt: skip
    counts = np.zeros(96)
    for seed in range(300):
        output = used.generate(**given, **options, assistant_model=draft,
                               **side.sampling_seed(seed))  # fmt: skip
        counts[side.numpy(output.sequences)[0, 6]] += 1
    scores = side.numpy(output.scores[0])[0].astype(np.float64)
    chances = np.exp(scores - scores.max())
    return {"too far": _too_far(counts, chances / chances.sum())}


def _beam_sample(side):
    """Hypotheses are ordered, and made of tokens that were not removed."""
    used = side.load("gen_flat", "sdpa")
    output = used.generate(**arguments(side, {"input_ids": PROMPT}), **side.sampling_seed(4),
                           do_sample=True, num_beams=4, num_return_sequences=4, top_k=8,
                           max_new_tokens=6, return_dict_in_generate=True, output_scores=True)  # fmt: skip
    scores = side.numpy(output.sequences_scores)
    transition = used.compute_transition_scores(output.sequences, output.scores,
                                                output.beam_indices)  # fmt: skip
    sums = side.numpy(transition).sum(-1) / 6
    return {"ordered": bool(np.all(np.diff(scores) <= 1e-6)),
            "finite": bool(np.all(np.isfinite(scores))),
            "sums": bool(np.allclose(sums, scores, atol=1e-4))}  # fmt: skip


CASES = [
    _frequencies("frequencies", top_k=0),
    _frequencies("frequencies_default_top_k"),
    _frequencies("frequencies_cold", top_k=0, temperature=0.5),
    _frequencies("frequencies_hot", top_k=0, temperature=3.0),
    _frequencies("frequencies_top_k", top_k=6),
    _frequencies("frequencies_top_p", top_k=0, top_p=0.7),
    _frequencies("frequencies_min_p", top_k=0, min_p=0.1),
    _frequencies("frequencies_typical", top_k=0, typical_p=0.5),
    _frequencies("frequencies_penalty", top_k=10, repetition_penalty=1.8),
    Case("second_token", _second_token),
    Case("seeds", _seeds),
    Case("rows_differ", _rows_differ),
    Case("speculative", _speculative),
    Case("beam_sample", _beam_sample),
]
