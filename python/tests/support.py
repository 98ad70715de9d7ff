"""What the tests share."""

import importlib.util
import pathlib

import m2

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY_AGENT = str(ROOT / "models" / "tiny-agent")
HAS_TORCH = importlib.util.find_spec("torch") is not None


def tiny_config(**changes):
    """Two layers and four experts: everything that a large model has."""
    values = dict(
        vocab_size=64, hidden_size=32, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, num_local_experts=4,
        num_experts_per_tok=2, bos_token_id=1, eos_token_id=2, max_position_embeddings=128,
        initializer_range=0.3)
    return m2.MiniMaxM2Config(**{**values, **changes})


def tiny_model(**options):
    return m2.MiniMaxM2ForCausalLM(tiny_config(), seed=1, **options).eval()
