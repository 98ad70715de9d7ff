"""apply_chat_template(): conversations to prompts."""

from __future__ import annotations

import json
import os
from typing import Any, Sequence

from . import _m2
from .batch_encoding import BatchEncoding
from .special_tokens import SpecialTokens


def _to_json(name: str, value: Any) -> str:
    if value is None:
        return ""
    try:
        return json.dumps(value)
    except TypeError as error:
        raise TypeError(f"{name}: {error}; pass functions as their JSON schema") from error


def is_batch(conversation: Any) -> bool:
    """A list of conversations instead of one."""
    return bool(conversation) and isinstance(conversation[0], (list, tuple))


def render(templates: Any, conversation: Sequence, *, tools: list | None,
           documents: list | None, variables: dict[str, Any], template_name: str,
           add_generation_prompt: bool, continue_final_message: bool) -> _m2.RenderedPrompt:
    """The prompt of one conversation."""
    if continue_final_message and add_generation_prompt:
        raise ValueError("continue_final_message and add_generation_prompt are not compatible. Use "
                         "continue_final_message when you want the model to continue the final "
                         "message, and add_generation_prompt when you want to add a header that "
                         "will prompt it to start a new assistant message instead.")
    if documents is not None:
        variables = {**variables, "documents": documents}
    return templates.render(
        _to_json("conversation", list(conversation)), tools_json=_to_json("tools", tools or None),
        template_kwargs_json=_to_json("template variables", variables or None),
        add_generation_prompt=add_generation_prompt,
        continue_final_message=continue_final_message, template_name=template_name)


def assistant_mask(encoding: _m2.Encoding, spans: list[tuple[int, int]]) -> list[int]:
    """1 for tokens that touch a {% generation %} span; offsets and spans are in bytes."""
    return [int(any(begin < stop and start < end for start, stop in spans))
            for begin, end in encoding.offsets]


class ChatPrompts(SpecialTokens):
    """Base of the tokenizer: its chat template."""

    _directory: str
    _templates: _m2.ChatTemplate | None
    _chat_template: Any
    _has_own_template: bool

    @property
    def chat_template(self) -> Any:
        """The source of the template; setting it takes the place of the model's own."""
        path = os.path.join(self._directory, "chat_template.jinja")
        if not self._has_own_template and os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                return file.read()
        return self._chat_template

    @chat_template.setter
    def chat_template(self, source: str | None) -> None:
        self._chat_template, self._has_own_template, self._templates = source, True, None

    def get_chat_template(self, chat_template: str | None = None, tools: list | None = None) -> str:
        del tools
        source = self.chat_template if chat_template is None else chat_template
        if source is None:
            raise ValueError("this tokenizer has no chat template and no template argument was "
                             "passed")
        return source

    def _template(self, source: str | None) -> tuple[_m2.ChatTemplate, str]:
        """(templates, the name of the one wanted or "")"""
        is_source = source is not None and "{" in source
        if is_source or self._has_own_template:
            text = source if source is not None and is_source else self.get_chat_template()
            return _m2.ChatTemplate.from_source(
                text, bos_token=self.bos_token or "", eos_token=self.eos_token or ""), ""
        if self._templates is None:
            self._templates = _m2.ChatTemplate.from_directory(self._directory)
        return self._templates, source or ""

    def apply_chat_template(
        self, conversation: Sequence, tools: list[dict] | None = None,
        documents: list[dict] | None = None, chat_template: str | None = None,
        add_generation_prompt: bool = False, continue_final_message: bool = False,
        tokenize: bool = True, padding: bool | str = False, truncation: bool = False,
        max_length: int | None = None, return_tensors: str | None = None, return_dict: bool = True,
        return_assistant_tokens_mask: bool = False, tokenizer_kwargs: dict | None = None,
        **variables: Any,
    ) -> Any:
        """The prompt of a conversation, or of a list of them as rows.

        tokenize=False gives text, return_dict=False the ids alone, else a BatchEncoding (with
        return_tensors every value is [B, P]). Further keywords are variables of the template.
        Texts of messages cannot forge turn markers: special tokens are not recognised there.
        """
        is_rows = is_batch(conversation)
        templates, name = self._template(chat_template)
        prompts = [
            render(
                templates, one, tools=tools, documents=documents, variables=variables,
                template_name=name, add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message)
            for one in (conversation if is_rows else [conversation])]
        if not tokenize:
            texts = [prompt.text for prompt in prompts]
            return texts if is_rows else texts[0]
        cut = self._truncation(truncation, max_length, 0, padding)
        rows = [self._tokenizer.encode_prompt(prompt.text, prompt.untrusted, cut)
                for prompt in prompts]
        columns = {"input_ids": [row.ids for row in rows],
                   "attention_mask": [row.attention_mask for row in rows]}
        if return_assistant_tokens_mask:
            columns["assistant_masks"] = [assistant_mask(row, prompt.generation)
                                          for row, prompt in zip(rows, prompts)]
        encoding = BatchEncoding(columns, rows)
        if padding:
            encoding = self.pad(encoding, padding, max_length, **(tokenizer_kwargs or {}))
        if not is_rows and return_tensors is None:
            encoding = BatchEncoding({key: value[0] for key, value in encoding.items()}, rows)
        encoding.convert_to_tensors(return_tensors)
        return encoding if return_dict else encoding["input_ids"]
