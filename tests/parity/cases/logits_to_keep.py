"""Forward with logits_to_keep as a number, as positions and as a choice."""

import numpy as np

from case import ids
from forward import forward_case

TEXT = ids(2, 8, seed=8)


def _keep(name, keep, **more):
    return forward_case(name, input_ids=TEXT, logits_to_keep=keep, **more)


CASES = [
    _keep("zero_keeps_all", 0),
    _keep("one", 1),
    _keep("three", 3),
    _keep("as_many_as_there_are", 8),
    _keep("more_than_there_are", 30),
    _keep("positions", np.array([1, 4, 6])),
    _keep("positions_in_any_order", np.array([6, 0, 3, 0])),
    _keep("positions_from_the_end", np.array([-1, -8, 2])),
    _keep("one_position", np.array([5])),
    _keep("no_position", np.array([], np.int64)),
    _keep("positions_int32", np.array([2, 7], np.int32)),
    _keep("bool", np.arange(8) % 3 == 0),
    _keep("bool_none", np.zeros(8, bool)),
    _keep("with_hidden_states", 2, output_hidden_states=True),
    _keep("tied", 2, model="tied"),
]
