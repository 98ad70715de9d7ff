import sys
import threading
import time
import unittest

import m2
import numpy as np
from support import HAS_TORCH, tiny_config, tiny_model

IDS = np.array([[5, 6, 7, 8], [9, 10, 11, 12]])


class ForwardTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = tiny_model(attn_implementation="eager")

    def test_record(self):
        output = self.model(input_ids=IDS)
        self.assertIsInstance(output, m2.MoeCausalLMOutputWithPast)
        self.assertEqual(list(output), ["logits", "past_key_values"])
        self.assertEqual((output.logits.shape, output.logits.dtype), ((2, 4, 64), np.float32))
        self.assertIsInstance(output.past_key_values, m2.DynamicCache)
        self.assertIs(output[0], output.logits)
        self.assertIsInstance(self.model(IDS, return_dict=False), tuple)

    def test_every_output(self):
        output = self.model(
            IDS, labels=IDS, output_hidden_states=True, output_attentions=True,
            output_router_logits=True, use_cache=False)
        self.assertEqual(list(output), ["loss", "aux_loss", "logits", "hidden_states",
                                        "attentions", "router_logits"])
        self.assertEqual(output.loss.shape, ())
        self.assertEqual([h.shape for h in output.hidden_states], [(2, 4, 32)] * 3)
        self.assertEqual([a.shape for a in output.attentions], [(2, 4, 4, 4)] * 2)
        self.assertEqual([r.shape for r in output.router_logits], [(8, 4)] * 2)
        np.testing.assert_allclose(output.attentions[0].sum(-1), 1.0, rtol=1e-5)

    def test_flags_of_the_config_act(self):
        model = tiny_model()
        model.config.output_router_logits = True
        model.config.use_cache = False
        output = model(IDS)
        self.assertIn("router_logits", output)
        self.assertNotIn("past_key_values", output)
        self.assertIn("past_key_values", model(IDS, use_cache=True))

    def test_loss(self):
        labels = IDS.copy()
        labels[0, :2] = -100
        output = self.model(IDS, labels=labels)
        logits = output.logits[:, :-1].astype(np.float64)
        targets = labels[:, 1:]
        log_sums = np.log(np.exp(logits).sum(-1))
        nll = log_sums - np.take_along_axis(logits, np.abs(targets)[..., None] % 64, -1)[..., 0]
        self.assertAlmostEqual(float(output.loss), nll[targets != -100].mean(), places=5)
        total = self.model(IDS, labels=labels, num_items_in_batch=2).loss
        self.assertAlmostEqual(float(total), nll[targets != -100].sum() / 2, places=4)

    def test_logits_to_keep(self):
        every = self.model(IDS).logits
        for keep, expected in ((1, every[:, -1:]), (3, every[:, -3:]),
                               (np.array([2, 0]), every[:, [2, 0]]),
                               (np.array([True, False, False, True]), every[:, [0, 3]])):
            with self.subTest(keep=keep):
                np.testing.assert_allclose(self.model(IDS, logits_to_keep=keep).logits, expected,
                                           atol=1e-5)

    def test_cache_continues(self):
        every = self.model(IDS).logits
        for cache in (m2.DynamicCache(), m2.StaticCache(max_cache_len=8),
                      m2.StaticCache(self.model.config, 8), m2.DynamicCache(offloading=True),
                      m2.StaticCache(max_cache_len=8, offloading=True)):
            with self.subTest(cache=cache):
                first = self.model(IDS[:, :3], past_key_values=cache)
                self.assertIs(first.past_key_values, cache)
                self.assertEqual(cache.get_seq_length(), 3)
                rest = self.model(IDS[:, 3:], past_key_values=cache).logits
                np.testing.assert_allclose(rest, every[:, 3:], atol=1e-5)

    def test_forms_of_ids(self):
        expected = self.model(IDS).logits
        for ids in (IDS.astype(np.int32), IDS.tolist(), np.asfortranarray(IDS),
                    IDS.astype(np.uint8)):
            np.testing.assert_array_equal(self.model(ids).logits, expected)

    def test_masks(self):
        mask = np.array([[0, 1, 1, 1], [1, 1, 1, 1]])
        expected = self.model(IDS, attention_mask=mask).logits
        for other in (mask.astype(bool), mask.astype(np.float32), mask.tolist()):
            np.testing.assert_array_equal(self.model(IDS, attention_mask=other).logits, expected)
        causal = np.tril(np.ones((4, 4), bool)) & mask[:, None, None].astype(bool)
        four = self.model(IDS, attention_mask=causal).logits
        np.testing.assert_allclose(four[:, 1:], expected[:, 1:], atol=1e-5)

    def test_embeddings_instead_of_ids(self):
        output = self.model(IDS, output_hidden_states=True)
        again = self.model(inputs_embeds=output.hidden_states[0])
        np.testing.assert_allclose(again.logits, output.logits, atol=1e-5)

    def test_results_own_their_memory(self):
        logits = tiny_model()(IDS).logits
        self.assertTrue(np.isfinite(logits).all())
        logits[:] = 1.0

    def test_bare_model(self):
        bare = self.model.model
        output = bare(IDS)
        self.assertIsInstance(output, m2.MoeModelOutputWithPast)
        self.assertEqual(output.last_hidden_state.shape, (2, 4, 32))
        full = self.model(IDS, output_hidden_states=True)
        np.testing.assert_array_equal(output.last_hidden_state, full.hidden_states[-1])
        with self.assertRaises(TypeError):
            bare(IDS, labels=IDS)

    def test_refused(self):
        for error, arguments in (
            (ValueError, dict()),
            (ValueError, dict(input_ids=IDS, inputs_embeds=np.zeros((2, 4, 32), np.float32))),
            (ValueError, dict(input_ids=[[1, 99]])),
            (ValueError, dict(input_ids=[[1, 2], [3]])),
            (TypeError, dict(input_ids=[[1.5]])),
            (TypeError, dict(input_ids=IDS, labels=IDS.astype(np.float32))),
            (TypeError, dict(input_ids=IDS, past_key_values=[1])),
            (TypeError, dict(input_ids=IDS, no_such_argument=1)),
        ):
            with self.subTest(arguments), self.assertRaises(error):
                self.model(**arguments)

    @unittest.skipUnless(HAS_TORCH, "torch is not installed")
    def test_torch(self):
        import torch

        expected = self.model(IDS, labels=IDS, output_hidden_states=True)
        ids = torch.tensor(IDS)
        output = self.model(ids, labels=ids, output_hidden_states=True)
        self.assertIsInstance(output.logits, torch.Tensor)
        self.assertIsInstance(output.loss, torch.Tensor)
        np.testing.assert_array_equal(output.logits.numpy(), expected.logits)
        embeds = output.hidden_states[0].clone().requires_grad_()
        again = self.model(inputs_embeds=embeds)
        np.testing.assert_allclose(again.logits.numpy(), expected.logits, atol=1e-5)
        half = self.model(inputs_embeds=embeds.to(torch.bfloat16))
        self.assertEqual(half.logits.dtype, torch.float32)
        mask = torch.ones(2, 4, dtype=torch.bool)
        np.testing.assert_array_equal(
            self.model(ids, attention_mask=mask).logits.numpy(), expected.logits)


