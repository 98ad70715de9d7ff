"""resize_token_embeddings."""

import numpy as np

from case import Case, ids
from forward import arguments


def _resized(name, *arguments_of_call, model="gen_eos_often", bound=1e-4, noise=0.0, **keywords):
    """Old rows are kept; new ones are the mean (fewer rows than columns), or drawn."""

    def run(side):
        used = side.open(side.directory(model))
        old = used.config.vocab_size
        used.resize_token_embeddings(*arguments_of_call, **keywords)
        size = used.config.vocab_size
        keep = min(old, size)
        text = ids(2, 6, keep)
        output = used(**arguments(side, {"input_ids": text, "labels": text}))
        logits = side.numpy(output.logits)
        record = {"size": size, "kept": logits[..., :keep], "shape": list(logits.shape)}
        if not noise:
            record |= {"new": logits[..., keep:], "loss": side.numpy(output.loss)}
        return record

    return Case(name, run, bound)


def _saved_size(side):
    used = side.open(side.directory("gen_eos_often"))
    used.resize_token_embeddings(31)
    directory = side.new_directory()
    used.save_pretrained(str(directory))
    again = side.open(directory)
    text = ids(1, 5, 31)
    shape = again(**arguments(side, {"input_ids": text})).logits.shape
    return {"size": again.config.vocab_size, "shape": list(shape)}


def _new_ids_work(side):
    used = side.open(side.directory("gen_eos_often"))
    used.resize_token_embeddings(30)
    text = np.array([[24, 25, 29, 3]])
    return side.record(used(**arguments(side, {"input_ids": text})))


def _generates(side):
    used = side.open(side.directory("gen_eos_often"))
    used.resize_token_embeddings(20)
    given = arguments(side, {"input_ids": ids(1, 5, 20)})
    return {"sequences": side.numpy(used.generate(**given, max_new_tokens=5, do_sample=False))}


CASES = [
    _resized("grow", 30, bound=1e-3),
    _resized("shrink", 17),
    _resized("same", 24),
    _resized("pad_to_a_multiple", 25, pad_to_multiple_of=16, bound=1e-3),
    _resized("pad_alone", None, pad_to_multiple_of=10, bound=1e-3),
    _resized("tied_grow", 110, model="tied", noise=1.0),
    _resized("tied_shrink", 50, model="tied"),
    _resized("random_rows", 30, mean_resizing=False, noise=1.0),
    _resized("more_rows_than_columns", 200, model="gqa", noise=1.0),
    Case("size_is_saved", _saved_size),
    Case("new_ids_work", _new_ids_work, bound=1e-3),
    Case("generates", _generates),
]
