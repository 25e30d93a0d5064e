"""A teller of stories with random weights, made on the spot, and its words as they come."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import copy_context
from threading import Event, Thread
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    StoppingCriteriaList,
    TextIteratorStreamer,
)

WORDS = ["[PAD]", "[UNK]", "once", "upon", "a", "time", "there", "was", "king", "queen", "who"]
WORDS_MAX = 200
SECONDS_MAX = 60
"""How long one word may take."""


def make() -> tuple[Any, Any]:
    """A model and its tokenizer."""
    words = Tokenizer(WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    names = ["input_ids", "attention_mask"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", model_input_names=names
    )
    torch.manual_seed(0)
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 1024}
    config = GPT2Config(vocab_size=len(WORDS), bos_token_id=2, eos_token_id=None, **sizes)
    return GPT2LMHeadModel(config).eval(), tokenizer


model, tokenizer = make()


def tell(prompt: str, words: int) -> Iterator[str]:
    """Go on with a text; the model runs in a thread, and stops where nobody reads any more.

    The thread has a copy of the request's context: what is traced in it belongs to the request.
    """
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=SECONDS_MAX)
    left = Event()
    given = {
        **tokenizer(prompt, return_tensors="pt"),
        "max_new_tokens": min(words, WORDS_MAX),
        "pad_token_id": 0,
        "streamer": streamer,
        "stopping_criteria": StoppingCriteriaList([lambda ids, scores, **_: left.is_set()]),
    }

    def generate() -> None:
        try:
            model.generate(**given)
        except BaseException:
            streamer.end()  # who reads would wait for it
            raise

    Thread(target=copy_context().run, args=(generate,)).start()
    try:
        yield from streamer
    finally:
        left.set()
