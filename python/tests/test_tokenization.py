import pathlib
import pickle
import tempfile
import unittest

import m2
import numpy as np
from support import TINY_AGENT

MESSAGES = [{"role": "user", "content": "hi"}]


class TokenizerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tokenizer = m2.AutoTokenizer.from_pretrained(TINY_AGENT)
        cls.padding = m2.AutoTokenizer.from_pretrained(TINY_AGENT, pad_token="[e~[")

    def test_one_text_gives_flat_lists_and_a_batch_rows(self):
        one = self.tokenizer("Hello world")
        self.assertEqual(one, {"input_ids": [1012, 1701, 878], "attention_mask": [1, 1, 1]})
        self.assertEqual(self.tokenizer.decode(one.input_ids), "Hello world")
        batch = self.tokenizer(["a", "b c"])
        self.assertEqual(batch.input_ids, [[97], [98, 1441]])
        self.assertEqual(self.tokenizer.encode("Hello world"), one["input_ids"])
        self.assertEqual(self.tokenizer.tokenize("Hello world"), ["Hello", "Ġwor", "ld"])

    def test_return_tensors(self):
        for kind in ("np", "pt"):
            with self.subTest(kind):
                encoding = self.tokenizer("Hello world", return_tensors=kind).to("cuda")
                self.assertEqual(tuple(encoding.input_ids.shape), (1, 3))
                self.assertEqual(np.asarray(encoding["attention_mask"]).tolist(), [[1, 1, 1]])
                self.assertIn("int64", str(encoding.input_ids.dtype))
        with self.assertRaisesRegex(ValueError, "padding=True"):
            self.tokenizer(["a", "b c"], return_tensors="np")
        with self.assertRaises(ValueError):
            self.tokenizer("a", return_tensors="tf")

    def test_padding(self):
        texts = ["a", "b c"]
        pad = self.padding.pad_token_id
        for options, ids in (
            (dict(padding=True), [[97, pad], [98, 1441]]),
            (dict(padding=True, padding_side="left"), [[pad, 97], [98, 1441]]),
            (dict(padding="max_length", max_length=3), [[97, pad, pad], [98, 1441, pad]]),
            (dict(padding="longest", pad_to_multiple_of=4),
             [[97, pad, pad, pad], [98, 1441, pad, pad]]),
        ):
            with self.subTest(options):
                encoding = self.padding(texts, **options)
                self.assertEqual(encoding.input_ids, ids)
                options.pop("pad_to_multiple_of", None)
                self.assertEqual(sum(encoding.attention_mask[0]), 1)
        with self.assertRaisesRegex(ValueError, "padding token"):
            self.tokenizer(texts, padding=True)

    def test_pad_of_encodings(self):
        rows = [self.padding("a"), self.padding("b c")]
        padded = self.padding.pad(rows, padding_side="left", return_tensors="np")
        self.assertEqual(padded.input_ids.tolist(), [[self.padding.pad_token_id, 97], [98, 1441]])
        self.assertEqual(padded.attention_mask.tolist(), [[0, 1], [1, 1]])

    def test_truncation_and_overflow(self):
        self.assertEqual(self.tokenizer("Hello world", truncation=True, max_length=2).input_ids,
                         [1012, 1701])
        self.assertEqual(self.tokenizer("Hello world", max_length=2).input_ids, [1012, 1701])
        windows = self.tokenizer(["Hello world"], truncation=True, max_length=2, stride=1,
                                 return_overflowing_tokens=True)
        self.assertEqual(windows.input_ids, [[1012, 1701], [1701, 878]])
        self.assertEqual(windows.overflow_to_sample_mapping, [0, 0])

    def test_pairs_words_and_offsets(self):
        self.assertEqual(self.tokenizer("a", "b").input_ids, [97, 98])
        self.assertEqual(self.tokenizer([("a", "b")]).input_ids, [[97, 98]])
        words = self.tokenizer([["a", "b"]], is_split_into_words=True)
        self.assertEqual(words.word_ids(0), [0, 1])
        offsets = self.tokenizer("Hello world", return_offsets_mapping=True).offset_mapping
        self.assertEqual(offsets, [(0, 5), (5, 9), (9, 11)])
        self.assertEqual(self.tokenizer("a", "b").sequence_ids(), [0, 1])

    def test_decode_takes_every_form(self):
        ids = [100, 101]
        for form in (ids, tuple(ids), np.array(ids), np.array(ids, dtype=np.int32)):
            self.assertEqual(self.tokenizer.decode(form), "de")
        self.assertEqual(self.tokenizer.decode(100), "d")
        self.assertEqual(self.tokenizer.batch_decode(np.array([[100], [101]])), ["d", "e"])
        self.assertEqual(self.tokenizer.batch_decode([[100], [101, 100]]), ["d", "ed"])
        self.assertEqual(self.tokenizer.batch_decode([100, 101]), ["de"])
        text = self.tokenizer.decode([100, 2004], skip_special_tokens=True)
        self.assertEqual(text, "d")

    def test_special_tokens(self):
        tokenizer = m2.AutoTokenizer.from_pretrained(TINY_AGENT)
        self.assertEqual((tokenizer.bos_token, tokenizer.eos_token_id, tokenizer.pad_token),
                         ("]~!b[", 2004, None))
        tokenizer.pad_token = tokenizer.eos_token
        self.assertEqual(tokenizer.pad_token_id, 2004)
        tokenizer.pad_token_id = 2018
        self.assertEqual(tokenizer.pad_token, "]~!b[")
        self.assertEqual(tokenizer.all_special_ids, [2018, 2004, 2005])
        with self.assertRaises(ValueError):
            tokenizer.pad_token = "<no such token>"
        self.assertEqual(tokenizer.add_special_tokens({"pad_token": "[e~["}), 0)
        with self.assertRaises(AttributeError):
            _ = tokenizer.no_such_attribute

    def test_vocabulary(self):
        self.assertEqual((len(self.tokenizer), self.tokenizer.vocab_size), (2038, 1984))
        self.assertEqual(self.tokenizer.convert_ids_to_tokens([10, 20]), ["Ċ", "Ĕ"])
        self.assertEqual(self.tokenizer.convert_ids_to_tokens(5), "ą")
        self.assertEqual(self.tokenizer.convert_tokens_to_ids("zzzzzzz"), 2005)
        vocabulary = self.tokenizer.get_vocab()
        self.assertEqual(len(vocabulary), 2038)
        self.assertEqual(vocabulary["[e~["], 2004)
        self.assertEqual(self.tokenizer.get_added_vocab()["[e~["], 2004)

    def test_chat_template(self):
        text = self.tokenizer.apply_chat_template(MESSAGES, tokenize=False)
        self.assertTrue(text.startswith("]~!b[]~b]"))
        encoding = self.tokenizer.apply_chat_template(
            MESSAGES, add_generation_prompt=True, return_tensors="np")
        self.assertEqual(set(encoding), {"input_ids", "attention_mask"})
        self.assertEqual(encoding.input_ids.shape, encoding.attention_mask.shape)
        opened = self.tokenizer.apply_chat_template(
            MESSAGES, add_generation_prompt=True, tokenize=False)
        self.assertEqual(self.tokenizer.decode(encoding.input_ids[0]), opened)
        self.assertTrue(opened.startswith(text))
        rows = self.tokenizer.apply_chat_template([MESSAGES, MESSAGES], return_dict=False)
        self.assertEqual(rows[0], rows[1])

    def test_messages_cannot_forge_turns(self):
        forged = [{"role": "user", "content": "[e~["}]
        ids = self.tokenizer.apply_chat_template(forged).input_ids
        honest = self.tokenizer.apply_chat_template(MESSAGES).input_ids
        self.assertEqual(ids.count(2004), honest.count(2004))

    def test_other_templates(self):
        source = ("{{ messages[0].content }}{{ eos_token }}{{ mood }}"
                  "{% generation %}!{% endgeneration %}")
        self.assertEqual(
            self.tokenizer.apply_chat_template(
                MESSAGES, chat_template=source, tokenize=False, mood="x"), "hi[e~[x!")
        encoding = self.tokenizer.apply_chat_template(
            MESSAGES, chat_template=source, mood="x", return_assistant_tokens_mask=True)
        self.assertEqual(sum(encoding.assistant_masks), 1)
        tokenizer = m2.AutoTokenizer.from_pretrained(TINY_AGENT)
        tokenizer.chat_template = "{{ messages[0].role }}"
        self.assertEqual(tokenizer.apply_chat_template(MESSAGES, tokenize=False), "user")

    def test_chat_errors(self):
        last = MESSAGES + [{"role": "assistant", "content": "well"}]
        for error, arguments in (
            (ValueError, dict(conversation=last, continue_final_message=True,
                              add_generation_prompt=True)),
            (ValueError, dict(conversation=[{"content": "no role"}])),
            (TypeError, dict(conversation=MESSAGES, tools=[print])),
        ):
            with self.subTest(arguments), self.assertRaises(error):
                self.tokenizer.apply_chat_template(**arguments)
        open_turn = self.tokenizer.apply_chat_template(
            last, continue_final_message=True, tokenize=False)
        self.assertTrue(open_turn.endswith("well"))

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            self.padding.save_pretrained(folder)
            again = m2.AutoTokenizer.from_pretrained(folder)
            self.assertEqual(again.pad_token_id, self.padding.pad_token_id)
            self.assertEqual(again.apply_chat_template(MESSAGES),
                             self.padding.apply_chat_template(MESSAGES))
            (pathlib.Path(folder) / "tokenizer.json").write_text("{")
            with self.assertRaises(OSError):
                m2.AutoTokenizer.from_pretrained(folder)
        with self.assertRaises(FileNotFoundError):
            m2.AutoTokenizer.from_pretrained("/no/such/directory")
        self.assertEqual(pickle.loads(pickle.dumps(self.padding)).pad_token, "[e~[")

    def test_wrong_types(self):
        for text in (3, None, [1, 2]):
            with self.subTest(text), self.assertRaises(TypeError):
                self.tokenizer(text)


if __name__ == "__main__":
    unittest.main()
