#!/usr/bin/env python3
"""Writes added.json: a tokenizer of bytes, six merges and added tokens with every flag, and what Hugging Face makes of 600 texts."""
import json
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer

from make_goldens import ALPHABET
from make_text import Generator

TOKENS = [  # content, special, and what else is set
    ("<s>", True, ()), ("</s>", True, ()), ("<s><s>", True, ()), ("<left>", True, ("lstrip",)), ("<right>", True, ("rstrip",)),
    ("<both>", False, ("lstrip", "rstrip")), ("word", False, ("single_word",)), ("wordy", False, ("single_word", "normalized")),
    ("é", False, ("normalized",)), ("ab", False, ("normalized",)), ("abab", False, ()), ("  ", False, ("normalized",)), ("中文", False, ()), ("Å", False, ("normalized", "rstrip")),
]
PARTS = ["<s>", "</s>", "<s", "<s><s>", "<left>", "<right>", "<both>", "word", "wordy", "é", "e\u0301", "ab", "abab", "a", "b", " ", "  ", "   ", "\n", "\u3000", "\u180e", "\u00a0",
         "x", "_", "7", "-", "中文", "中", "\u212b", "A\u030a", "ÅÅ", "\u0301", "\u200d", ".", "ⓐ", "he", "the", " the", "<"]


def document():
    vocab = {ALPHABET[b]: b for b in range(256)}
    merges = []
    for a, b in (("h", "e"), ("t", "he"), ("Ġ", "the"), ("a", "b"), ("Ġ", "Ġ"), ("ab", "ab")):
        vocab[a + b] = len(vocab)
        merges.append([a, b])
    added = []
    for content, special, flags in TOKENS:
        # What the vocabulary has already keeps its id there.
        number = vocab.get(content, 300 + len(added))
        added.append({"id": number, "content": content, "special": special, **{f: f in flags for f in ("lstrip", "rstrip", "single_word", "normalized")}})
    free = len(vocab)
    for token in sorted(added, key=lambda t: t["id"]):
        if token["id"] >= 300:
            token["id"], free = free, free + 1
    pre = [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]
    return {"version": "1.0", "added_tokens": sorted(added, key=lambda t: t["id"]), "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": pre}, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                               "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                               "special_tokens": {c: {"id": c, "ids": [next(t["id"] for t in added if t["content"] == c)], "tokens": [c]} for c in ("<s>", "</s>")}},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                      "vocab": vocab, "merges": merges}}


def main():
    source = document()
    tokenizer = Tokenizer.from_str(json.dumps(source))
    g = Generator(7)
    cases = []
    for i in range(600):
        text = "".join(g.pick(PARTS) for _ in range(i % 12))
        ids = tokenizer.encode(text, add_special_tokens=True).ids
        # Not decoded here: Hugging Face reads the characters of an added token as bytes where it can ("é" as the byte E9).
        cases.append({"text": text, "ids": ids})
    out = json.dumps({"made_with": f"tokenizers {tokenizers.__version__}", "tokenizer": source, "cases": cases}, ensure_ascii=False, separators=(",", ":"))
    (Path(__file__).parent / "added.json").write_text(out.replace('},{"text"', '},\n{"text"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
