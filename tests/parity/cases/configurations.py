"""Forward of each kind of configuration: plain, padded, and in pieces through a cache."""

import models
from forward import padded_case, pieces_case, plain_case

NAMES = ("gqa", "mha", "mqa", "tied", "one_layer", "four_layers", "odd", "all_experts",
         "one_expert", "many_experts", "wide_heads", "narrow_heads", "rotary_pair", "large_eps",
         "router_flag", "bias_rules", "bias_negative", "bias_zero", "wide_vocab")  # fmt: skip


def _of(name):
    vocab = models.config_of(name)["vocab_size"]
    yield plain_case(f"{name}_plain", name, vocab)
    yield padded_case(f"{name}_padded", name, vocab)
    if name != "router_flag":  # its auxiliary loss cannot follow a cache: see losses
        yield pieces_case(f"{name}_pieces", name, (5, 1, 3), vocab)


CASES = [case for name in NAMES for case in _of(name)]
