"""Each logits processor through generate(): the scores of every step."""

import numpy as np

from case import ids, left_padding
from generation import generate_case

PROMPT = np.array([[5, 9, 5, 9, 5, 7, 9, 5]], np.int64)
TWO = np.array([[5, 9, 5, 9, 5, 7, 9, 5], [11, 3, 11, 3, 4, 11, 3, 4]], np.int64)
NEGATIVE = np.array([[8, 4, 8]], np.int64)


def _steps(name, **keywords):
    """Greedy: the shaping processors act, the sampling filters do not."""
    return generate_case(name, **{"input_ids": PROMPT, **keywords})


def _first(name, **keywords):
    """Sampling: the scores of one step, as what is drawn differs. Several prompts."""
    return generate_case(name, greedy=False, drop=("sequences",), **{
        "input_ids": ids(4, 7, 64, 3), "do_sample": True, "max_new_tokens": 1, **keywords})  # fmt: skip


def _allowed(batch, sequence):
    """Even ids after an odd number of tokens, others ids up to 20."""
    return list(range(4, 60, 2)) if len(sequence) % 2 else list(range(3, 20))


def _by_row(batch, sequence):
    return [10, 11, 12] if batch == 0 else [20, 21, 22, 23]


def _boost(ids_so_far, scores):
    """A caller's processor: favours the last token plus one."""
    scores = scores.copy()
    rows = np.arange(len(scores))
    scores[rows, (ids_so_far[:, -1] + 1) % scores.shape[1]] += 5.0
    return scores


def _custom(side, model):
    return {"logits_processor": side.processors(_boost)}


def _negative(mask=None):
    def prepare(side, model):
        more = {} if mask is None else {"negative_prompt_attention_mask": side.array(mask)}
        return {"negative_prompt_ids": side.array(NEGATIVE), **more}

    return prepare


SHAPING = [
    _steps("none"),
    _steps("repetition_penalty", repetition_penalty=1.3),
    _steps("repetition_reward", repetition_penalty=0.7),
    _steps("repetition_penalty_two_rows", repetition_penalty=1.8, input_ids=TWO),
    _steps("repetition_penalty_counts_padding", repetition_penalty=1.5, input_ids=TWO,
           attention_mask=left_padding(2, 8, (0, 3))),
    _steps("encoder_repetition_penalty", encoder_repetition_penalty=1.5),
    _steps("encoder_repetition_reward", encoder_repetition_penalty=0.5),
    _steps("no_repeat_ngram_1", no_repeat_ngram_size=1),
    _steps("no_repeat_ngram_2", no_repeat_ngram_size=2),
    _steps("no_repeat_ngram_3", no_repeat_ngram_size=3, input_ids=TWO),
    _steps("no_repeat_ngram_longer_than_text", no_repeat_ngram_size=30),
    _steps("encoder_no_repeat_ngram_2", encoder_no_repeat_ngram_size=2),
    _steps("encoder_no_repeat_ngram_3", encoder_no_repeat_ngram_size=3, input_ids=TWO),
    _steps("bad_words_single", bad_words_ids=[[5], [9], [40]]),
    _steps("bad_words_sequences", bad_words_ids=[[9, 5], [5, 9, 7], [60, 61]]),
    _steps("bad_words_mixed", bad_words_ids=[[33], [9, 5, 7]], input_ids=TWO),
    _steps("bad_words_eos_is_dropped", bad_words_ids=[[2], [17]]),
    _steps("sequence_bias", sequence_bias={(12,): 4.0, (5, 13): 9.0, (9, 5, 14): -3.5}),
    _steps("sequence_bias_list", sequence_bias=[[[12], 4.0], [[5, 13], 9.0]]),
    _steps("sequence_bias_forbids", sequence_bias={(5,): float("-inf")}),
    _steps("sequence_bias_of_token_0", sequence_bias={(0,): 50.0, (7, 0): -60.0}),
    _steps("sequence_bias_overlapping", sequence_bias={(20,): 2.0, (5, 20): 3.0, (9, 5, 20): 4.0}),
    _steps("min_length", min_length=12, model="gen_eos_often"),
    _steps("min_new_tokens", min_new_tokens=5, model="gen_eos_often"),
    _steps("min_length_and_new_tokens", min_length=10, min_new_tokens=3, model="gen_eos_often"),
    _steps("min_new_tokens_eos_list", min_new_tokens=4, model="gen_eos_list"),
    _steps("forced_bos", forced_bos_token_id=7, input_ids=np.array([[1]])),
    _steps("forced_bos_too_late", forced_bos_token_id=7),
    _steps("forced_eos", forced_eos_token_id=30, max_new_tokens=4),
    _steps("forced_eos_list", forced_eos_token_id=[30, 31], max_new_tokens=4, greedy=False,
           drop=("sequences",)),
    _steps("remove_invalid_values", remove_invalid_values=True),
    _steps("exponential_decay", exponential_decay_length_penalty=(2, 1.5)),
    _steps("exponential_decay_at_once", exponential_decay_length_penalty=(0, 2.0)),
    _steps("suppress", suppress_tokens=[5, 9, 30, 31]),
    _steps("begin_suppress", begin_suppress_tokens=list(range(3, 30))),
    _steps("renormalize", renormalize_logits=True),
    _steps("renormalize_after_penalty", renormalize_logits=True, repetition_penalty=1.4),
    _steps("guidance", guidance_scale=1.5),
    _steps("guidance_strong", guidance_scale=4.0),
    _steps("guidance_weak", guidance_scale=0.5),
    _steps("guidance_negative_prompt", guidance_scale=2.0, prepare=_negative()),
    _steps("guidance_negative_prompt_masked", guidance_scale=2.0,
           prepare=_negative(np.array([[0, 1, 1]]))),
    _steps("guidance_without_cache", guidance_scale=2.0, use_cache=False),
    _steps("guidance_one_is_off", guidance_scale=1.0),
    _steps("prefix_allowed_tokens", prefix_allowed_tokens_fn=_allowed),
    _steps("prefix_allowed_by_row", prefix_allowed_tokens_fn=_by_row, input_ids=TWO),
    _steps("callers_processor", prepare=_custom),
    _steps("callers_processor_and_penalty", prepare=_custom, repetition_penalty=1.5,
           input_ids=TWO),
    _steps("many_together", repetition_penalty=1.2, no_repeat_ngram_size=2, min_new_tokens=6,
           suppress_tokens=[33], bad_words_ids=[[13], [9, 5]], sequence_bias={(41,): 1.25},
           encoder_repetition_penalty=1.1, exponential_decay_length_penalty=(3, 1.2),
           renormalize_logits=True, input_ids=TWO, max_new_tokens=4),
    _steps("sampling_filters_do_not_act", temperature=0.5, top_k=3, top_p=0.5),
]  # fmt: skip

