#!/usr/bin/env python3
"""Times llama.cpp on a GGUF file, through its C interface; driven by compare_engines.py.

A prompt asks for the logits of all tokens: llama.cpp drops tokens without them before the experts of the
last layer, and files for comparisons have one layer or two. The head's share is small where the
vocabulary is (random_gguf.py --vocab)."""

import ctypes
import random

import llama_cpp
import pacing


class Llama:
    def __init__(self, path: str, threads: int, most_tokens: int):
        llama_cpp.llama_backend_init()
        silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
        self.silent = silent  # the library keeps a pointer to it
        self.model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params())
        assert self.model, f"{path}: llama.cpp cannot load it"
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = (most_tokens + 255) // 256 * 256
        params.n_threads = params.n_threads_batch = threads
        params.no_perf = True
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.width = llama_cpp.llama_n_batch(self.context)
        vocab = llama_cpp.llama_model_get_vocab(self.model)
        count = llama_cpp.llama_vocab_n_tokens(vocab)
        draw = random.Random(1)
        self.ids = [draw.randrange(count) for _ in range(most_tokens)]
        self.batch = llama_cpp.llama_batch_init(self.width, 0, 1)

    def step(self, first: int, count: int) -> None:
        self.batch.n_tokens = count
        for i in range(count):
            self.batch.token[i] = self.ids[first + i]
            self.batch.pos[i] = first + i
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = 0
            self.batch.logits[i] = True
        status = llama_cpp.llama_decode(self.context, self.batch)
        assert status == 0, f"llama_decode: {status}"
        llama_cpp.llama_get_logits_ith(self.context, count - 1)

    def clear(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def prefill(self, num_tokens: int) -> None:
        self.clear()
        for first in range(0, num_tokens, self.width):
            self.step(first, min(self.width, num_tokens - first))

    def decode(self, num_tokens: int) -> None:
        self.clear()
        for position in range(num_tokens):
            self.step(position, 1)


def main() -> None:
    arguments = pacing.parser(__doc__).parse_args()
    most = max(arguments.prefill + arguments.decode)
    llama = Llama(arguments.model, arguments.threads, most)
    info = llama_cpp.llama_print_system_info().decode()
    pacing.run(arguments, llama.prefill, llama.decode, {"device": info})


if __name__ == "__main__":
    main()
