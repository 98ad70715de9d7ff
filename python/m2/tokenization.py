"""The tokenizer: text to ids and back, with the calls of transformers' fast tokenizers."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from typing import Any, Sequence

from . import _m2
from .arrays import to_lists
from .batch_encoding import BatchEncoding
from .chat_prompts import ChatPrompts
from .hub import local_directory, split_hub_options
from .special_tokens import SPECIAL_TOKENS, token_text

#: Longer than any text: a tokenizer whose files give no model_max_length.
VERY_LARGE_INTEGER = int(1e30)
_FILES = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
          "special_tokens_map.json", "additional_chat_templates/*"]
_NO_PAD_TOKEN = (
    "Asking to pad but the tokenizer does not have a padding token. Please select a token to use "
    "as `pad_token` `(tokenizer.pad_token = tokenizer.eos_token e.g.)`.")


def _side(name: str, value: str) -> _m2.Side:
    if value not in ("right", "left"):
        raise ValueError(f"{name} should be 'right' or 'left', got {value!r}")
    return getattr(_m2.Side, value)


class PreTrainedTokenizer(ChatPrompts):
    """A byte-level BPE tokenizer with its chat template. Made by from_pretrained()."""

    model_input_names = ["input_ids", "attention_mask"]
    is_fast = True

    def __init__(self, directory: str, *, name_or_path: str | None = None, **options: Any) -> None:
        state = self.__dict__
        state["_tokenizer"] = _m2.Tokenizer.from_pretrained(directory)
        state["_special"] = {}
        self._directory = directory
        self.name_or_path = directory if name_or_path is None else name_or_path
        self.init_kwargs = {**self._read_config(), **options}
        for name in SPECIAL_TOKENS:
            self._choose(name, token_text(self.init_kwargs.get(name)))
        self.padding_side = self.init_kwargs.get("padding_side", "right")
        self.truncation_side = self.init_kwargs.get("truncation_side", "right")
        self.split_special_tokens = self.init_kwargs.get("split_special_tokens", False)
        limit = self.init_kwargs.get("model_max_length")
        self.model_max_length = VERY_LARGE_INTEGER if limit is None else int(limit)
        self._templates: _m2.ChatTemplate | None = None
        self._chat_template: Any = self.init_kwargs.get("chat_template")
        self._has_own_template = "chat_template" in options

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any,
    ) -> PreTrainedTokenizer:
        """The name is a directory, a GGUF file or a hub id (with `revision` and the like).

        Other keyword arguments win over tokenizer_config.json: padding_side, pad_token, ...
        Raises FileNotFoundError without a tokenizer.json, OSError for a damaged one.
        """
        hub_options, options = split_hub_options(kwargs)
        for ignored in ("use_fast", "config", "tokenizer_type"):
            options.pop(ignored, None)
        name = os.fspath(pretrained_model_name_or_path)
        return cls(local_directory(name, _FILES, **hub_options), name_or_path=name, **options)

    def _read_config(self) -> dict[str, Any]:
        path = os.path.join(self._directory, "tokenizer_config.json")
        if not os.path.isfile(path):
            return self._special_tokens_of_file()
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def _special_tokens_of_file(self) -> dict[str, Any]:
        """What a GGUF file says in place of tokenizer_config.json."""
        ids = {"bos_token": self._tokenizer.bos_id(), "eos_token": self._tokenizer.eos_id(),
               "unk_token": self._tokenizer.unk_id(), "pad_token": self._tokenizer.pad_id()}
        return {name: self._tokenizer.id_to_token(token_id)
                for name, token_id in ids.items() if token_id is not None}

    @property
    def native(self) -> _m2.Tokenizer:
        """The tokenizer of the library, as streamers and generate() use it."""
        return self._tokenizer

    # ---- Text to ids ------------------------------------------------------------------------

    def __call__(
        self, text: str | Sequence, text_pair: str | Sequence[str] | None = None, *,
        add_special_tokens: bool = True, padding: bool | str = False,
        truncation: bool | str | None = None, max_length: int | None = None, stride: int = 0,
        is_split_into_words: bool = False, pad_to_multiple_of: int | None = None,
        padding_side: str | None = None, return_tensors: str | None = None,
        return_token_type_ids: bool | None = None, return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False, return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False, return_length: bool = False, verbose: bool = True,
        split_special_tokens: bool | None = None,
    ) -> BatchEncoding:
        """Encodes a text, or a list of texts as rows.

        One text gives flat lists; with return_tensors ("pt", "np") every value is [B, P] int64.
        `add_special_tokens` changes nothing: the published tokenizer adds none.
        """
        del add_special_tokens, verbose
        rows, pairs, is_batch = self._rows(text, text_pair, is_split_into_words)
        cut = self._truncation(truncation, max_length, stride, padding)
        fill = self._padding(padding, max_length, pad_to_multiple_of, padding_side)
        literal = split_special_tokens
        if literal is None:
            literal = self.split_special_tokens
        if is_split_into_words:
            encodings = self._tokenizer.encode_words_batch(rows, literal, cut, fill)
        else:
            encodings = self._tokenizer.encode_batch(rows, pairs, literal, cut, fill)
        samples = list(range(len(encodings)))
        if return_overflowing_tokens:
            samples = [i for i, row in enumerate(encodings)
                       for _ in range(1 + len(row.overflowing))]
            encodings = [part for row in encodings for part in (row, *row.overflowing)]
        columns: dict[str, Any] = {"input_ids": [row.ids for row in encodings]}
        if return_token_type_ids:
            columns["token_type_ids"] = [row.type_ids for row in encodings]
        if return_attention_mask or (
                return_attention_mask is None and "attention_mask" in self.model_input_names):
            columns["attention_mask"] = [row.attention_mask for row in encodings]
        if return_special_tokens_mask:
            columns["special_tokens_mask"] = [row.special_tokens_mask for row in encodings]
        if return_offsets_mapping:
            columns["offset_mapping"] = [row.offsets for row in encodings]
        if return_length:
            columns["length"] = [len(row) for row in encodings]
        if return_overflowing_tokens:
            columns["overflow_to_sample_mapping"] = samples
        elif not is_batch and return_tensors is None:
            columns = {key: values if key == "length" else values[0]
                       for key, values in columns.items()}
        return BatchEncoding(columns, encodings).convert_to_tensors(return_tensors)

    def _rows(self, text: Any, text_pair: Any, words: bool) -> tuple[list, list | None, bool]:
        if not isinstance(text, (str, list, tuple)):
            raise TypeError(f"text: expected a str or a list of str, got {type(text).__name__}")
        if words:
            if text_pair is not None:
                raise NotImplementedError("is_split_into_words takes no text_pair")
            is_batch = bool(text) and isinstance(text[0], (list, tuple))
            return [list(row) for row in text] if is_batch else [list(text)], None, is_batch
        if isinstance(text, str):
            return [text], None if text_pair is None else [text_pair], False
        if text_pair is None and text and all(isinstance(row, (list, tuple)) for row in text):
            return [row[0] for row in text], [row[1] for row in text], True
        return list(text), None if text_pair is None else list(text_pair), True

    def _truncation(self, truncation: bool | str | None, max_length: int | None, stride: int,
                    padding: bool | str) -> _m2.Truncation | None:
        if truncation is None and max_length is not None and padding is False:
            truncation = True
        names: dict[Any, Any] = {
            True: "longest_first", None: "do_not_truncate", False: "do_not_truncate"}
        name = names.get(truncation, truncation)
        if name == "do_not_truncate":
            return None
        if name not in ("longest_first", "only_first", "only_second"):
            raise ValueError(f"truncation: {truncation!r} is not a strategy")
        length = self.model_max_length if max_length is None else max_length
        if length > 2**62:
            warnings.warn("Asking to truncate to max_length but no maximum length is provided and "
                          "the model has no predefined maximum length. Default to no truncation.",
                          stacklevel=3)
            return None
        return _m2.Truncation(length, stride, getattr(_m2.TruncationStrategy, name),
                              _side("truncation_side", self.truncation_side))

    def _padding(self, padding: bool | str, max_length: int | None, multiple_of: int | None,
                 side: str | None) -> _m2.Padding | None:
        names: dict[Any, Any] = {True: "longest", False: "do_not_pad"}
        name = names.get(padding, padding)
        if name == "do_not_pad":
            return None
        if name not in ("longest", "max_length"):
            raise ValueError(f"padding: {padding!r} is not a strategy")
        if self.pad_token is None:
            raise ValueError(_NO_PAD_TOKEN)
        length = None
        if name == "max_length":
            length = self.model_max_length if max_length is None else max_length
            length = None if length > 2**62 else length
        return _m2.Padding(
            length, multiple_of or 0, _side("padding_side", side or self.padding_side),
            self.pad_token_id, self.pad_token)

    def encode(self, text: Any, text_pair: Any = None, **kwargs: Any) -> Any:
        """The ids alone."""
        return self(text, text_pair, **kwargs)["input_ids"]

    def tokenize(self, text: str, pair: str | None = None) -> list[str]:
        """The tokens as the vocabulary writes them."""
        rows, pairs, _ = self._rows(text, pair, False)
        encoding = self._tokenizer.encode_batch(rows, pairs, self.split_special_tokens, None, None)
        return encoding[0].tokens

    def pad(self, encoded_inputs: Any, padding: bool | str = True, max_length: int | None = None,
            pad_to_multiple_of: int | None = None, padding_side: str | None = None,
            return_tensors: str | None = None) -> BatchEncoding:
        """Brings rows of one or more encodings to one length."""
        if isinstance(encoded_inputs, (list, tuple)):
            encoded_inputs = {key: [row[key] for row in encoded_inputs]
                              for key in encoded_inputs[0]}
        columns = {key: [to_lists(row) for row in rows] for key, rows in encoded_inputs.items()}
        fill = self._padding(padding, max_length, pad_to_multiple_of, padding_side)
        ids = columns["input_ids"]
        columns.setdefault("attention_mask", [[1] * len(row) for row in ids])
        if fill is not None:
            width = max([len(row) for row in ids] + [0])
            wanted = max_length if padding == "max_length" and max_length else width
            unit = pad_to_multiple_of or 1
            width = -(-max(wanted, width if padding != "max_length" else 0) // unit) * unit
            left = (padding_side or self.padding_side) == "left"
            fillers = {"input_ids": self.pad_token_id, "special_tokens_mask": 1, "labels": -100}
            for key, rows in columns.items():
                gaps = [[fillers.get(key, 0)] * (width - len(row)) for row in rows]
                columns[key] = [gap + row if left else row + gap for gap, row in zip(gaps, rows)]
        return BatchEncoding(columns).convert_to_tensors(return_tensors)

    # ---- Ids to text ------------------------------------------------------------------------

    def decode(self, token_ids: Any, skip_special_tokens: bool = False,
               clean_up_tokenization_spaces: bool | None = None) -> Any:
        """The text of ids [N]; of rows [R, N] a list of texts."""
        ids = to_lists(token_ids)
        if isinstance(ids, int):
            ids = [ids]
        if len(ids) > 0 and not isinstance(ids[0], int):
            ids = [to_lists(row) for row in ids]
            if not all(isinstance(row, int) for row in ids):
                return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces)
                        for row in ids]
        return self._tokenizer.decode(list(ids), skip_special_tokens, clean_up_tokenization_spaces)

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False,
                     clean_up_tokenization_spaces: bool | None = None) -> Any:
        """One text for each row of [R, N] ids; ids [N] are one row."""
        texts = self.decode(sequences, skip_special_tokens, clean_up_tokenization_spaces)
        return texts if isinstance(texts, list) else [texts]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        ids = to_lists(ids)
        if isinstance(ids, int):
            return self._tokenizer.id_to_token(ids)
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        return [self._tokenizer.id_to_token(to_lists(i)) for i in ids if to_lists(i) not in skipped]

    def convert_tokens_to_ids(self, tokens: str | Sequence[str] | None) -> Any:
        """Unknown tokens become unk_token_id, which may be None."""
        if tokens is None:
            return None
        if isinstance(tokens, str):
            found = self._tokenizer.token_to_id(tokens)
            return self.unk_token_id if found is None else found
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> Any:
        return self.decode(self.convert_tokens_to_ids(tokens))

    # ---- Vocabulary and files ---------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Tokens without the added ones; len() counts all."""
        return self._tokenizer.vocab_size(with_added=False)

    def __len__(self) -> int:
        return self._tokenizer.vocab_size(with_added=True)

    def get_vocab(self) -> dict[str, int]:
        """Every token and its id."""
        ids = range(self._tokenizer.id_limit())
        pairs = ((self._tokenizer.id_to_token(i), i) for i in ids)
        return {token: i for token, i in pairs if token is not None}

    @property
    def vocab(self) -> dict[str, int]:
        return self.get_vocab()

    def save_pretrained(self, directory: str | os.PathLike) -> None:
        """Writes the tokenizer's files and the attributes that were changed."""
        os.makedirs(directory, exist_ok=True)
        for name in ("tokenizer.json", "special_tokens_map.json"):
            source = os.path.join(self._directory, name)
            if os.path.isfile(source) and not os.path.samefile(self._directory, directory):
                shutil.copyfile(source, os.path.join(directory, name))
        config = {key: value for key, value in self.init_kwargs.items() if key != "chat_template"}
        config.update(self.special_tokens_map, padding_side=self.padding_side,
                      truncation_side=self.truncation_side)
        with open(os.path.join(directory, "tokenizer_config.json"), "w", encoding="utf-8") as file:
            file.write(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
        template = self.chat_template
        if template is not None:
            path = os.path.join(directory, "chat_template.jinja")
            with open(path, "w", encoding="utf-8") as file:
                file.write(template)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(name_or_path={self.name_or_path!r}, "
                f"vocab_size={self.vocab_size}, model_max_length={self.model_max_length}, "
                f"padding_side={self.padding_side!r}, special_tokens={self.special_tokens_map})")

    def __reduce__(self) -> tuple:
        options = {"padding_side": self.padding_side, **self.special_tokens_map}
        if self._has_own_template:
            options["chat_template"] = self._chat_template
        return _load, (self._directory, self.name_or_path, options)


def _load(directory: str, name: str, options: dict[str, Any]) -> PreTrainedTokenizer:
    return PreTrainedTokenizer(directory, name_or_path=name, **options)
