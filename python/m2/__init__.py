"""MiniMax-M2 with the names and the meaning of transformers, run natively."""

from ._m2 import (
    CancelledError,
    CorruptFileError,
    DeviceError,
    Error,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnsupportedError,
    __version__,
)
from .auto import AutoConfig, AutoTokenizer
from .batch_encoding import BatchEncoding
from .configuration import MiniMaxM2Config
from .generation_configuration import GenerationConfig
from .outputs import ModelOutput
from .tokenization import PreTrainedTokenizer
