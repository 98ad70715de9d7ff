#!/usr/bin/env python3
"""Writes tests/golden/forward: arguments of forward and what transformers returns for them.

Usage: make_forward_goldens.py [output directory]. Needs torch, safetensors and transformers 5.1.0.

The model is tests/golden/checkpoints/gqa. cases.json lists for every case the attention
implementation, the cache that is passed in (none, "dynamic" or "static"), config changes and steps:
calls with their arguments, or operations on the cache. outputs.safetensors holds
"<case>/<step>/<field>" for every call, the fields that are tuples numbered, the embeddings that are
arguments, and "<case>/keys.0" and "<case>/values.1" of the cache at the end.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import DynamicCache, MiniMaxM2ForCausalLM, StaticCache
from transformers.utils import logging

ROOT = pathlib.Path(__file__).resolve().parent.parent
EVERYTHING = {"output_hidden_states": True, "output_attentions": True, "output_router_logits": True}
ROW = [5, 9, 33, 7, 64, 12]
TWO = [[5, 9, 33, 7, 64, 12], [0, 0, 41, 8, 90, 3]]
PADDED = [[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1]]
LOW = -1e30  # of an additive mask: swallows every score


def triangle(size, hidden, seen):
    return [[seen if key <= query else hidden for key in range(size)] for query in range(size)]


def cases():
    call = lambda **arguments: {"call": arguments}  # noqa: E731
    no_cache = {"use_cache": False}
    result = {
        "defaults": ("sdpa", None, {}, [call(input_ids=TWO)]),
        "left_padding_sdpa": ("sdpa", None, {}, [call(input_ids=TWO, attention_mask=PADDED)]),
        "left_padding_eager": ("eager", None, {}, [
            call(input_ids=TWO, attention_mask=PADDED, labels=TWO, **EVERYTHING)]),
        "longer_mask": ("eager", None, {}, [
            call(input_ids=[ROW], attention_mask=[[0, 1, 1, 1, 1, 1, 0, 0]])]),
        "shorter_mask": ("eager", "dynamic", {}, [
            call(input_ids=[ROW[:2]]), call(input_ids=[ROW[2:]], attention_mask=[[0, 1, 1]])]),
        "packed": ("sdpa", None, {}, [
            call(input_ids=[ROW], position_ids=[[0, 1, 0, 1, 2, 0]], **no_cache)]),
        "packed_eager_two_rows": ("eager", None, {}, [
            call(input_ids=TWO, position_ids=[[3, 4, 5, 0, 1, 2], [0, 1, 2, 3, 4, 5]],
                 output_attentions=True, **no_cache)]),
        "packing_needs_no_cache": ("sdpa", None, {}, [
            call(input_ids=[ROW], position_ids=[[0, 1, 0, 1, 2, 0]])]),
        "additive_mask": ("eager", None, {}, [
            call(input_ids=[ROW[:3]], attention_mask=[[triangle(3, LOW, 0.25)]],
                 output_attentions=True)]),
        "additive_mask_sdpa": ("sdpa", None, {}, [
            call(input_ids=[ROW[:3]], attention_mask=[[triangle(3, LOW, -0.5)]])]),
        "bool_mask_of_heads": ("sdpa", None, {}, [
            call(input_ids=[ROW[:3]], attention_mask=[[
                [[True, head % 2 == 0, query != head] for query in range(3)]
                for head in range(4)]])]),
        "mask_shows_the_future": ("sdpa", None, {}, [
            call(input_ids=TWO, attention_mask=[[[[True] * 6] * 6]])]),
        "embeddings": ("eager", None, {}, [
            call(inputs_embeds=[2, 4], output_hidden_states=True)]),
        "cache_position_eager": ("eager", None, {}, [
            call(input_ids=[ROW[:3]], cache_position=[1, 0, 5], output_attentions=True)]),
        "cache_position_sdpa": ("sdpa", None, {}, [
            call(input_ids=[ROW[:3]], cache_position=[1, 0, 5])]),
        "keep_one": ("sdpa", None, {}, [call(input_ids=TWO, logits_to_keep=1)]),
        "keep_many": ("sdpa", None, {}, [call(input_ids=[ROW], logits_to_keep=99)]),
        "keep_negative": ("sdpa", None, {}, [call(input_ids=[ROW], logits_to_keep=-4)]),
        "keep_index": ("sdpa", None, {}, [call(input_ids=TWO, logits_to_keep=[4, 0, -1])]),
        "keep_bool": ("sdpa", None, {}, [
            call(input_ids=TWO, logits_to_keep=[True, False, False, True, False, False])]),
        "labels": ("sdpa", None, {}, [
            call(input_ids=TWO, labels=[[5, 9, -100, 7, 64, 12], [-100, -100, 41, 8, 90, 3]])]),
        "labels_ignore_index": ("sdpa", None, {}, [
            call(input_ids=TWO, labels=TWO, ignore_index=0)]),
        "labels_num_items": ("sdpa", None, {}, [
            call(input_ids=TWO, labels=TWO, num_items_in_batch=7)]),
        "shift_labels_of_kept": ("sdpa", None, {}, [
            call(input_ids=TWO, labels=TWO, shift_labels=[[12, -100], [4, 3]], logits_to_keep=2)]),
        "shift_labels_alone": ("sdpa", None, {}, [call(input_ids=TWO, shift_labels=TWO)]),
        "aux_loss_without_labels": ("sdpa", None, {}, [
            call(input_ids=TWO, attention_mask=PADDED, output_router_logits=True)]),
        "aux_loss_of_the_config": ("sdpa", None, {"output_router_logits": True}, [
            call(input_ids=TWO, labels=TWO)]),
        "flags_of_the_config": ("eager", None,
                                {"output_hidden_states": True, "output_attentions": True}, [
                                    call(input_ids=[ROW])]),
        "use_cache_of_the_config": ("sdpa", None, {"use_cache": False}, [call(input_ids=[ROW])]),
        "fewer_layers": ("eager", None, {"num_hidden_layers": 1}, [
            call(input_ids=[ROW], **EVERYTHING)]),
        "chunks": ("sdpa", "dynamic", {}, [
            call(input_ids=[ROW[:1]]), call(input_ids=[ROW[1:4]]), call(input_ids=[ROW[4:]])]),
        "cache_in_spite_of_use_cache": ("sdpa", "dynamic", {}, [
            call(input_ids=[ROW[:4]], **no_cache), call(input_ids=[ROW[4:]], **no_cache)]),
        "cache_with_padding": ("eager", "dynamic", {}, [
            call(input_ids=[row[:4] for row in TWO], attention_mask=[row[:4] for row in PADDED],
                 position_ids=[[0, 1, 2, 3], [1, 1, 0, 1]]),
            call(input_ids=[row[4:] for row in TWO], attention_mask=PADDED,
                 position_ids=[[4, 5], [2, 3]], output_attentions=True)]),
        "crop": ("sdpa", "dynamic", {}, [
            call(input_ids=[ROW]), {"crop": 4}, {"crop": 9}, {"crop": -1},
            call(input_ids=[[77, 78]])]),
        "beams": ("sdpa", "dynamic", {}, [
            call(input_ids=TWO), {"batch_repeat_interleave": 2},
            call(input_ids=[[7], [8], [9], [10]]), {"reorder_cache": [1, 1, 0, 2]},
            call(input_ids=[[7], [8], [9], [10]]), {"batch_select_indices": [3, 0]},
            call(input_ids=[[11, 12], [13, 14]])]),
        "static": ("sdpa", "static", {}, [
            call(input_ids=TWO, attention_mask=PADDED),
            call(input_ids=[[4], [5]], attention_mask=[[1] * 7, [0, 0] + [1] * 5])]),
        "static_eager": ("eager", "static", {}, [
            call(input_ids=TWO, attention_mask=PADDED, output_attentions=True),
            call(input_ids=[[4], [5]], cache_position=[6], output_attentions=True)]),
        "static_rewrites": ("sdpa", "static", {}, [
            call(input_ids=[ROW]), call(input_ids=[[4, 5]], cache_position=[2, 3])]),
    }  # fmt: skip
    return result


def argument(name, value):
    if name == "logits_to_keep" and isinstance(value, int):
        return value
    return torch.tensor(value) if isinstance(value, list) else value


def make_cache(kind, config):
    if kind == "dynamic":
        return DynamicCache(config=config)
    return StaticCache(config=config, max_cache_len=8) if kind == "static" else None


def fields_of(outputs):
    for field in ("loss", "aux_loss", "logits", "hidden_states", "attentions", "router_logits"):
        value = getattr(outputs, field)
        if isinstance(value, tuple):
            for i, item in enumerate(value):
                yield f"{field}.{i}", item
        elif value is not None:
            yield field, value


def run(name, case, tensors):
    attention, kind, changes, steps = case
    model = MiniMaxM2ForCausalLM.from_pretrained(
        ROOT / "tests/golden/checkpoints/gqa", dtype=torch.float32, attn_implementation=attention,
        experts_implementation="eager").eval()  # fmt: skip
    for key, value in changes.items():
        setattr(model.config, key, value)
    cache = make_cache(kind, model.config)
    for index, step in enumerate(steps):
        if "call" not in step:
            for operation, value in step.items():
                value = torch.tensor(value) if isinstance(value, list) else value
                getattr(cache, operation)(value)
            continue
        arguments = {key: argument(key, value) for key, value in step["call"].items()}
        if "inputs_embeds" in arguments:
            arguments["inputs_embeds"] = torch.randn(*step["call"]["inputs_embeds"], 32)
            tensors[f"{name}/{index}/inputs_embeds"] = arguments["inputs_embeds"]
        with torch.no_grad():
            outputs = model(past_key_values=cache, **arguments)
        for field, value in fields_of(outputs):
            tensors[f"{name}/{index}/{field}"] = value
        step["returns_cache"] = outputs.past_key_values is not None
    if cache is not None:
        tensors[f"{name}/keys.0"] = cache.layers[0].keys
        tensors[f"{name}/values.1"] = cache.layers[1].values


def main():
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(7)
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests/golden/forward"
    out.mkdir(parents=True, exist_ok=True)
    tensors, listing = {}, {}
    for name, case in cases().items():
        run(name, case, tensors)
        attention, kind, changes, steps = case
        listing[name] = {"attention": attention, "cache": kind, "config": changes, "steps": steps}
    save_file({name: value.detach().contiguous().clone() for name, value in tensors.items()},
              out / "outputs.safetensors")  # fmt: skip
    lines = [f"  {json.dumps(name)}: {json.dumps(case)}" for name, case in listing.items()]
    (out / "cases.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(listing)} cases, {len(tensors)} tensors")


if __name__ == "__main__":
    main()