SAMPLING = [
    _first("sample_defaults_have_top_k_50"),
    _first("sample_without_top_k", top_k=0),
    _first("temperature_low", temperature=0.3, top_k=0),
    _first("temperature_high", temperature=2.5, top_k=0),
    _first("top_k_1", top_k=1),
    _first("top_k_5", top_k=5),
    _first("top_k_over_vocabulary", top_k=1000),
    _first("top_p_0", top_p=0.0, top_k=0),
    _first("top_p_small", top_p=0.1, top_k=0),
    _first("top_p_half", top_p=0.5, top_k=0),
    _first("top_p_large", top_p=0.95, top_k=0),
    _first("top_p_1", top_p=1.0, top_k=0),
    _first("min_p_small", min_p=0.05, top_k=0),
    _first("min_p_large", min_p=0.6, top_k=0),
    _first("min_p_1", min_p=1.0, top_k=0),
    _first("top_h_small", top_h=0.2, top_k=0),
    _first("top_h_half", top_h=0.5, top_k=0),
    _first("top_h_large", top_h=0.9, top_k=0),
    _first("typical_small", typical_p=0.2, top_k=0),
    _first("typical_large", typical_p=0.9, top_k=0),
    _first("epsilon", epsilon_cutoff=0.02, top_k=0),
    _first("epsilon_removes_most", epsilon_cutoff=0.3, top_k=0),
    _first("eta", eta_cutoff=0.05, top_k=0),
    _first("eta_large", eta_cutoff=0.4, top_k=0),
    _first("temperature_top_k_top_p", temperature=0.7, top_k=20, top_p=0.8),
    _first("filters_together", temperature=1.3, top_k=40, top_p=0.9, min_p=0.01, typical_p=0.95,
           epsilon_cutoff=0.001, eta_cutoff=0.001),
    _first("filters_after_penalty", repetition_penalty=1.5, top_p=0.7, temperature=0.8),
    _first("sample_renormalized", top_k=4, renormalize_logits=True),
    _first("sample_eos_list", top_p=0.3, model="gen_eos_list", input_ids=ids(4, 7, 24, 3)),
    _first("sample_several_returns", top_k=6, num_return_sequences=3, input_ids=ids(2, 5, 64, 4)),
    _first("sample_guided", guidance_scale=2.0, top_p=0.8, input_ids=ids(1, 5, 64, 5)),
    _first("sample_callers_processor", top_k=9, prepare=_custom),
]

CASES = SHAPING + SAMPLING
