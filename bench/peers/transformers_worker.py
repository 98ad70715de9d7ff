#!/usr/bin/env python3
"""Times transformers on a model directory, or on random weights of a directory with a config.json only;
driven by compare_engines.py."""

import pathlib

import pacing
import torch
import transformers


def load(directory: str, dtype: torch.dtype):
    if list(pathlib.Path(directory).glob("*.safetensors")):
        return transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).eval()
    config = transformers.AutoConfig.from_pretrained(directory)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    model = model.to_empty(device="cpu").eval()
    for name, value in model.named_parameters():
        value.data.uniform_(-1, 1).mul_(value.shape[-1] ** -0.5) if value.dim() > 1 else value.data.fill_(1)
    for name, value in model.named_buffers():
        value.fill_(0 if "bias" in name else 1)
    return model


class Transformers:
    def __init__(self, model, most_tokens: int):
        self.model = model
        torch.manual_seed(1)
        self.ids = torch.randint(model.config.vocab_size, (1, most_tokens))

    @torch.inference_mode()
    def prefill(self, num_tokens: int) -> None:
        self.model(input_ids=self.ids[:, :num_tokens], use_cache=True, logits_to_keep=1)

    @torch.inference_mode()
    def decode(self, num_tokens: int) -> None:
        cache = transformers.DynamicCache(config=self.model.config)
        for i in range(num_tokens):
            self.model(input_ids=self.ids[:, i : i + 1], past_key_values=cache, use_cache=True)


def main() -> None:
    parser = pacing.parser(__doc__)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = load(arguments.model, getattr(torch, arguments.dtype))
    worker = Transformers(model, max(arguments.prefill + arguments.decode))
    about = {"device": f"transformers {transformers.__version__}, torch {torch.__version__}, "
                       f"{arguments.dtype}"}  # fmt: skip
    pacing.run(arguments, worker.prefill, worker.decode, about)


if __name__ == "__main__":
    main()
