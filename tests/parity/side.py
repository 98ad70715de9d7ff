"""The two libraries behind one face. A case is written once and run on each."""

import importlib
import pathlib

import numpy as np

import models

SHIPPED = str(pathlib.Path(__file__).resolve().parents[2] / "models/tiny-agent")


def _recording(base, numpy):
    got = []

    class Streamer(base):
        def put(self, value):
            got.append(numpy(value).tolist())

        def end(self):
            got.append("end")

    return Streamer(), got


class Side:
    """What a case may use: the library's names as `lib`, models by name, arrays in and out."""

    def __init__(self, scratch):
        self.scratch = pathlib.Path(scratch)  # shared: models lie there once for both sides
        self.other = None  # the other side, in the live mode
        self._loaded, self._directories = {}, 0

    def directory(self, name):
        """The checkpoint of a model of models.MODELS; written when first asked for."""
        path = self.scratch / "models" / name
        if not path.exists():
            models.write_model(path, name)
        return str(path)

    def new_directory(self):
        """An empty folder for this side alone."""
        self._directories += 1
        path = self.scratch / f"{self.name}-{self._directories}"
        path.mkdir(parents=True)
        return path

    def load(self, name, attention="eager", kind="MiniMaxM2ForCausalLM"):
        """A model that no case changes; loaded once."""
        key = (name, attention, kind)
        if key not in self._loaded:
            self._loaded[key] = self.open(self.directory(name), attention, kind)
        return self._loaded[key]

    def load_shipped(self):
        if "shipped" not in self._loaded:
            self._loaded["shipped"] = self.open(SHIPPED, "sdpa")
        return self._loaded["shipped"]

    def open(self, directory, attention="eager", kind="MiniMaxM2ForCausalLM", **options):
        options = {"dtype": "float32", "attn_implementation": attention, **options, **self.always}
        return getattr(self.lib, kind).from_pretrained(str(directory), **options)

    def tokenizer(self):
        """Of the shipped model; it names no padding token, so eos pads as in generate()."""
        tokenizer = self.lib.AutoTokenizer.from_pretrained(SHIPPED)
        tokenizer.pad_token = tokenizer.eos_token
        return tokenizer

    def static_cache(self, model, length):
        return self.lib.StaticCache(config=model.config, max_cache_len=length)

    def cache_arrays(self, cache, layer):
        held = cache.layers[layer]
        return self.numpy(held.keys), self.numpy(held.values)

    def record(self, output, prefix=""):
        """An output as a record: its fields in order, and what they hold."""
        result = {f"{prefix}fields": list(output.keys())}
        for key, value in output.items():
            result |= self.value(prefix + key, value)
        return result

    def value(self, key, value):
        """One value, with the parts of tuples under numbered names."""
        if isinstance(value, (tuple, list)):
            return {f"{key}, parts": len(value)} | self._parts(key, value)
        if isinstance(value, self.lib.Cache):
            return {f"{key}, length": int(value.get_seq_length())}
        if value is None or isinstance(value, (bool, int, float, str, dict)):
            return {key: value}
        return {key: self.numpy(value)}


    def _parts(self, key, values):
        """Parts of one shape in one array, others by number."""
        parts = {}
        for i, part in enumerate(values):
            parts |= self.value(f"{key}.{i}", part)
        held = list(parts.values())
        alike = all(isinstance(part, np.ndarray) and part.shape == held[0].shape for part in held)
        return {key: np.stack(held)} if alike and len(held) > 1 else parts


class ReferenceSide(Side):
    name = "transformers"
    tensors = "pt"
    reads_fp8 = False  # on a CPU it drops the scales of the experts
    initialise_missing = strict = {}
    always = {"experts_implementation": "eager"}

    def __init__(self, scratch):
        super().__init__(scratch)
        self.torch = importlib.import_module("torch")
        self.lib = importlib.import_module("transformers")
        self.torch.set_num_threads(1)
        self.torch.set_grad_enabled(False)
        logging = importlib.import_module("transformers.utils.logging")
        logging.set_verbosity_error()
        logging.disable_progress_bar()

    def array(self, value):
        return self.torch.from_numpy(np.array(value))

    def numpy(self, value):
        if isinstance(value, np.ndarray):
            return value
        value = value.detach()
        return (value.float() if value.dtype == self.torch.bfloat16 else value).numpy().copy()

    def streamer(self):
        """(a streamer, the list of what it gets)."""
        return _recording(self.lib.generation.BaseStreamer, self.numpy)

    def seed(self, model, seed):
        self.torch.manual_seed(seed)

    def sampling_seed(self, seed):
        """Keywords of generate() for what it draws."""
        self.torch.manual_seed(seed)
        return {}

    def processors(self, function):
        """function(ids [R, cur] i64, scores [R, V] f32) -> scores, all NumPy."""
        side = self

        class Custom(self.lib.LogitsProcessor):
            def __call__(self, input_ids, scores):
                return side.array(function(side.numpy(input_ids), side.numpy(scores)))

        return self.lib.LogitsProcessorList([Custom()])

    def criteria(self, function):
        """function(ids [R, cur] i64) -> done [R] bool."""
        side = self

        class Custom(self.lib.StoppingCriteria):
            def __call__(self, input_ids, scores, **_):
                return side.array(function(side.numpy(input_ids)))

        return self.lib.StoppingCriteriaList([Custom()])


class OurSide(Side):
    name = "m2"
    tensors = "np"
    reads_fp8 = True
    initialise_missing = {"missing_tensors": "initialize"}
    strict = {"strict": True}
    always = {}

    def __init__(self, scratch):
        super().__init__(scratch)
        self.lib = importlib.import_module("m2")

    def array(self, value):
        return np.array(value)

    def numpy(self, value):
        return np.array(value)

    def streamer(self):
        return _recording(self.lib.BaseStreamer, self.numpy)

    def seed(self, model, seed):
        model.manual_seed(seed)

    def sampling_seed(self, seed):
        return {"seed": seed}

    def processors(self, function):
        return [function]

    def criteria(self, function):
        return [lambda input_ids, scores, **_: function(input_ids)]
