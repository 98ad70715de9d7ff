import copy
import json
import pathlib
import pickle
import tempfile
import unittest
import warnings

import m2
from support import TINY_AGENT

LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}


class MiniMaxM2ConfigTest(unittest.TestCase):
    def test_defaults_are_those_of_the_reference(self):
        config = m2.MiniMaxM2Config()
        expected = {
            "vocab_size": 200064, "hidden_size": 3072, "intermediate_size": 1536,
            "num_hidden_layers": 62, "num_attention_heads": 48, "num_key_value_heads": 8,
            "head_dim": 128, "hidden_act": "silu", "max_position_embeddings": 196608,
            "initializer_range": 0.02, "rms_norm_eps": 1e-6, "use_cache": True,
            "pad_token_id": None, "bos_token_id": 200034, "eos_token_id": 200020,
            "tie_word_embeddings": False, "attention_dropout": 0.0, "num_experts_per_tok": 8,
            "num_local_experts": 256, "num_experts": 256, "output_router_logits": False,
            "router_aux_loss_coef": 0.001, "router_jitter_noise": 0.0, "model_type": "minimax_m2",
            "rope_parameters": {"rope_theta": 5000000.0, "rope_type": "default"},
            "return_dict": True, "output_hidden_states": False, "output_attentions": False,
            "id2label": {0: "LABEL_0", 1: "LABEL_1"}, "num_labels": 2,
        }
        for name, value in expected.items():
            with self.subTest(name):
                self.assertEqual(getattr(config, name), value)

    def test_alias_and_unknown_keys_are_attributes(self):
        config = m2.MiniMaxM2Config(num_experts=16, my_key={"a": [1]})
        self.assertEqual(config.num_local_experts, 16)
        self.assertEqual(config.my_key, {"a": [1]})
        config.num_experts = 8
        self.assertEqual(config.num_local_experts, 8)
        self.assertNotIn("num_experts", config.to_dict())
        with self.assertRaises(AttributeError):
            _ = config.no_such_key
        # Options of generate() are no part of it.
        self.assertFalse(hasattr(m2.MiniMaxM2Config(top_k=3), "top_k"))

    def test_eos_may_be_a_list(self):
        self.assertEqual(m2.MiniMaxM2Config(eos_token_id=[1, 2]).eos_token_id, [1, 2])

    def test_round_trips(self):
        for name, config in {
            "default": m2.MiniMaxM2Config(),
            "linear": m2.MiniMaxM2Config(rope_parameters=LINEAR, dtype="bfloat16"),
            "extra": m2.MiniMaxM2Config(extra_key=[1, {"b": None}], id2label={0: "a"}),
            "tiny-agent": m2.MiniMaxM2Config.from_pretrained(TINY_AGENT),
        }.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                self.assertEqual(pickle.loads(pickle.dumps(config)), config)
                self.assertEqual(copy.deepcopy(config), config)
                self.assertEqual(m2.MiniMaxM2Config.from_dict(config.to_dict()), config)
                config.save_pretrained(folder)
                loaded = m2.AutoConfig.from_pretrained(folder)
                self.assertEqual(loaded.to_json_string(), config.to_json_string())

    def test_json_keeps_generic_attributes_only_when_changed(self):
        config = m2.MiniMaxM2Config(output_hidden_states=True)
        written = json.loads(config.to_json_string())
        self.assertTrue(written["output_hidden_states"])
        self.assertNotIn("return_dict", written)
        self.assertIn("pad_token_id", written)
        self.assertEqual(list(written), sorted(written))
        self.assertIn("return_dict", json.loads(config.to_json_string(use_diff=False)))

    def test_changes_count(self):
        config = m2.MiniMaxM2Config(hidden_size=64, num_attention_heads=4, num_key_value_heads=2)
        changed = copy.deepcopy(config)
        changed.hidden_size = 128
        self.assertNotEqual(config, changed)
        changed.num_key_value_heads = 3
        with self.assertRaises(ValueError):
            changed.validate()

    def test_rope_is_standardised(self):
        for given in (dict(rope_parameters=LINEAR),
                      dict(rope_scaling={"type": "linear", "factor": 2.0}, rope_theta=10000.0)):
            with self.subTest(given):
                config = m2.MiniMaxM2Config(**given)
                self.assertEqual(config.rope_parameters["rope_type"], "linear")
                self.assertEqual(config.rope_parameters["factor"], 2.0)
                self.assertEqual(config.rope_parameters["rope_theta"], 10000.0)

    def test_rotary_dim(self):
        config = m2.MiniMaxM2Config.from_pretrained(TINY_AGENT)
        self.assertEqual(config.rotary_dim_in_use, 32)

    def test_unused_keywords(self):
        config, unused = m2.AutoConfig.from_pretrained(
            TINY_AGENT, return_unused_kwargs=True, use_cache=False, other=3)
        self.assertFalse(config.use_cache)
        self.assertEqual(unused, {"other": 3})

    def test_refused(self):
        for error, arguments in (
            (ValueError, dict(head_dim=-1)),
            (ValueError, dict(hidden_size="wide")),
            (ValueError, dict(num_attention_heads=6, num_key_value_heads=4)),
            (ValueError, dict(rope_parameters={"rope_type": "yarn"})),
            (NotImplementedError, dict(rope_parameters={"rope_type": "spiral"})),
            (NotImplementedError, dict(scoring_func="softmax")),
            (TypeError, dict(key=object())),
        ):
            with self.subTest(arguments), self.assertRaises(error):
                m2.MiniMaxM2Config(**arguments)

    def test_warnings_are_python_warnings(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            m2.MiniMaxM2Config(rope_parameters={**LINEAR, "beta_fast": 3.0})
        self.assertIn("beta_fast", str(caught[0].message))

    def test_damaged_and_absent_files(self):
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaises(FileNotFoundError):
                m2.MiniMaxM2Config.from_pretrained(folder)
            (pathlib.Path(folder) / "config.json").write_text("[")
            with self.assertRaises(OSError) as caught:
                m2.MiniMaxM2Config.from_pretrained(folder)
            self.assertIsInstance(caught.exception, m2.CorruptFileError)


if __name__ == "__main__":
    unittest.main()
