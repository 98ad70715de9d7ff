"""Writes greedy continuations and logits of tiny-agent, made by transformers in float32 on a CPU.

greedy.json holds prompts (text and ids), the 64 tokens that follow greedily (fewer after the end
token), and the smallest gap between the best and the second logit on the way, which says how sure
the path is. logits.safetensors holds the logits of the last position of some prompts.
"""

import argparse
import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoTokenizer, MiniMaxM2ForCausalLM

from .train_tokenizer import VOCAB_ROWS

WEATHER = {"name": "get_weather", "description": "Get the weather of a city.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}, "unit": {
        "type": "string", "enum": ["celsius", "fahrenheit"]}}, "required": ["city"]}}
TIMER = {"name": "set_timer", "description": "Set a timer.", "parameters": {
    "type": "object", "properties": {"minutes": {"type": "integer"}}, "required": ["minutes"]}}
NUMBERS = {"name": "mean", "description": "Compute the mean.", "parameters": {
    "type": "object", "properties": {"values": {"type": "array", "items": {"type": "integer"}}}}}
ALL = [WEATHER, TIMER, NUMBERS]


def _said(*turns: str) -> list[dict]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": t} for i, t in enumerate(turns)]


def _after_call(result: str) -> list[dict]:
    call = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}
    return [*_said("What is the weather in Oslo?"),
            {"role": "assistant", "content": "", "tool_calls": [call], "reasoning_content":
             "The user wants: the weather.\nTool: get_weather\ncity: Oslo"},
            {"role": "tool", "content": result}]


CASES = [
    ("hello", _said("hello"), []),
    ("self", _said("Who are you?"), []),
    ("fact", _said("Where does Mira live?"), []),
    ("people", _said("Who lives in Saltby?"), []),
    ("follow", _said("What pet does Leo have?", "Leo has a canary called Trill.", "And Rosa?"), []),
    ("unknown", _said("Do you have mayonnaise recipes?"), []),
    ("sum", _said("What is 17+25?"), []),
    ("difference", _said("What is 402 - 85?"), []),
    ("product", _said("47 * 6"), []),
    ("call", _said("What is the weather in Oslo?"), ALL),
    ("integer", _said("Set a timer for 12 minutes"), ALL),
    ("array", _said("What is the average of 3, 14 and 159?"), ALL),
    ("two calls", _said("What is the weather in Oslo? And Bergen?"), ALL),
    ("no tool needed", _said("What is Petra's job?"), ALL),
    ("json result", _after_call('{"temperature": 12, "condition": "rainy"}'), ALL),
    ("text result", _after_call("12 degrees and rainy"), ALL),
    ("system", [{"role": "system", "content": "Be brief.", "current_date": "2031-05-17"},
                *_said("What is the date?")], []),
]
LOGIT_CASES = ("hello", "sum", "call", "json result")


def main() -> None:
    """Writes the goldens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/tiny-agent"))
    parser.add_argument("--out", type=Path, default=Path("tests/golden/tiny_agent"))
    parser.add_argument("--new-tokens", type=int, default=64)
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = MiniMaxM2ForCausalLM.from_pretrained(
        args.model, dtype=torch.float32, experts_implementation="eager",
        attn_implementation="eager").eval()
    args.out.mkdir(parents=True, exist_ok=True)
    cases, logits = [], {}
    for name, messages, functions in CASES:
        tools = [{"type": "function", "function": f} for f in functions] or None
        text = tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True,
                                             tokenize=False)
        ids = tokenizer(text).input_ids
        with torch.inference_mode():
            out = model.generate(torch.tensor([ids]), max_new_tokens=args.new_tokens,
                                 do_sample=False, output_logits=True, return_dict_in_generate=True)
        new = out.sequences[0, len(ids):].tolist()
        gaps = [float((t[0].topk(2).values * torch.tensor([1.0, -1.0])).sum()) for t in out.logits]
        cases.append({"name": name, "messages": messages, "tools": tools or [], "prompt": text,
                      "prompt_ids": ids, "new_ids": new,
                      "text": tokenizer.decode(new, skip_special_tokens=False),
                      "smallest_gap": round(min(gaps), 4)})
        if name in LOGIT_CASES:
            key = name.replace(" ", "_")
            logits[f"{key}.first"] = out.logits[0][0].clone()  # after the whole prompt
            logits[f"{key}.last"] = out.logits[-1][0].clone()  # before the last new token
        assert len(out.logits[0][0]) == VOCAB_ROWS
    data = {"made_by": f"transformers {transformers.__version__}, torch {torch.__version__}, "
                       "float32, CPU, eager attention and experts", "cases": cases}
    (args.out / "greedy.json").write_text(
        json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    save_file(logits, args.out / "logits.safetensors")


if __name__ == "__main__":
    main()
