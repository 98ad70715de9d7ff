import json
import pathlib
import shutil
import tempfile
import unittest

import m2
import numpy as np
from m2.loading import bytes_of, device_arguments, loading_arguments
from support import TINY_AGENT, tiny_config, tiny_model

IDS = np.array([[5, 6, 7, 8]])


class ArgumentsTest(unittest.TestCase):
    def test_devices(self):
        for given, expected in (
            (None, {}), ("auto", {"device_map": "auto"}), (1, {"device_map": "cuda:1"}),
            ({"": 0, "lm_head": "cpu"},
             {"device_map_modules": {"": "cuda:0", "lm_head": "cpu"}}),
        ):
            self.assertEqual(device_arguments(given, None), expected)
        self.assertEqual(device_arguments("auto", {0: "20GB", "cpu": 5}),
                         {"device_map": "auto", "max_memory": {"cuda:0": 20 * 10**9, "cpu": 5}})
        with self.assertRaises(ValueError):
            device_arguments(-1, None)

    def test_sizes(self):
        for text, size in (("20GB", 20 * 10**9), ("1.5 GiB", 3 * 2**29), ("7", 7), (8, 8)):
            self.assertEqual(bytes_of("max_memory", text), size)
        with self.assertRaises(ValueError):
            bytes_of("max_memory", "lots")

    def test_forms(self):
        _, arguments = loading_arguments(TINY_AGENT, torch_dtype="float32", trust_remote_code=True,
                                      quantization_config={"quant_method": "fp8",
                                                           "dequantize": True})
        self.assertEqual(arguments["dtype"], "float32")
        self.assertTrue(arguments["dequantize"])
        self.assertNotIn("trust_remote_code", arguments)
        _, changed = loading_arguments(TINY_AGENT, output_router_logits=True)
        self.assertTrue(json.loads(changed["config"])["output_router_logits"])
        with self.assertRaises(NotImplementedError):
            loading_arguments(TINY_AGENT, quantization_config={"quant_method": "awq"})


class FromPretrainedTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_round_trip(self):
        model = tiny_model()
        model.generation_config.max_new_tokens = 3
        model.save_pretrained(self.folder, max_shard_size="20KB")
        self.assertTrue((self.folder / "model.safetensors.index.json").is_file())
        again, info = m2.AutoModelForCausalLM.from_pretrained(
            self.folder, output_loading_info=True)
        np.testing.assert_array_equal(again(IDS).logits, model(IDS).logits)
        self.assertEqual(again.generation_config.max_new_tokens, 3)
        self.assertEqual(again.config.architectures, ["MiniMaxM2ForCausalLM"])
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            self.assertEqual(info[kind], set())
        with self.assertWarnsRegex(UserWarning, "lm_head"):
            bare = m2.AutoModel.from_pretrained(self.folder)
        self.assertEqual(bare(IDS).last_hidden_state.shape, (1, 4, 32))

    def test_attributes_of_the_config(self):
        tiny_model().save_pretrained(self.folder)
        model = m2.AutoModelForCausalLM.from_pretrained(self.folder, output_router_logits=True)
        self.assertIn("router_logits", model(IDS))
        config = tiny_config(use_cache=False)
        model = m2.AutoModelForCausalLM.from_pretrained(self.folder, config=config)
        self.assertNotIn("past_key_values", model(IDS))

    def test_dtype_and_devices(self):
        tiny_model().save_pretrained(self.folder)
        model = m2.AutoModelForCausalLM.from_pretrained(
            self.folder, dtype="bfloat16", device_map="cpu")
        self.assertEqual((model.dtype, str(model.device)), ("bfloat16", "cpu"))

    def test_resize(self):
        model = tiny_model()
        before = model(IDS).logits
        self.assertEqual(model.resize_token_embeddings(70, pad_to_multiple_of=8), 72)
        self.assertEqual(model.config.vocab_size, 72)
        after = model(IDS).logits
        np.testing.assert_allclose(after[..., :64], before, atol=1e-5)
        self.assertEqual(after.shape[-1], 72)

    def test_errors(self):
        with self.assertRaises(FileNotFoundError):
            m2.AutoModelForCausalLM.from_pretrained(self.folder / "absent")
        tiny_model().save_pretrained(self.folder)
        with self.assertRaises(TypeError):
            m2.AutoModelForCausalLM.from_pretrained(self.folder, no_such_argument=1)
        with self.assertRaisesRegex(OSError, "shape"):
            m2.AutoModelForCausalLM.from_pretrained(self.folder, vocab_size=65)
        with self.assertWarnsRegex(UserWarning, "random"):
            resized = m2.AutoModelForCausalLM.from_pretrained(
                self.folder, vocab_size=65, ignore_mismatched_sizes=True)
        self.assertEqual(resized(IDS).logits.shape[-1], 65)
        (self.folder / "model.safetensors").write_bytes(b"damaged")
        with self.assertRaises(OSError):
            m2.AutoModelForCausalLM.from_pretrained(self.folder)

    def test_progress_and_its_exceptions(self):
        shutil.copytree(TINY_AGENT, self.folder, dirs_exist_ok=True)
        seen = []
        m2.AutoModelForCausalLM.from_pretrained(
            self.folder, progress=lambda done, total: seen.append((done, total)))
        self.assertEqual(seen[-1][0], seen[-1][1])

        def fail(done, total):
            raise KeyError("progress")

        with self.assertRaises(KeyError):
            m2.AutoModelForCausalLM.from_pretrained(self.folder, progress=fail)


if __name__ == "__main__":
    unittest.main()
