"""Trains tiny-agent with transformers' own MiniMaxM2ForCausalLM.

The model computes in bfloat16, as it is shipped; the optimizer keeps float32 masters. Only the
assistant's turns are learnt. The experts are balanced without an auxiliary loss: after each step
the correction bias of an expert goes up a little if it had fewer tokens than the mean and down if
it had more; near the end the biases stand still.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from transformers import AutoConfig, MiniMaxM2ForCausalLM
from transformers.models.minimax_m2 import modeling_minimax_m2

from .stream import Batch, parallel_batches


class Masters:
    """Float32 copies of the parameters; gradients of several batches add up in them."""

    def __init__(self, model: torch.nn.Module, lr: float, decay: float) -> None:
        self.pairs = []
        groups: dict[bool, list] = {True: [], False: []}
        for p in model.parameters():
            master = torch.nn.Parameter(p.detach().float().clone())
            master.grad = torch.zeros_like(master)
            self.pairs.append((p, master))
            groups[p.ndim >= 2].append(master)
        self.optimizer = torch.optim.AdamW(
            [{"params": groups[True], "weight_decay": decay},
             {"params": groups[False], "weight_decay": 0.0}],
            lr=lr, betas=(0.9, 0.95), eps=1e-8, fused=model.device.type == "cuda")

    def collect(self) -> None:
        """Adds the gradients of the last backward pass."""
        for p, master in self.pairs:
            if p.grad is not None:
                master.grad.add_(p.grad)
                p.grad = None

    def step(self, lr: float) -> torch.Tensor:
        """One clipped optimizer step; returns the norm of the gradient."""
        masters = [m for _, m in self.pairs]
        norm = torch.nn.utils.clip_grad_norm_(masters, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        for p, master in self.pairs:
            p.data.copy_(master.data)
            master.grad.zero_()
        return norm


class Balancer:
    """Moves the correction biases so that the experts of a layer get equal work."""

    def __init__(self, model: MiniMaxM2ForCausalLM, rate: float) -> None:
        self.rate = rate
        self.blocks = [layer.mlp for layer in model.model.layers]
        experts = model.config.num_local_experts
        device = model.device
        self.bias = [b.e_score_correction_bias.detach().float().clone() for b in self.blocks]
        self.counts = [torch.zeros(experts, device=device) for _ in self.blocks]
        self.real = torch.ones(1, device=device)  # [tokens] 1 for tokens, 0 for padding
        for i, block in enumerate(self.blocks):
            block.gate.register_forward_hook(self._counter(i))

    def _counter(self, layer: int):
        def count(_module, _inputs, output) -> None:
            chosen = output[2]  # [tokens, experts per token]
            weights = self.real[:, None].expand_as(chosen)  # padding does not count
            self.counts[layer].scatter_add_(0, chosen.reshape(-1), weights.reshape(-1))
        return count

    def step(self, scale: float) -> None:
        """Updates the biases by the counts since the last step; their mean stays zero."""
        for block, bias, counts in zip(self.blocks, self.bias, self.counts, strict=True):
            bias += self.rate * scale * torch.sign(counts.mean() - counts)
            bias -= bias.mean()
            block.e_score_correction_bias.copy_(bias)

    def report(self) -> str:
        """The largest and smallest share of an expert in any layer, 1 being equal."""
        shares = torch.stack([c / c.mean() for c in self.counts])
        return f"load {shares.min():.2f}..{shares.max():.2f}"

    def reset(self) -> None:
        """Forgets the counts."""
        for counts in self.counts:
            counts.zero_()


def loss_of(model: MiniMaxM2ForCausalLM, batch: Batch, device: torch.device) -> torch.Tensor:
    """The summed loss over the learnt tokens of a batch."""
    ids = torch.from_numpy(batch.ids.astype("int64")).to(device, non_blocking=True)
    learnt = torch.from_numpy(batch.learnt)
    rows, columns = learnt.nonzero(as_tuple=True)
    rows = rows.to(device, non_blocking=True)
    columns = columns.to(device, non_blocking=True)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[rows, columns - 1])
    return torch.nn.functional.cross_entropy(logits.float(), ids[rows, columns], reduction="sum")


def fuse_norms() -> None:
    """Lets the norms of the model run as one kernel; only the rounding differs a little."""
    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.rms_norm(
            hidden_states, (hidden_states.shape[-1],), self.weight, self.variance_epsilon)
    modeling_minimax_m2.MiniMaxM2RMSNorm.forward = forward


def schedule(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up, then a cosine down to a hundredth."""
    if step < warmup:
        return peak * (step + 1) / warmup
    part = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))


