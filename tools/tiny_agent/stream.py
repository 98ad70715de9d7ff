"""Training batches, made by worker processes while the accelerator computes.

Conversations of similar length share a batch, padded on the right; a causal model without a mask
then never sees the padding. Every worker has its own queue and the trainer reads them in turn, so
the order of the data depends on the seed alone.
"""

import itertools
import multiprocessing as mp
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WIDTHS = (80, 96, 128, 160, 192, 256, 320, 384, 448, 512, 576, 640, 768, 1024)


@dataclass
class Batch:
    """Token ids [rows, width] and which of them are to be predicted."""

    ids: np.ndarray  # [rows, width] uint16
    learnt: np.ndarray  # [rows, width] bool
    lengths: np.ndarray  # [rows] tokens before the padding


def learnt_mask(ids: np.ndarray, think: int, end: int) -> np.ndarray:
    """True from the second token after each opening of a thinking part to the end of its turn.

    The first token after it is the newline that belongs to the prompt.
    """
    mask = np.zeros(len(ids), dtype=bool)
    ends = np.flatnonzero(ids == end)
    for start in np.flatnonzero(ids == think):
        stop = ends[np.searchsorted(ends, start)]
        mask[start + 2:stop + 1] = True
    return mask


def batches(tokenizer_file: str, seed: int, tokens: int) -> Iterator[Batch]:
    """An endless stream of batches of about `tokens` tokens each."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from tokenizers import Tokenizer

    from .data import training_texts

    tokenizer = Tokenizer.from_file(tokenizer_file)
    think, end = tokenizer.token_to_id("<think>"), tokenizer.token_to_id("[e~[")
    open_rows: dict[int, list[np.ndarray]] = {w: [] for w in WIDTHS}
    texts = training_texts(seed)
    while True:
        for encoding in tokenizer.encode_batch(list(itertools.islice(texts, 256))):
            row = np.asarray(encoding.ids[:-1], dtype=np.uint16)  # without the last newline
            width = next((w for w in WIDTHS if w >= len(row)), None)
            if width is None:
                continue
            rows = open_rows[width]
            rows.append(row)
            if len(rows) == tokens // width:
                ids = np.full((len(rows), width), end, dtype=np.uint16)
                learnt = np.zeros(ids.shape, dtype=bool)
                for i, r in enumerate(rows):
                    ids[i, :len(r)] = r
                    learnt[i, :len(r)] = learnt_mask(r, think, end)
                open_rows[width] = []
                yield Batch(ids, learnt, np.array([len(r) for r in rows]))


def _work(tokenizer_file: str, seed: int, tokens: int, queue: mp.Queue) -> None:
    for batch in batches(tokenizer_file, seed, tokens):
        queue.put((batch.ids, batch.learnt, batch.lengths))


def parallel_batches(model_dir: Path, seed: int, tokens: int, workers: int) -> Iterator[Batch]:
    """Starts `workers` processes and gives their batches in turn.

    The processes are forks: start them before an accelerator is touched.
    """
    context = mp.get_context("fork")
    queues = [context.Queue(maxsize=24) for _ in range(workers)]
    for i, queue in enumerate(queues):
        args = (str(model_dir / "tokenizer.json"), seed * 1000 + i, tokens, queue)
        context.Process(target=_work, args=args, daemon=True).start()
    return (Batch(*queue.get()) for queue in itertools.cycle(queues))
