#!/usr/bin/env python3
"""Writes smollm2.json, qwen3.json, llama3.json: ids of every line of text.jsonl by Hugging Face tokenizers.

usage: make_goldens.py MODELS_FOLDER [FOLDER_FOR_TOKENIZER_JSON]      (MODELS_FOLDER as scripts/fetch_models.sh leaves it)
Needs the packages tokenizers and gguf. The tokenizer.json that each is made from has the components of the published one;
its vocabulary and merges come from the files of MODELS_FOLDER and are not kept here.
"""
import base64
import json
import struct
import sys
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer

HERE = Path(__file__).parent
FULL_IDS = 60
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def byte_alphabet():
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in itself]
    return {**{b: chr(b) for b in itself}, **{b: chr(0x100 + i) for i, b in enumerate(others)}}


ALPHABET = byte_alphabet()


def spell(token):
    return "".join(ALPHABET[b] for b in token)


def all_splits(ranks):
    """Every way to cut each token in two tokens, by rank: how transformers converts a tiktoken file."""
    merges = []
    for token, rank in ranks.items():
        cuts = [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in ranks and token[i:] in ranks]
        merges += [(rank, ranks[a], ranks[b], a, b) for a, b in cuts]
    return [[spell(a), spell(b)] for _, _, _, a, b in sorted(merges)]


def one_split(ranks):
    """The one pair that the merges of lower rank leave of each token: what a published merges.txt has."""
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = [bytes([b]) for b in token]
        while len(parts) > 2:
            best = min((ranks.get(parts[i] + parts[i + 1], rank), i) for i in range(len(parts) - 1))
            if best[0] >= rank:
                break
            parts[best[1]:best[1] + 2] = [parts[best[1]] + parts[best[1] + 1]]
        if len(token) > 1:
            assert len(parts) == 2, token
            merges.append(f"{spell(parts[0])} {spell(parts[1])}")
    return merges


def read_length_prefixed(path, id_first):
    data, at, out = path.read_bytes(), 4, {}
    for _ in range(struct.unpack_from("<I", data)[0]):
        if id_first:
            number, length = struct.unpack_from("<IH", data, at)
            at += 6
        else:
            (length,) = struct.unpack_from("<H", data, at)
            at += 2
        token = data[at:at + length]
        at += length
        if not id_first:
            (number,) = struct.unpack_from("<I", data, at)
            at += 4
        out[token] = number
    assert at == len(data)
    return out


def added(content, number, special):
    return {"id": number, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}


def document(vocab, merges, added_tokens, pre_tokenizers, normalizer=None, ignore_merges=False, post=None):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens, "normalizer": normalizer,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": pre_tokenizers}, "post_processor": post,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": ignore_merges, "vocab": vocab, "merges": merges}}


def split(pattern):
    return [{"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}]


def smollm2(models):
    from gguf import GGUFReader
    fields = GGUFReader(models / "SmolLM2-135M-Instruct.Q4_1.gguf").fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    control = [i for i, kind in enumerate(fields["tokenizer.ggml.token_type"].contents()) if kind == 3]
    return document({t: i for i, t in enumerate(tokens)}, fields["tokenizer.ggml.merges"].contents(), [added(tokens[i], i, True) for i in control],
                    [{"type": "Digits", "individual_digits": True},
                     {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}])


def qwen3(models):
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in (models / "qwen.tiktoken").read_bytes().splitlines())}
    specials = read_length_prefixed(models / "qwen3.special", id_first=True)
    return document({spell(t): i for t, i in ranks.items()}, one_split(ranks), [added(t.decode(), i, i <= 151656) for t, i in specials.items()], split(QWEN2),
                    normalizer={"type": "NFC"}, post={"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False})


def llama3(models):
    ranks = read_length_prefixed(models / "llama3.vocab", id_first=False)
    specials = {t.decode(): i for t, i in read_length_prefixed(models / "llama3.special", id_first=True).items()}
    bos = "<|begin_of_text|>"
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": bos, "type_id": 1}},
                         {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {bos: {"id": bos, "ids": [specials[bos]], "tokens": [bos]}}}
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    return document({spell(t): i for t, i in ranks.items()}, all_splits(ranks), [added(t, i, True) for t, i in specials.items()], split(LLAMA3),
                    ignore_merges=True, post={"type": "Sequence", "processors": [byte_level, template]})


def fnv1a(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = (h ^ b) * 0x100000001B3 % 2**64
    return f"{h:016x}"


def main():
    models = Path(sys.argv[1])
    texts = [json.loads(line) for line in (HERE / "text.jsonl").read_text(encoding="utf-8").split("\n") if line]
    for make in (smollm2, qwen3, llama3):
        source = json.dumps(make(models), ensure_ascii=False)
        if len(sys.argv) > 2:
            (Path(sys.argv[2]) / f"{make.__name__}.json").write_text(source, encoding="utf-8")
        tokenizer = Tokenizer.from_str(source)
        rows, first = [], []
        for i, text in enumerate(texts):
            ids = tokenizer.encode(text, add_special_tokens=True).ids
            if i < FULL_IDS:
                first.append(ids)
            decoded = tokenizer.decode(ids, skip_special_tokens=True)
            rows.append(f"{len(ids)} {fnv1a(struct.pack(f'<{len(ids)}i', *ids))} {fnv1a(decoded.encode())}")
        golden = {"made_with": f"tokenizers {tokenizers.__version__}", "first_ids": first, "rows": rows}
        text = json.dumps(golden, ensure_ascii=False, separators=(",", ":")).replace('],[', '],\n[').replace('","', '",\n"')
        (HERE / f"{make.__name__}.json").write_text(text + "\n")
        print(make.__name__, sum(int(row.split()[0]) for row in rows), "tokens")


if __name__ == "__main__":
    main()