def save(model: MiniMaxM2ForCausalLM, base: Path, out: Path) -> None:
    """Writes sharded weights with the hub's tensor names, and our own configuration files."""
    model.save_pretrained(out, max_shard_size="12MB")
    for name in ("config.json", "generation_config.json", "tokenizer.json",
                 "tokenizer_config.json", "chat_template.jinja"):
        (out / name).write_bytes((base / name).read_bytes())


def main() -> None:
    """Trains, prints a line every hundred steps, and saves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, default=Path("models/tiny-agent"),
                        help="folder with config.json and the tokenizer")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="a checkpoint to go on from")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seconds", type=float, help="choose the steps to fill this time")
    parser.add_argument("--batch-tokens", type=int, default=49152)
    parser.add_argument("--batches-per-step", type=int, default=2)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--decay", type=float, default=0.1)
    parser.add_argument("--bias-rate", type=float, default=1e-3)
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--experts", default="grouped_mm")
    args = parser.parse_args()

    began = time.time()
    torch.manual_seed(args.seed)
    fuse_norms()
    stream = parallel_batches(args.base, args.seed, args.batch_tokens, args.workers)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if args.start:
        model = MiniMaxM2ForCausalLM.from_pretrained(args.start, dtype=torch.bfloat16)
    else:
        config = AutoConfig.from_pretrained(args.base)
        model = MiniMaxM2ForCausalLM(config).to(torch.bfloat16)
    model.set_experts_implementation(args.experts)
    model.to(device).train()
    # A cast of the whole module rounds the rotary frequencies; they stay float32 as after loading.
    rotary = model.model.rotary_emb
    rotary.inv_freq = rotary.compute_default_rope_parameters(model.config)[0].to(device)
    masters = Masters(model, args.lr, args.decay)
    balancer = Balancer(model, args.bias_rate)

    steps, warmup, log, seen = args.steps, 100, [], 0
    total = torch.zeros((), device=device)
    learnt = 0
    step, timed = 0, 0.0
    while step < steps:
        if step == 40:
            timed = time.time()
        if args.seconds and step == 100:
            pace = (time.time() - timed) / 60
            steps = step + max(100, int((args.seconds - (time.time() - began)) / pace))
            print(f"{1 / pace:.2f} steps/s, so {steps} steps", flush=True)
        group = [next(stream) for _ in range(args.batches_per_step)]
        count = sum(int(b.learnt.sum()) for b in group)
        for batch in group:
            inside = torch.arange(batch.ids.shape[1]) < torch.from_numpy(batch.lengths)[:, None]
            balancer.real = inside.reshape(-1).float().to(device, non_blocking=True)
            loss = loss_of(model, batch, device)
            (loss / count).backward()
            masters.collect()
            total += loss.detach()
            seen += batch.ids.size
        learnt += count
        lr = schedule(step, steps, args.lr, warmup)
        norm = masters.step(lr)
        balancer.step(1.0 if step < 0.9 * steps else 0.0)
        step += 1
        if step % 100 == 0 or step == steps:
            line = {"step": step, "loss": total.item() / learnt, "lr": lr, "norm": norm.item(),
                    "tokens": seen, "seconds": round(time.time() - began, 1)}
            print(json.dumps(line), balancer.report(), flush=True)
            log.append(line)
            total.zero_()
            learnt = 0
        balancer.reset()
    save(model.eval(), args.base, args.out)
    bias = {i: [round(x, 4) for x in b.e_score_correction_bias.float().tolist()]
            for i, b in enumerate(balancer.blocks)}
    record = {"arguments": {k: str(v) for k, v in vars(args).items()}, "steps": steps, "log": log,
              "correction_bias": bias, "torch": torch.__version__}
    (args.out / "training.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
