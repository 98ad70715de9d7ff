"""The tiny models of the suite: config.json and seeded weights, made with NumPy alone.

Both sides load the same files, so no golden depends on how torch draws random numbers.
"""

import json
import math
import pathlib
import zlib

import numpy as np

import arrays

SHAPE = dict(
    vocab_size=96, hidden_size=32, intermediate_size=16, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, head_dim=16, num_local_experts=8,
    num_experts_per_tok=2, max_position_embeddings=512, pad_token_id=0, bos_token_id=1,
    eos_token_id=2, rms_norm_eps=1e-6, hidden_act="silu", tie_word_embeddings=False,
    router_aux_loss_coef=0.01,
)  # fmt: skip


def rope(rope_type="default", theta=10000.0, partial=0.5, **fields):
    return {"rope_type": rope_type, "rope_theta": theta, "partial_rotary_factor": partial, **fields}


def _longrope(short, long):
    """Factor lists of R/2 = 4 entries that differ from one frequency to the next."""
    return {"short_factor": [short + 0.1 * i for i in range(4)],
            "long_factor": [long + 0.7 * i for i in range(4)]}  # fmt: skip


ACTIVATIONS = ("silu", "swish", "gelu", "gelu_python", "gelu_new", "gelu_accurate",
               "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_10", "quick_gelu",
               "relu", "relu2", "relu6", "leaky_relu", "sigmoid", "tanh", "linear", "mish",
               "laplace")  # fmt: skip

# Past its original length (32, or max_position_embeddings) each type behaves differently.
_SHORT = dict(max_position_embeddings=64)
ROPES = {
    "default": {},
    "default_full": dict(rope_parameters=rope(partial=1.0)),
    "default_theta": dict(rope_parameters=rope(theta=123.0)),
    "linear": dict(rope_parameters=rope("linear", factor=4.0)),
    "dynamic": dict(rope_parameters=rope("dynamic", factor=2.0), max_position_embeddings=32),
    "dynamic_big": dict(rope_parameters=rope("dynamic", factor=8.0), max_position_embeddings=24),
    "yarn": dict(rope_parameters=rope("yarn", factor=2.0, original_max_position_embeddings=32),
                 **_SHORT),
    "yarn_mscale": dict(rope_parameters=rope("yarn", factor=2.0, mscale=0.7, mscale_all_dim=1.3,
                                             original_max_position_embeddings=32), **_SHORT),
    "yarn_options": dict(rope_parameters=rope("yarn", factor=2.0, attention_factor=0.8,
                                              beta_fast=16.0, beta_slow=2.0, truncate=False,
                                              original_max_position_embeddings=32), **_SHORT),
    "longrope": dict(rope_parameters=rope("longrope", factor=2.0, **_longrope(1.0, 2.0),
                                          original_max_position_embeddings=32), **_SHORT),
    "longrope_attention": dict(rope_parameters=rope("longrope", **_longrope(1.0, 3.0),
                                                    attention_factor=1.2,
                                                    original_max_position_embeddings=32), **_SHORT),
    "llama3": dict(rope_parameters=rope("llama3", factor=8.0, low_freq_factor=1.0,
                                        high_freq_factor=4.0,
                                        original_max_position_embeddings=32), **_SHORT),
    "yarn_top": dict(rope_parameters=rope("yarn", factor=2.0, original_max_position_embeddings=64),
                     original_max_position_embeddings=32, **_SHORT),
    "longrope_top": dict(rope_parameters=rope("longrope", factor=2.0, **_longrope(1.0, 2.0)),
                         original_max_position_embeddings=32, **_SHORT),
    "llama3_full": dict(rope_parameters=rope("llama3", theta=50.0, partial=1.0, factor=2.0,
                                             low_freq_factor=1.0, high_freq_factor=3.0,
                                             original_max_position_embeddings=48), **_SHORT),
}  # fmt: skip

