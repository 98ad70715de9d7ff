import json
import pickle
import tempfile
import unittest

import m2
import numpy as np
from support import TINY_AGENT


class GenerationConfigTest(unittest.TestCase):
    def test_fields_are_not_set_by_default(self):
        config = m2.GenerationConfig()
        self.assertIsNone(config.max_new_tokens)
        self.assertIsNone(config.temperature)
        self.assertEqual(json.loads(config.to_json_string()), {"transformers_version": "5.1.0"})
        self.assertEqual(repr(config), "GenerationConfig {}\n")
        with self.assertRaises(AttributeError):
            _ = config.no_such_field

    def test_round_trips(self):
        config = m2.GenerationConfig(
            max_new_tokens=5, do_sample=True, temperature=0.5, eos_token_id=[1, 2],
            stop_strings="x", bad_words_ids=[[1], [2, 3]], sequence_bias=[[[4, 5], -1.5]])
        self.assertEqual(pickle.loads(pickle.dumps(config)), config)
        self.assertEqual(m2.GenerationConfig.from_dict(config.to_dict()), config)
        with tempfile.TemporaryDirectory() as folder:
            config.save_pretrained(folder)
            loaded = m2.GenerationConfig.from_pretrained(folder)
        self.assertEqual(loaded.eos_token_id, [1, 2])
        self.assertEqual(loaded.sequence_bias, [[[4, 5], -1.5]])
        self.assertEqual(loaded.max_new_tokens, 5)

    def test_forms_of_values(self):
        for given, name, expected in (
            (dict(sequence_bias={(4, 0): -1.0}), "sequence_bias", [[[4, 0], -1.0]]),
            (dict(sequence_bias={(4,): float("-inf")}), "sequence_bias",
             [[[4], {"__float__": "-Infinity"}]]),
            (dict(suppress_tokens=np.array([3, 4])), "suppress_tokens", [3, 4]),
            (dict(eos_token_id=np.int64(7)), "eos_token_id", 7),
        ):
            with self.subTest(given):
                native = json.loads(m2.GenerationConfig(**given).to_native().to_json())
                self.assertEqual(native[name], expected)

    def test_update_returns_what_it_does_not_know(self):
        config = m2.GenerationConfig()
        self.assertEqual(config.update(top_k=3, other=1), {"other": 1})
        self.assertEqual(config.top_k, 3)

    def test_refused(self):
        for error, arguments in (
            (ValueError, dict(no_such_option=1)),
            (ValueError, dict(max_new_tokens="many")),
            (ValueError, dict(max_new_tokens=-1)),
            (TypeError, dict(stop_strings=object())),
        ):
            with self.subTest(arguments), self.assertRaises(error):
                m2.GenerationConfig(**arguments)

    def test_of_a_model(self):
        config = m2.GenerationConfig.from_pretrained(TINY_AGENT, max_new_tokens=9)
        self.assertEqual((config.eos_token_id, config.pad_token_id, config.max_new_tokens),
                         (2004, 2004, 9))
        self.assertFalse(config.do_sample)

    def test_from_model_config(self):
        config = m2.GenerationConfig.from_model_config(m2.MiniMaxM2Config())
        self.assertEqual((config.bos_token_id, config.eos_token_id, config.use_cache),
                         (200034, 200020, True))


if __name__ == "__main__":
    unittest.main()
