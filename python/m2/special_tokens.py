"""The special tokens of a tokenizer as attributes: bos_token, pad_token_id, ..."""

from __future__ import annotations

from typing import Any

from . import _m2

SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token",
                  "mask_token")


def token_text(value: Any) -> str | None:
    """tokenizer_config.json writes a token as its text or as an object with `content`."""
    return value.get("content") if isinstance(value, dict) else value


class SpecialTokens:
    """Base of the tokenizer. Setting an attribute chooses another token of the vocabulary."""

    _tokenizer: _m2.Tokenizer
    _special: dict[str, str]

    def __getattr__(self, name: str) -> Any:  # only for what is not an ordinary attribute
        base = name.removesuffix("_id")
        if base not in SPECIAL_TOKENS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        token = self.__dict__["_special"].get(base)
        if token is None or base == name:
            return token
        return self._tokenizer.token_to_id(token)

    def __setattr__(self, name: str, value: Any) -> None:
        base = name.removesuffix("_id")
        if base not in SPECIAL_TOKENS:
            object.__setattr__(self, name, value)
            return
        token = self._tokenizer.id_to_token(value) if name != base and value is not None else value
        self._choose(base, token if token is None else str(token))

    def _choose(self, name: str, token: str | None) -> None:
        if token is None:
            self._special.pop(name, None)
            return
        if self._tokenizer.token_to_id(token) is None:
            raise ValueError(f"{name}: {token!r} is not in the vocabulary, which is fixed")
        self._special[name] = token

    @property
    def special_tokens_map(self) -> dict[str, str]:
        return {name: self._special[name] for name in SPECIAL_TOKENS if name in self._special}

    @property
    def all_special_tokens(self) -> list[str]:
        return list(dict.fromkeys(self.special_tokens_map.values()))

    @property
    def all_special_ids(self) -> list[int]:
        ids = (self._tokenizer.token_to_id(token) for token in self.all_special_tokens)
        return [i for i in ids if i is not None]

    def add_special_tokens(self, special_tokens_dict: dict[str, Any]) -> int:
        """Chooses tokens of the vocabulary; returns 0, for none is added.

        Raises ValueError for tokens that are not in the vocabulary.
        """
        for name, token in special_tokens_dict.items():
            if name not in SPECIAL_TOKENS:
                raise ValueError(f"{name}: is none of {', '.join(SPECIAL_TOKENS)}")
            self._choose(name, str(token))
        return 0

    @property
    def added_tokens_decoder(self) -> dict[int, _m2.AddedToken]:
        return {token.id: token for token in self._tokenizer.added_tokens()}

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        return {token.content: token.id for token in self._tokenizer.added_tokens()}

    def get_added_vocab(self) -> dict[str, int]:
        return self.added_tokens_encoder
