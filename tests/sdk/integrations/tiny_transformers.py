"""Models of transformers with a handful of random weights, and a tokenizer of a dozen words."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["a", "an", "the", "film", "was", "is", "good", "bad", "long", "once", "upon", "time"]
WORDS += ["there", "king", "queen"]
VOCABULARY = {word: at for at, word in enumerate(SPECIAL + WORDS)}
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}


def tokenizer() -> Any:
    made = Tokenizer(WordLevel(VOCABULARY, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=32,
        model_input_names=["input_ids", "attention_mask"],
    )


def _bert(kind: Any, labels: list[str], **options: Any) -> Any:
    torch.manual_seed(len(labels))
    names = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    config = BertConfig(vocab_size=len(VOCABULARY), **SIZES, **names, **options)
    model = kind(config).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(20)  # else all answers are nearly alike
    return model


def classifier(labels: list[str], **options: Any) -> Any:
    """Judges a text."""
    return _bert(BertForSequenceClassification, labels, **options)


def tagger(labels: list[str]) -> Any:
    """Judges each word."""
    return _bert(BertForTokenClassification, labels)


def encoder() -> Any:
    """Has no head."""
    return _bert(BertModel, ["none"])


def teller(tokens: int = 5) -> Any:
    """Goes on with a text, always in the same words, and always as many."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(VOCABULARY),
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=64,
        bos_token_id=2,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = GPT2LMHeadModel(config).eval()
    told = {"do_sample": False, "max_new_tokens": tokens, "min_new_tokens": tokens}
    for name, value in told.items():
        setattr(model.generation_config, name, value)
    return model