class ModelTest(unittest.TestCase):
    def test_seeds(self):
        first, second = tiny_model(), tiny_model()
        np.testing.assert_array_equal(first(IDS).logits, second(IDS).logits)
        other = m2.MiniMaxM2ForCausalLM(tiny_config(), seed=2)
        self.assertGreater(np.abs(other(IDS).logits - first(IDS).logits).max(), 0.01)

    def test_attributes(self):
        model = tiny_model()
        self.assertEqual(model.num_parameters(), 23040)
        self.assertEqual(model.model.num_parameters(), 23040 - 64 * 32)
        self.assertEqual(str(model.model.device), "cpu")
        self.assertEqual((str(model.device), model.device.type), ("cpu", "cpu"))
        self.assertEqual(model.dtype, "float32")
        self.assertIs(model.to("cpu"), model)
        with self.assertRaises(NotImplementedError):
            model.to("cuda")
        self.assertFalse(model.training)
        self.assertTrue(m2.MiniMaxM2Model(tiny_config()).training)
        self.assertTrue(model.train().training)
        self.assertFalse(model.eval().training)
        self.assertEqual(model.generation_config.eos_token_id, 2)
        self.assertIs(model.model.config, model.config)
        self.assertTrue(model.can_generate())

    def test_auto_classes(self):
        self.assertIsInstance(m2.AutoModelForCausalLM.from_config(tiny_config()),
                              m2.MiniMaxM2ForCausalLM)
        self.assertIsInstance(m2.AutoModel.from_config(tiny_config()), m2.MiniMaxM2Model)
        with self.assertRaises(OSError):
            m2.AutoModelForCausalLM()

    def test_other_threads_run_meanwhile(self):
        # Threads change only where the lock is given up: here, that is inside forward().
        model, ids = tiny_model(), np.tile(IDS, (8, 16))
        counted, stop = [0], threading.Event()

        def count():
            while not stop.is_set():
                counted[0] += 1
                time.sleep(0)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1000)
        thread = threading.Thread(target=count)
        thread.start()
        try:
            counted[0] = 0
            model(ids)
            after = counted[0]
        finally:
            sys.setswitchinterval(interval)
            stop.set()
            thread.join()
        self.assertGreater(after, 0)


class CacheTest(unittest.TestCase):
    def setUp(self):
        self.model = tiny_model()
        self.cache = m2.DynamicCache()
        self.model(IDS, past_key_values=self.cache)

    def test_shape(self):
        cache = self.cache
        self.assertEqual((len(cache), cache.get_seq_length(), cache.batch_size), (2, 4, 2))
        self.assertEqual(cache.get_max_cache_shape(), -1)
        self.assertEqual(cache.layers[1].keys.shape, (2, 2, 4, 8))
        self.assertEqual(cache.layers[0].values.dtype, np.float32)

    def test_rows(self):
        keys = self.cache.layers[0].keys
        self.cache.reorder_cache(np.array([1, 0]))
        np.testing.assert_array_equal(self.cache.layers[0].keys, keys[::-1])
        self.cache.batch_repeat_interleave(2)
        self.assertEqual(self.cache.batch_size, 4)
        self.cache.batch_select_indices([0, 3])
        np.testing.assert_array_equal(self.cache.layers[0].keys, keys[::-1])
        with self.assertRaises(ValueError):
            self.cache.reorder_cache([0, 7])

    def test_crop_and_reset(self):
        self.cache.crop(3)
        self.assertEqual(self.cache.get_seq_length(), 3)
        self.cache.crop(-1)
        self.assertEqual(self.cache.get_seq_length(), 2)
        self.cache.reset()
        self.assertEqual(self.cache.get_seq_length(), 0)

    def test_refused(self):
        with self.assertRaises(ValueError):
            m2.StaticCache(max_cache_len=0)
        with self.assertRaises(ValueError):
            self.model(IDS[:1], past_key_values=self.cache)


if __name__ == "__main__":
    unittest.main()
