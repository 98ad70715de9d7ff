import os
import signal
import threading
import time
import unittest
import warnings

import m2
import numpy as np
from support import HAS_TORCH, TINY_AGENT, tiny_model

PROMPT = np.array([[5, 6, 7]])
ROWS = np.array([[5, 6, 7], [8, 9, 10]])
PLAIN = dict(max_new_tokens=5, do_sample=False)


def endless_model():
    """A model without an end token, so that every row has as many tokens as asked for."""
    model = tiny_model()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


class GenerateTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = endless_model()
        cls.expected = cls.model.generate(PROMPT, **PLAIN)

    def test_greedy_is_the_argmax_of_forward(self):
        ids = PROMPT
        for _ in range(5):
            best = self.model(ids).logits[:, -1].argmax(-1)
            ids = np.concatenate([ids, best[:, None]], axis=1)
        np.testing.assert_array_equal(self.expected, ids)
        self.assertEqual(self.expected.dtype, np.int64)

    def test_sources_of_options(self):
        config = m2.GenerationConfig(**PLAIN)
        np.testing.assert_array_equal(self.model.generate(PROMPT, config), self.expected)
        shorter = self.model.generate(PROMPT, config, max_new_tokens=2)
        np.testing.assert_array_equal(shorter, self.expected[:, :5])
        model = endless_model()
        model.generation_config.max_new_tokens = 2
        self.assertEqual(model.generate(PROMPT).shape, (1, 5))

    def test_records(self):
        for options, kind in ((dict(), m2.GenerateDecoderOnlyOutput),
                              (dict(num_beams=2), m2.GenerateBeamDecoderOnlyOutput)):
            with self.subTest(options):
                output = self.model.generate(
                    ROWS, return_dict_in_generate=True, output_scores=True, output_logits=True,
                    output_hidden_states=True, **PLAIN, **options)
                self.assertIsInstance(output, kind)
                self.assertEqual(output.sequences.shape, (2, 8))
                self.assertEqual(len(output.scores), 5)
                rows = 2 * options.get("num_beams", 1)
                self.assertEqual(output.scores[0].shape, (rows, 64))
                self.assertEqual(output.hidden_states[0][0].shape, (rows, 3, 32))
                self.assertEqual(output.hidden_states[1][0].shape, (rows, 1, 32))
                self.assertIsInstance(output.past_key_values, m2.Cache)
                scores = self.model.compute_transition_scores(
                    output.sequences, output.scores, output.get("beam_indices"),
                    normalize_logits=not options)
                self.assertEqual(scores.shape, (2, 5))

    def test_offloaded_caches(self):
        for name, capacity in (("offloaded", -1), ("offloaded_static", 7)):
            with self.subTest(name), warnings.catch_warnings():
                warnings.simplefilter("error")
                output = self.model.generate(PROMPT, cache_implementation=name,
                                             return_dict_in_generate=True, **PLAIN)
                np.testing.assert_array_equal(output.sequences, self.expected)
                self.assertEqual(output.past_key_values.get_max_cache_shape(), capacity)

    def test_sampling_is_seeded(self):
        options = dict(max_new_tokens=8, do_sample=True, num_return_sequences=3)
        first = self.model.generate(PROMPT, seed=3, **options)
        self.assertEqual(first.shape, (3, 11))
        np.testing.assert_array_equal(first, self.model.generate(PROMPT, seed=3, **options))

    def test_processors(self):
        seen = []

        def only_nine(input_ids, scores):
            seen.append((input_ids.shape, scores.shape))
            scores = np.full_like(scores, -np.inf)
            scores[:, 9] = 0.0
            return scores

        for processors in ([only_nine], m2.LogitsProcessorList([only_nine])):
            seen.clear()
            output = self.model.generate(PROMPT, logits_processor=processors, **PLAIN)
            self.assertEqual(output[0, 3:].tolist(), [9] * 5)
            self.assertEqual(seen, [((1, 3 + i), (1, 64)) for i in range(5)])
        with self.assertRaisesRegex(TypeError, "None"):
            self.model.generate(PROMPT, logits_processor=[lambda ids, scores: None], **PLAIN)

    def test_stopping_criteria(self):
        def at_five(input_ids, scores, **kwargs):
            return input_ids.shape[1] >= 5

        for criteria in ([at_five], m2.StoppingCriteriaList([at_five]),
                         [lambda ids, scores: np.array([ids.shape[1] >= 5])]):
            output = self.model.generate(PROMPT, stopping_criteria=criteria, **PLAIN)
            self.assertEqual(output.shape, (1, 5))

    def test_prefix_function(self):
        output = self.model.generate(
            PROMPT, prefix_allowed_tokens_fn=lambda batch, ids: [len(ids) + 10, 60], **PLAIN)
        self.assertTrue(set(output[0, 3:].tolist()) <= {*range(13, 18), 60})

    def test_exceptions_of_callbacks_come_out(self):
        class Streamer(m2.BaseStreamer):
            def put(self, value):
                raise KeyError("streamer")

            def end(self):
                pass

        def fail(*args):
            raise KeyError("callback")

        for arguments in (dict(logits_processor=[fail]), dict(stopping_criteria=[fail]),
                          dict(prefix_allowed_tokens_fn=fail), dict(streamer=Streamer())):
            with self.subTest(arguments), self.assertRaises(KeyError):
                self.model.generate(PROMPT, **arguments, **PLAIN)
        np.testing.assert_array_equal(self.model.generate(PROMPT, **PLAIN), self.expected)

    def test_ctrl_c(self):
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        start = time.monotonic()
        with self.assertRaises(KeyboardInterrupt):
            for _ in range(10**6):
                self.model.generate(PROMPT, max_length=128)
        self.assertLess(time.monotonic() - start, 30)
        np.testing.assert_array_equal(self.model.generate(PROMPT, **PLAIN), self.expected)

    def test_assistant(self):
        output = self.model.generate(PROMPT, assistant_model=endless_model(), **PLAIN)
        np.testing.assert_array_equal(output, self.expected)

    def test_refused(self):
        for error, arguments in (
            (ValueError, dict(no_such_option=1)),
            (ValueError, dict(input_ids=PROMPT)),
            (ValueError, dict(max_new_tokens=0)),
            (TypeError, dict(attention_mask="all")),
            (TypeError, dict(logits_processor=[3])),
        ):
            with self.subTest(arguments), self.assertRaises(error):
                self.model.generate(PROMPT, **{**PLAIN, **arguments})

    @unittest.skipUnless(HAS_TORCH, "torch is not installed")
    def test_torch(self):
        import torch

        def check(input_ids, scores):
            assert isinstance(scores, torch.Tensor) and input_ids.dtype == torch.int64
            return scores

        output = self.model.generate(torch.tensor(PROMPT), logits_processor=[check], **PLAIN)
        self.assertIsInstance(output, torch.Tensor)
        np.testing.assert_array_equal(output.numpy(), self.expected)


class StreamerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = m2.AutoModelForCausalLM.from_pretrained(TINY_AGENT)
        cls.tokenizer = m2.AutoTokenizer.from_pretrained(TINY_AGENT)
        cls.inputs = cls.tokenizer("Hello", return_tensors="np")
        ids = cls.model.generate(**cls.inputs, max_new_tokens=12)
        cls.text = cls.tokenizer.decode(ids[0])

    def test_text_comes_in_pieces(self):
        pieces, ends = [], []

        class Streamer(m2.TextStreamer):
            def on_finalized_text(self, text, stream_end=False):
                pieces.append(text)
                ends.append(stream_end)

        self.model.generate(**self.inputs, max_new_tokens=12, streamer=Streamer(self.tokenizer))
        self.assertEqual("".join(pieces), self.text)
        self.assertEqual((ends[-1], sum(ends)), (True, 1))
        pieces.clear()
        self.model.generate(**self.inputs, max_new_tokens=12,
                            streamer=Streamer(self.tokenizer, skip_prompt=True))
        self.assertEqual("Hello" + "".join(pieces), self.text)

    def test_iterator_on_another_thread(self):
        streamer = m2.TextIteratorStreamer(self.tokenizer, timeout=60)
        thread = threading.Thread(target=self.model.generate, kwargs=dict(
            **self.inputs, max_new_tokens=12, streamer=streamer))
        thread.start()
        self.assertEqual("".join(streamer), self.text)
        thread.join()

    def test_a_streamer_is_freed(self):
        import gc
        import weakref

        streamer = m2.TextStreamer(self.tokenizer)
        alive = weakref.ref(streamer)
        del streamer
        gc.collect()
        self.assertIsNone(alive())

    def test_protocol(self):
        calls = []

        class Streamer:
            def put(self, value):
                calls.append(np.asarray(value).tolist())

            def end(self):
                calls.append("end")

        self.model.generate(**self.inputs, max_new_tokens=2, streamer=Streamer(),
                            eos_token_id=None)
        self.assertEqual(calls[0], self.inputs.input_ids.tolist())
        self.assertEqual([len(call) for call in calls[1:3]], [1, 1])
        self.assertEqual(calls[3:], ["end"])


class ExampleTest(unittest.TestCase):
    """The example of the model's page, whose first line is all that changes."""

    def test_example(self):
        from m2 import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(
            TINY_AGENT,
            device_map="auto",
            revision="refs/pr/52",
        )

        tokenizer = AutoTokenizer.from_pretrained(TINY_AGENT, revision="refs/pr/52")

        messages = [
            {"role": "user", "content": "What is your favourite condiment?"},
            {"role": "assistant", "content": "Well, I'm quite partial to fresh lemon juice."},
            {"role": "user", "content": "Do you have mayonnaise recipes?"}
        ]

        model_inputs = tokenizer.apply_chat_template(
            messages, return_tensors="pt", add_generation_prompt=True).to("cuda")

        generated_ids = model.generate(**model_inputs, max_new_tokens=100)

        response = tokenizer.batch_decode(generated_ids)[0]

        self.assertIn("Do you have mayonnaise recipes?", response)
        self.assertGreater(generated_ids.shape[1], model_inputs.input_ids.shape[1])


if __name__ == "__main__":
    unittest.main()
