"""Training mode: dropout and router jitter, seeded, in that mode only."""

import numpy as np

from case import Case, ids
from forward import arguments

TEXT = ids(2, 9, seed=9)


def _logits(side, used):
    return side.numpy(used(use_cache=False, **arguments(side, {"input_ids": TEXT})).logits)


def _random(name, model, attention="eager"):
    """What chance does in training mode cannot be compared, that it acts and repeats can."""

    def run(side):
        used = side.open(side.directory(model), attention)
        plain = _logits(side, used)
        used.train()
        side.seed(used, 3)
        first = _logits(side, used)
        second = _logits(side, used)
        side.seed(used, 3)
        again = _logits(side, used)
        used.eval()
        return {"eval": plain, "acts": bool(np.abs(first - plain).max() > 1e-3),
                "goes on": bool(np.abs(first - second).max() > 1e-3),
                "repeats": bool(np.array_equal(first, again)),
                "eval again": bool(np.array_equal(_logits(side, used), plain))}  # fmt: skip

    return Case(name, run)


def _quiet(name, model):
    """Without dropout and jitter training mode computes the same."""

    def run(side):
        used = side.open(side.directory(model))
        used.train()
        return {"logits": _logits(side, used), "training": used.training}

    return Case(name, run)


def _flag(side):
    used = side.open(side.directory("gqa"))
    states = [used.training]
    used.train()
    states.append(used.training)
    used.train(False)
    states.append(used.training)
    used.train(True)
    used.eval()
    return {"states": states + [used.training]}


def _loss_in_training(side):
    used = side.open(side.directory("gqa"))
    used.train()
    given = arguments(side, {"input_ids": TEXT, "labels": TEXT})
    return side.record(used(output_router_logits=True, **given))


def _jitter_of_one_token(side):
    """Jitter scales the input of router and experts by 1 - 0.3 to 1 + 0.3: the output moves."""
    used = side.open(side.directory("jitter"))
    used.train()
    given = arguments(side, {"input_ids": TEXT[:, :1]})
    side.seed(used, 1)
    first = side.numpy(used(output_router_logits=True, **given).router_logits[0])
    side.seed(used, 2)
    second = side.numpy(used(output_router_logits=True, **given).router_logits[0])
    gap = np.abs(first - second).max()
    return {"moved": bool(1e-3 < gap < 3.0)}


CASES = [
    _random("dropout_eager", "dropout"),
    _random("dropout_sdpa", "dropout", "sdpa"),
    _random("jitter", "jitter"),
    _quiet("nothing_random", "gqa"),
    _quiet("nothing_random_mqa", "mqa"),
    Case("flag", _flag),
    Case("loss", _loss_in_training),
    Case("jitter_of_one_token", _jitter_of_one_token),
]
