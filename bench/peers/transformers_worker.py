#!/usr/bin/env python3
"""Times transformers on a model directory, or on random weights of a config.json (or a directory with
nothing else); driven by compare_engines.py."""

import pathlib

import pacing
import torch
import transformers

transformers.utils.logging.disable_progress_bar()


def load(path: str, layers: int | None, dtype: torch.dtype, device: str, experts: str):
    options = {"dtype": dtype, "experts_implementation": experts}
    if list(pathlib.Path(path).glob("*.safetensors")):
        model = transformers.AutoModelForCausalLM.from_pretrained(path, **options)
        return model.to(device).eval()
    config = transformers.AutoConfig.from_pretrained(path)
    config.num_hidden_layers = layers or config.num_hidden_layers
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, **options)
    model = model.to_empty(device=device).eval()
    for name, value in model.named_parameters():
        value.data.uniform_(-1, 1).mul_(value.shape[-1] ** -0.5) if value.dim() > 1 else value.data.fill_(1)
    for name, value in model.named_buffers():
        value.fill_(0 if "bias" in name else 1)
    return model


class Transformers:
    def __init__(self, model, most_tokens: int):
        self.model = model
        torch.manual_seed(1)
        self.ids = torch.randint(model.config.vocab_size, (1, most_tokens)).to(model.device)

    def wait(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize()

    @torch.inference_mode()
    def prefill(self, num_tokens: int) -> None:
        self.model(input_ids=self.ids[:, :num_tokens], use_cache=True, logits_to_keep=1)
        self.wait()

    @torch.inference_mode()
    def decode(self, num_tokens: int) -> None:
        cache = transformers.DynamicCache(config=self.model.config)
        for i in range(num_tokens):
            step = self.model(input_ids=self.ids[:, i : i + 1], past_key_values=cache, use_cache=True)
            step.logits[0, -1].argmax().item()  # the next step depends on the choice


def main() -> None:
    parser = pacing.parser(__doc__)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--layers", type=int, help="of random weights; default: the config's")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--experts", default="grouped_mm", help="experts_implementation")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = load(arguments.model, arguments.layers, getattr(torch, arguments.dtype), arguments.device,
                 arguments.experts)  # fmt: skip
    worker = Transformers(model, max(arguments.prefill + arguments.decode))
    about = {"device": f"transformers {transformers.__version__}, torch {torch.__version__}, "
                       f"{arguments.dtype}, {arguments.experts}"}  # fmt: skip
    pacing.run(arguments, worker.prefill, worker.decode, about)


if __name__ == "__main__":
    main()
