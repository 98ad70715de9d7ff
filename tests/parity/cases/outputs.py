"""Presence, order and forms of the fields of an output."""

import numpy as np

from case import Case, ids, left_padding
from forward import arguments, forward_case

TEXT = ids(2, 6, seed=6)
FLAGS = ("output_hidden_states", "output_attentions", "output_router_logits")


def _flags(name, *flags, **more):
    return forward_case(name, input_ids=TEXT, **{flag: True for flag in flags}, **more)


def _tuple(name, kind="MiniMaxM2ForCausalLM", **keywords):
    def run(side):
        output = side.load("gqa", "eager", kind)(return_dict=False, **arguments(side, keywords))
        return {"type": type(output).__name__} | side.value("parts", output)

    return Case(name, run)


def _access(side):
    """Attribute, key, integer, slice, iteration, to_tuple and absent names."""
    output = side.load("gqa")(**arguments(side, {"input_ids": TEXT, "labels": TEXT}))
    logits = side.numpy(output.logits)
    first, second = output[0], output[1]
    return {
        "keys": list(output.keys()), "length": len(output), "iterated": list(output),
        "by key": bool((side.numpy(output["logits"]) == logits).all()),
        "by number": bool((side.numpy(second) == logits).all()),
        "first": float(first), "slice": len(output[:2]), "tuple": len(output.to_tuple()),
        "absent": output.attentions is None, "has logits": "logits" in output,
        "has attentions": "attentions" in output,
        "by absent key": _kind(lambda: output["attentions"]),
        "by absent number": _kind(lambda: output[7]),
    }  # fmt: skip


def _kind(action):
    try:
        action()
    except Exception as error:  # noqa: BLE001 - the kind is what is compared
        return type(error).__name__
    return "none"


def _without(flag, value):
    return forward_case(f"config_flag_overruled_{flag}_{value}", "router_flag", input_ids=TEXT,
                        **{flag: value})  # fmt: skip


def _dtypes(side):
    output = side.load("gqa")(**arguments(side, {"input_ids": TEXT, "labels": TEXT}),
                              **{flag: True for flag in FLAGS})  # fmt: skip
    return {key: str(side.numpy(value).dtype) for key, value in
            {"logits": output.logits, "loss": output.loss, "aux_loss": output.aux_loss,
             "hidden": output.hidden_states[0], "attentions": output.attentions[0],
             "router": output.router_logits[0]}.items()}  # fmt: skip


def _last_hidden_state(side):
    """The last hidden state is the one after the norm; the first is the embedding."""
    used = side.load("gqa", "eager", "MiniMaxM2Model")
    output = used(output_hidden_states=True, **arguments(side, {"input_ids": TEXT}))
    same = np.array_equal(side.numpy(output.hidden_states[-1]),
                          side.numpy(output.last_hidden_state))  # fmt: skip
    return {"same": bool(same), "count": len(output.hidden_states)}


CASES = [
    _flags("nothing"),
    _flags("hidden_states", "output_hidden_states"),
    _flags("attentions", "output_attentions"),
    _flags("router_logits", "output_router_logits"),
    _flags("hidden_and_router", "output_hidden_states", "output_router_logits"),
    _flags("all", *FLAGS),
    _flags("all_with_labels", *FLAGS, labels=TEXT),
    _flags("all_without_cache", *FLAGS, use_cache=False),
    _flags("attentions_with_sdpa_are_absent", "output_attentions", attention="sdpa"),
    _flags("all_with_sdpa", *FLAGS, attention="sdpa"),
    _flags("model_nothing", kind="MiniMaxM2Model"),
    _flags("model_all", *FLAGS, kind="MiniMaxM2Model"),
    _flags("model_without_cache", kind="MiniMaxM2Model", use_cache=False),
    _flags("model_router", "output_router_logits", kind="MiniMaxM2Model"),
    _flags("one_layer", *FLAGS, model="one_layer"),
    _flags("four_layers", *FLAGS, model="four_layers"),
    _flags("one_expert", *FLAGS, model="one_expert"),
    forward_case("config_flag_router", "router_flag", input_ids=TEXT),
    forward_case("config_flag_router_model", "router_flag", kind="MiniMaxM2Model", input_ids=TEXT),
    _without("output_router_logits", False),
    _tuple("tuple", input_ids=TEXT),
    _tuple("tuple_all", input_ids=TEXT, labels=TEXT, **{flag: True for flag in FLAGS}),
    _tuple("tuple_without_cache", input_ids=TEXT, use_cache=False),
    _tuple("tuple_model", "MiniMaxM2Model", input_ids=TEXT, output_hidden_states=True),
    _tuple("tuple_masked", input_ids=TEXT, attention_mask=left_padding(2, 6, (0, 2))),
    Case("access", _access),
    Case("element_types", _dtypes),
    Case("last_hidden_state", _last_hidden_state),
]
