"""Forward of each kind of configuration: plain, padded, and in pieces through a cache."""

import models
from case import Case, ids
from forward import arguments, padded_case, pieces_case, plain_case

NAMES = ("gqa", "mha", "mqa", "tied", "one_layer", "four_layers", "odd", "all_experts",
         "one_expert", "many_experts", "wide_heads", "narrow_heads", "rotary_pair", "large_eps",
         "router_flag", "bias_rules", "bias_negative", "bias_zero", "wide_vocab")  # fmt: skip


def _of(name):
    vocab = models.config_of(name)["vocab_size"]
    yield plain_case(f"{name}_plain", name, vocab)
    yield padded_case(f"{name}_padded", name, vocab)
    if name != "router_flag":  # its auxiliary loss cannot follow a cache: see losses
        yield pieces_case(f"{name}_pieces", name, (5, 1, 3), vocab)


TEXT = ids(2, 9, seed=12)


def _changed(name, **fields):
    """Fields of the config that act when they are changed on a model."""

    def run(side):
        used = side.open(side.directory("four_layers"))
        for field, value in fields.items():
            setattr(used.config, field, value)
        given = arguments(side, {"input_ids": TEXT})
        return side.record(used(**given))

    return Case(f"changed_{name}", run)


CASES = [
    *(case for name in NAMES for case in _of(name)),
    _changed("num_hidden_layers", num_hidden_layers=2),
    _changed("use_cache", use_cache=False),
    _changed("output_hidden_states", output_hidden_states=True),
    _changed("output_router_logits", output_router_logits=True),
    _changed("fewer_layers_and_states", num_hidden_layers=1, output_hidden_states=True),
]
