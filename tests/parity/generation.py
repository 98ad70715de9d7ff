"""Calls of generate() as data: what the tables of the generation groups are made of."""

import numpy as np

from case import Case, ids
from forward import arguments

RECORD = dict(return_dict_in_generate=True, output_scores=True, output_logits=True)
MARGIN = 1e-3  # rounding may decide nothing: the smallest gap between the two best scores


def check_margin(scores, name):
    """Of greedy search on the reference: scores [N, R, V]."""
    for step in range(scores.shape[0]):
        best = np.sort(np.where(np.isfinite(scores[step]), scores[step], -1e30), axis=-1)
        gap = best[:, -1] - best[:, -2]
        row = int(np.argmin(gap))
        assert gap[row] > MARGIN, f"{name}: step {step}, row {row} is a near tie, change the seed"


def generate_case(name, model="gen", input_ids=None, difference="", ours=None, record=True,
                  attention="eager", prepare=None, greedy=True, bound=1e-4, drop=(), strict=False,
                  **keywords):
    """One call of generate(). prepare(side, model) gives keywords that need objects of a side.
    strict: m2 shall do as the reference where it does better by default."""
    input_ids = ids(1, 6, 24) if input_ids is None else input_ids

    def run(side):
        used = side.load(model, attention)
        given = {**(RECORD if record else {}), "max_new_tokens": 8, "do_sample": False, **keywords}
        if input_ids is not False:
            given["input_ids"] = input_ids
        given |= prepare(side, used) if prepare else {}
        given |= side.strict if strict else {}
        output = used.generate(**arguments(side, given))
        if not given.get("return_dict_in_generate"):
            return {"sequences": side.numpy(output)}
        result = side.record(output)
        if side.name == "transformers" and greedy and "scores" in result:
            check_margin(result["scores"], name)
        return {key: value for key, value in result.items() if key not in drop}

    return Case(name, run, bound, difference, ours)
