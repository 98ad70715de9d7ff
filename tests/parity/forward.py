"""Forward calls as data: what the tables of the forward groups are made of."""

import numpy as np

from case import Case, ids, left_padding, positions_of

STUDY = dict(output_hidden_states=True, output_attentions=True, output_router_logits=True)


def arguments(side, keywords):
    """Arrays become tensors of the side."""
    return {key: side.array(value) if isinstance(value, np.ndarray) else value
            for key, value in keywords.items()}  # fmt: skip


def call(side, model, keywords, attention="eager", kind="MiniMaxM2ForCausalLM"):
    return side.load(model, attention, kind)(**arguments(side, keywords))


def forward_record(side, used, text):
    """The logits of a model that was loaded."""
    return side.record(used(use_cache=False, **arguments(side, {"input_ids": text})))


def keep_visible(record, mask):
    """Zeroes what belongs to padding: queries without a key have no agreed result."""
    rows, length = mask.shape
    visible = mask.astype(bool)
    for key, value in record.items():
        if not isinstance(value, np.ndarray):
            continue
        if value.shape[:2] == (rows, length):
            value[~visible] = 0
        elif value.shape[:1] == (rows * length,):
            value[~visible.reshape(-1)] = 0
        elif value.ndim == 4 and value.shape[0] == rows and value.shape[2] == length:
            value.swapaxes(1, 2)[~visible] = 0
    return record


def forward_case(name, model="gqa", attention="eager", kind="MiniMaxM2ForCausalLM", visible=None,
                 bound=1e-4, difference="", ours=None, **keywords):
    """One forward call; every field of its output is compared."""

    def run(side):
        record = side.record(call(side, model, keywords, attention, kind))
        return record if visible is None else keep_visible(record, visible)

    return Case(name, run, bound, difference, ours)


def plain_case(name, model, vocab=96, **more):
    return forward_case(name, model, input_ids=ids(2, 9, vocab), use_cache=False, **STUDY, **more)


def padded_case(name, model, vocab=96, **more):
    mask = left_padding(3, 11, (0, 4, 10))
    return forward_case(name, model, "sdpa", visible=mask, input_ids=ids(3, 11, vocab, 1),
                        attention_mask=mask, position_ids=positions_of(mask),
                        output_hidden_states=True, **more)  # fmt: skip


def pieces_case(name, model, sizes, vocab=96, rows=2, attention="sdpa", pads=None, static=0,
                study=False):
    """The same text in pieces through one cache; the logits of all pieces are compared."""
    total = sum(sizes)
    text = ids(rows, total, vocab, 2)
    mask = None if pads is None else left_padding(rows, total, pads)

    def run(side):
        used = side.load(model, attention)
        cache = side.static_cache(used, static) if static else side.lib.DynamicCache()
        record, start = {}, 0
        for size in sizes:
            end = start + size
            more = dict(STUDY) if study else {}
            if mask is not None:
                more |= {"attention_mask": mask[:, :end],
                         "position_ids": positions_of(mask)[:, start:end]}  # fmt: skip
            if static:
                more["cache_position"] = np.arange(start, end)
            output = used(past_key_values=cache, use_cache=True,
                          **arguments(side, {"input_ids": text[:, start:end], **more}))  # fmt: skip
            part = side.record(output, f"from {start}: ")
            record |= part if mask is None else keep_visible(part, mask[:, start:end])
            start = end
        return record | {"length": int(cache.get_seq_length())}

    return Case(name, run)
