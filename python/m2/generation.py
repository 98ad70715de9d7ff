"""generate(): what MiniMaxM2ForCausalLM inherits."""

from __future__ import annotations

import warnings
from typing import Any, Callable

from . import _m2, callbacks
from .arrays import FLOATS, INTEGERS, MASK, any_torch, as_array, to_kind, to_kinds
from .generation_configuration import FIELDS, GenerationConfig, to_json
from .outputs import GenerateBeamDecoderOnlyOutput, GenerateDecoderOnlyOutput

#: Keywords of generate() that reach the model, and what kind of array they are.
_ARRAYS = {"input_ids": INTEGERS, "attention_mask": MASK, "position_ids": INTEGERS,
           "inputs_embeds": FLOATS, "negative_prompt_ids": INTEGERS,
           "negative_prompt_attention_mask": MASK}
_OTHERS = ("past_key_values", "num_valid_tokens", "strict")
#: Of the reference, without a meaning here.
_IGNORED = ("custom_generate", "use_model_defaults")


def _refuse_unknown(unknown: list[str]) -> None:
    if unknown:
        raise ValueError(
            f"The following `model_kwargs` are not used by the model: {unknown} (note: typos in "
            "the generate arguments will also show up in this list)")


class GenerationMixin:
    """generate() and compute_transition_scores()."""

    _prepared: Callable[[], _m2.MiniMaxM2ForCausalLM]
    generation_config: GenerationConfig

    def generate(
        self, inputs: Any = None, generation_config: GenerationConfig | None = None,
        logits_processor: Any = None, stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Callable[[int, Any], list[int]] | None = None,
        synced_gpus: bool | None = None, assistant_model: Any = None, streamer: Any = None,
        negative_prompt_ids: Any = None, negative_prompt_attention_mask: Any = None,
        tokenizer: Any = None, **kwargs: Any,
    ) -> Any:
        """Continues the prompts.

        `inputs` (or `input_ids`) are ids [B, P]; `attention_mask`, `position_ids`,
        `inputs_embeds` [B, P, H] and `past_key_values` may be given, too, and every field of
        GenerationConfig. The call's fields win over `generation_config`, this over the model's.

        Processors, criteria and streamers are any callables of their protocol, called for one row
        at a time; what they raise ends the call. Ctrl-C does, too; the model stays usable.

        Returns ids [R, P + N] int64, with R = B * num_return_sequences and N new tokens; with
        return_dict_in_generate a GenerateDecoderOnlyOutput or GenerateBeamDecoderOnlyOutput.
        Raises ValueError for arguments that do not fit, NotImplementedError for modes that are
        not done.
        """
        del synced_gpus
        if generation_config is None:
            self.config.refuse_generation_fields()
        fields = {key: kwargs.pop(key) for key in list(kwargs) if key in FIELDS}
        given = {key: kwargs.pop(key) for key in list(kwargs) if key in _ARRAYS or key in _OTHERS}
        _refuse_unknown([key for key, value in kwargs.items()
                         if key not in _IGNORED and value is not None])
        if inputs is not None:
            if given.get("input_ids") is not None:
                raise ValueError("`inputs` and `input_ids` were passed; give one of them")
            given["input_ids"] = inputs
        given.update(negative_prompt_ids=negative_prompt_ids,
                     negative_prompt_attention_mask=negative_prompt_attention_mask)
        as_torch = any_torch(*given.values())
        arguments = {key: as_array(key, value, _ARRAYS[key]) if key in _ARRAYS else value
                     for key, value in given.items()}
        arguments.update(
            logits_processor=callbacks.native_processors(logits_processor, as_torch),
            stopping_criteria=callbacks.native_criteria(stopping_criteria, as_torch),
            prefix_allowed_tokens_fn=callbacks.native_prefix_function(
                prefix_allowed_tokens_fn, as_torch),
            assistant_model=assistant_model and assistant_model._prepared(),
            streamer=streamer, tokenizer=tokenizer and tokenizer.native)
        call = (_m2.GenerationConfig() if generation_config is None
                else generation_config.to_native())
        call.update_from_json(to_json(fields))
        output = self._generating().generate(call, **arguments)
        for sentence in output.pop("warnings"):
            warnings.warn(sentence, stacklevel=2)
        return self._result(output, fields, generation_config, as_torch)

    def _generating(self) -> _m2.MiniMaxM2ForCausalLM:
        """The native model, told what was changed on `generation_config`."""
        native = self._prepared()
        native.set_generation_config(self.generation_config.to_native())
        return native

    def _result(self, output: dict[str, Any], fields: dict[str, Any],
                generation_config: GenerationConfig | None, as_torch: bool) -> Any:
        def option(name: str) -> Any:
            sources = (fields.get(name), getattr(generation_config, name, None),
                       getattr(self.generation_config, name))
            return next((value for value in sources if value is not None), None)

        sequences = to_kind(output["sequences"], as_torch)
        if not option("return_dict_in_generate"):
            return sequences
        record = {
            "sequences": sequences,
            "scores": to_kinds(output["scores"], as_torch),
            "logits": to_kinds(output["logits"], as_torch),
            "attentions": tuple(to_kinds(step, as_torch) for step in output["attentions"]) or None,
            "hidden_states": tuple(
                to_kinds(step, as_torch) for step in output["hidden_states"]) or None,
            "past_key_values": output["past_key_values"],
        }
        if (option("num_beams") or 1) == 1:
            return GenerateDecoderOnlyOutput(**record)
        return GenerateBeamDecoderOnlyOutput(
            **record, sequences_scores=to_kind(output["sequences_scores"], as_torch),
            beam_indices=to_kind(output["beam_indices"], as_torch))

    def compute_transition_scores(self, sequences: Any, scores: tuple, beam_indices: Any = None,
                                  normalize_logits: bool = False) -> Any:
        """The score of every generated token, [R, N]; normalize_logits: log-softmax first."""
        as_torch = any_torch(sequences, *scores)
        return to_kind(_m2.compute_transition_scores(
            as_array("sequences", sequences), [as_array("scores", s, FLOATS) for s in scores],
            as_array("beam_indices", beam_indices), normalize_logits), as_torch)
