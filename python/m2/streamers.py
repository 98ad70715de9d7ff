"""Streamers: text while it is generated."""

from __future__ import annotations

import queue
import weakref
from typing import Any

from . import _m2
from .arrays import to_lists


class BaseStreamer:
    """put() gets the prompt [1, P] first, then each step's token [1]; then end() is called."""

    def put(self, value: Any) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError


class TextStreamer(BaseStreamer):
    """Prints text when a word is complete. Subclasses override on_finalized_text().

    `decode_kwargs`: skip_special_tokens.
    """

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, **decode_kwargs: Any) -> None:
        self.tokenizer = tokenizer
        self.skip_prompt = skip_prompt
        self.decode_kwargs = decode_kwargs
        skip_special_tokens = decode_kwargs.get("skip_special_tokens", False)
        unknown = set(decode_kwargs) - {"skip_special_tokens"}
        if unknown:
            raise TypeError(f"TextStreamer takes no {', '.join(sorted(unknown))}")
        itself = weakref.ref(self)  # the native object must not keep its owner alive

        def on_text(text: str, stream_end: bool) -> None:
            streamer = itself()
            if streamer is not None:
                streamer.on_finalized_text(text, stream_end=stream_end)

        self._native = _m2.TextStreamer(
            tokenizer.native, on_text, skip_prompt, skip_special_tokens)

    def put(self, value: Any) -> None:
        ids = to_lists(value)
        if ids and isinstance(ids[0], list):
            if len(ids) > 1:
                raise ValueError("TextStreamer only supports batch size 1")
            ids = ids[0]
        self._native.put(ids)

    def end(self) -> None:
        self._native.end()

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        print(text, flush=True, end="" if not stream_end else None)


class TextIteratorStreamer(TextStreamer):
    """An iterator over the pieces of text, for generate() on another thread.

    With a timeout, waiting longer for a piece raises queue.Empty.
    """

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, timeout: float | None = None,
                 **decode_kwargs: Any) -> None:
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.text_queue: queue.Queue = queue.Queue()
        self.stop_signal = None
        self.timeout = timeout

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self.text_queue.put(text, timeout=self.timeout)
        if stream_end:
            self.text_queue.put(self.stop_signal, timeout=self.timeout)

    def __iter__(self) -> TextIteratorStreamer:
        return self

    def __next__(self) -> str:
        value = self.text_queue.get(timeout=self.timeout)
        if value is self.stop_signal:
            raise StopIteration
        return value