# Changes of SHAPE; keys that start with "_" say how the weights are made.
MODELS = {
    "gqa": {},
    "mha": dict(num_key_value_heads=4, rope_parameters=rope(partial=1.0)),
    "mqa": dict(num_key_value_heads=1),
    "tied": dict(tie_word_embeddings=True),
    "one_layer": dict(num_hidden_layers=1),
    "four_layers": dict(num_hidden_layers=4, hidden_size=24, num_local_experts=4),
    "odd": dict(vocab_size=99, hidden_size=28, intermediate_size=19, num_attention_heads=6,
                num_key_value_heads=3, head_dim=10, num_local_experts=5, num_experts_per_tok=3,
                rope_parameters=rope(partial=0.6)),
    "all_experts": dict(num_local_experts=4, num_experts_per_tok=4),
    "one_expert": dict(num_local_experts=1, num_experts_per_tok=1),
    "many_experts": dict(num_local_experts=33, num_experts_per_tok=7, intermediate_size=9),
    "wide_heads": dict(head_dim=64, hidden_size=24, num_attention_heads=2, num_key_value_heads=1),
    "narrow_heads": dict(head_dim=4, num_attention_heads=8, num_key_value_heads=4),
    "rotary_pair": dict(rope_parameters=rope(partial=0.125)),
    "large_eps": dict(rms_norm_eps=0.05),
    "router_flag": dict(output_router_logits=True),
    "no_cache": dict(use_cache=False),
    "bias_rules": dict(_bias=6.0),
    "bias_negative": dict(_bias=0.3, _bias_offset=-4.0),
    "bias_zero": dict(_bias=0.0),
    "jitter": dict(router_jitter_noise=0.3),
    "dropout": dict(attention_dropout=0.4),
    "wide_vocab": dict(vocab_size=301, _head=3.0),
    # For generate(): sharper logits, so that rounding decides between no two tokens.
    "gen": dict(vocab_size=64, _head=6.0),
    "gen_eos_often": dict(vocab_size=24, _head=4.0),
    "gen_eos_list": dict(vocab_size=24, _head=4.0, eos_token_id=[2, 5, 11]),
    "gen_no_pad": dict(vocab_size=64, _head=6.0, pad_token_id=None),
    "gen_no_eos": dict(vocab_size=64, _head=6.0, eos_token_id=None),
    "gen_flat": dict(_head=1.5),  # for sampling
    "gen_flat_draft": dict(_head=1.5, num_hidden_layers=1, _like="gen_flat"),
    "gen_draft": dict(vocab_size=64, _head=6.0, num_hidden_layers=1, _like="gen"),
    **{f"act_{name}": dict(hidden_act=name, num_hidden_layers=1) for name in ACTIVATIONS},
    **{f"rope_{name}": changes for name, changes in ROPES.items()},
}  # fmt: skip


def config_of(name):
    """The fields of config.json."""
    fields = {"architectures": ["MiniMaxM2ForCausalLM"], "model_type": "minimax_m2",
              "dtype": "float32", **SHAPE, "rope_parameters": rope(), **MODELS[name]}  # fmt: skip
    return {key: value for key, value in fields.items() if not key.startswith("_")}


def _shapes(config):
    """Hub name -> shape. Nq, Nkv, D, H, I, E, V as in the config."""
    h, i, d = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    q, kv = config["num_attention_heads"] * d, config["num_key_value_heads"] * d
    experts = config["num_local_experts"]
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], h), "model.norm.weight": (h,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], h)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        shapes |= {
            at + "input_layernorm.weight": (h,), at + "post_attention_layernorm.weight": (h,),
            at + "self_attn.q_proj.weight": (q, h), at + "self_attn.k_proj.weight": (kv, h),
            at + "self_attn.v_proj.weight": (kv, h), at + "self_attn.o_proj.weight": (h, q),
            at + "self_attn.q_norm.weight": (q,), at + "self_attn.k_norm.weight": (kv,),
            at + "block_sparse_moe.gate.weight": (experts, h),
            at + "block_sparse_moe.e_score_correction_bias": (experts,),
        }  # fmt: skip
        for expert in range(experts):
            inner = f"{at}block_sparse_moe.experts.{expert}."
            shapes |= {inner + "w1.weight": (i, h), inner + "w2.weight": (h, i),
                       inner + "w3.weight": (i, h)}  # fmt: skip
    return shapes


def _values(name, shape, rules, model):
    """Weights of a realistic spread, keyed by model and tensor name: [*shape] f32."""
    draw = np.random.RandomState(zlib.crc32(f"{model}/{name}".encode()))
    noise = draw.standard_normal(shape)
    if name.endswith("e_score_correction_bias"):
        noise = rules.get("_bias_offset", 0.0) + rules.get("_bias", 0.3) * noise
    elif "norm" in name:
        noise = 1.0 + 0.25 * noise
    elif "embed_tokens" not in name:
        gain = 2.0 if "gate.weight" in name else 1.2
        if "lm_head" in name:
            gain = rules.get("_head", 2.0)
        noise = gain * noise / math.sqrt(shape[-1])
    return noise.astype(np.float32)


