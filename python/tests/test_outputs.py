import pickle
import unittest

from m2.outputs import MoeCausalLMOutputWithPast, ModelOutput


class ModelOutputTest(unittest.TestCase):
    def test_absent_fields_take_no_position(self):
        output = MoeCausalLMOutputWithPast(logits="l", router_logits=("r",))
        self.assertIsInstance(output, ModelOutput)
        self.assertEqual(output[0], "l")
        self.assertEqual(output[1], ("r",))
        self.assertEqual(output.to_tuple(), ("l", ("r",)))
        self.assertEqual(list(output), ["logits", "router_logits"])
        self.assertEqual(output["logits"], output.logits)
        self.assertIsNone(output.loss)
        self.assertNotIn("loss", output)
        self.assertEqual(output[-1:], (("r",),))
        with self.assertRaises(KeyError):
            _ = output["loss"]

    def test_order_is_that_of_the_fields(self):
        output = MoeCausalLMOutputWithPast(logits=2, loss=1, aux_loss=0)
        self.assertEqual(output.to_tuple(), (1, 0, 2))

    def test_changes(self):
        output = MoeCausalLMOutputWithPast(logits=1)
        output.logits = 2
        self.assertEqual(output["logits"], 2)
        output["logits"] = 3
        self.assertEqual(output.logits, 3)
        for change in (lambda: output.pop("logits"), lambda: output.update({}),
                       lambda: output.setdefault("loss", 1), lambda: output.__delitem__("logits")):
            with self.assertRaises(TypeError):
                change()

    def test_pickling(self):
        output = MoeCausalLMOutputWithPast(logits=1, loss=2)
        self.assertEqual(pickle.loads(pickle.dumps(output)).to_tuple(), (2, 1))


if __name__ == "__main__":
    unittest.main()
