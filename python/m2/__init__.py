"""MiniMax-M2 with the names and the meaning of transformers, run natively."""

from ._m2 import VERSION as __version__
from ._m2 import Cache, DynamicCache, QuantizedCache, StaticCache
from .auto import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer
from .batch_encoding import BatchEncoding
from .callbacks import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)
from .configuration import MiniMaxM2Config
from .errors import (
    CancelledError,
    CorruptFileError,
    DeviceError,
    Error,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnsupportedError,
)
from .generation_configuration import GenerationConfig
from .hub import hub_download, snapshot_download
from .modeling import MiniMaxM2ForCausalLM, MiniMaxM2Model
from .outputs import (
    GenerateBeamDecoderOnlyOutput,
    GenerateDecoderOnlyOutput,
    ModelOutput,
    MoeCausalLMOutputWithPast,
    MoeModelOutputWithPast,
)
from .streamers import BaseStreamer, TextIteratorStreamer, TextStreamer
from .tokenization import PreTrainedTokenizer

__all__ = [
    "__version__",
    "AutoConfig",
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoTokenizer",
    "BaseStreamer",
    "BatchEncoding",
    "Cache",
    "CancelledError",
    "CorruptFileError",
    "DeviceError",
    "DynamicCache",
    "Error",
    "GenerateBeamDecoderOnlyOutput",
    "GenerateDecoderOnlyOutput",
    "GenerationConfig",
    "InternalError",
    "InvalidArgumentError",
    "LogitsProcessor",
    "LogitsProcessorList",
    "MiniMaxM2Config",
    "MiniMaxM2ForCausalLM",
    "MiniMaxM2Model",
    "ModelOutput",
    "MoeCausalLMOutputWithPast",
    "MoeModelOutputWithPast",
    "NotFoundError",
    "PreTrainedTokenizer",
    "QuantizedCache",
    "ResourceExhaustedError",
    "StaticCache",
    "StoppingCriteria",
    "StoppingCriteriaList",
    "TextIteratorStreamer",
    "TextStreamer",
    "UnsupportedError",
    "hub_download",
    "snapshot_download",
]