def weights_of(name):
    """Hub name -> f32 array."""
    rules = MODELS[name]
    model = rules.get("_like", name)
    return {key: _values(key, shape, rules, model)
            for key, shape in _shapes(config_of(name)).items()}  # fmt: skip


def fuse(tensors, config):
    """The internal form: one array for the experts of a layer."""
    result = {}
    for key, value in tensors.items():
        if ".experts." not in key:
            result[key.replace("block_sparse_moe", "mlp")] = value
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}.block_sparse_moe.experts."
        stacks = {w: np.stack([tensors[f"{at}{expert}.{w}.weight"]
                               for expert in range(config["num_local_experts"])])
                  for w in ("w1", "w2", "w3")}  # fmt: skip
        inner = f"model.layers.{layer}.mlp.experts."
        result[inner + "gate_up_proj"] = np.concatenate([stacks["w1"], stacks["w3"]], axis=1)
        result[inner + "down_proj"] = stacks["w2"]
    return result


def write_json(path, value):
    pathlib.Path(path).write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def write_model(directory, name, config=None, tensors=None):
    """A checkpoint of one file. Returns its directory."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "config.json", config_of(name) if config is None else config)
    arrays.write_safetensors(directory / "model.safetensors",
                             weights_of(name) if tensors is None else tensors,
                             {"format": "pt"})  # fmt: skip
    return directory


def write_shards(directory, tensors, count, metadata=True):
    """model-0000i-of-0000n.safetensors and the index; tensors are dealt out in turn."""
    directory = pathlib.Path(directory)
    files = [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
    where = {key: files[i % count] for i, key in enumerate(sorted(tensors))}
    for file in files:
        part = {key: tensors[key] for key in tensors if where[key] == file}
        arrays.write_safetensors(directory / file, part, {"format": "pt"})
    index = {"weight_map": where}
    if metadata:
        index["metadata"] = {"total_size": sum(value.nbytes for value in tensors.values())}
    write_json(directory / "model.safetensors.index.json", index)
    return files


FP8_SKIPPED = ["gate", "e_score_correction_bias", "lm_head"]


def quantise(weight, block):
    """(bits of F8_E4M3, scales f32, what they stand for f32); edge blocks may be partial."""
    rows, cols = weight.shape
    scales = np.empty((-(-rows // block[0]), -(-cols // block[1])), np.float32)
    bits, meant = np.empty(weight.shape, np.uint8), np.empty_like(weight)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            part = (slice(i * block[0], (i + 1) * block[0]), slice(j * block[1], (j + 1) * block[1]))
            scales[i, j] = np.abs(weight[part]).max() / np.float32(448)
            bits[part] = arrays.to_e4m3((weight[part] / scales[i, j]).clip(-448, 448))
            meant[part] = arrays.from_e4m3(bits[part]) * scales[i, j]
    return bits, scales, meant


def write_fp8(directory, name, block, rounded=False):
    """The published form: FP8 blocks, BF16 for the rest, the router in F32. Returns (directory,
    one with the same numbers in F32), as the reference cannot load FP8 on a CPU. rounded: the
    latter's FP8 numbers rounded to BF16, as by a load that dequantises."""
    stored, meant = {}, {}
    for key, value in weights_of(name).items():
        if "_proj.weight" in key or ".experts." in key:
            bits, scales, exact = quantise(value, block)
            meant[key] = arrays.from_bf16(arrays.to_bf16(exact)) if rounded else exact
            stored[key], stored[key + "_scale_inv"] = ("F8_E4M3", bits), scales
        elif ".gate." in key or "correction_bias" in key:
            stored[key] = meant[key] = value
        else:
            bits = arrays.to_bf16(value)
            stored[key], meant[key] = ("BF16", bits), arrays.from_bf16(bits)
    config = config_of(name)
    quantization = {"activation_scheme": "dynamic", "fmt": "float8_e4m3fn", "quant_method": "fp8",
                    "weight_block_size": list(block), "modules_to_not_convert": FP8_SKIPPED}  # fmt: skip
    directory = pathlib.Path(directory)
    write_model(directory / "fp8", name, {**config, "quantization_config": quantization}, stored)
    write_model(directory / "meant", name, config, meant)
    return directory / "fp8", directory / "meant"
