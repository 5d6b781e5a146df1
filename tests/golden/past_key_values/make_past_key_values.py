#!/usr/bin/env python3
"""Dumps of transformers' past_key_values and their KV-CoE scores in double precision. A development-time tool.

    python make_past_key_values.py      in this folder, with the repository around it

50 responses of small models (tiny-reasoner, and the random ones of ../models), generated greedily by transformers with caches of f32, f16 and
bf16. Each dump is what docs/gauging_other_engines.md tells users to write. scores.json: METHOD.md A, straight from the formulas in float64, on the
numbers that the dumps hold. Asserted here: keys turned back by the model's inverse frequencies are those that went into its RoPE.
"""
import json
import os

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..", "..")
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
# name, folder, how many responses, most new tokens
MODELS = [("tiny-reasoner", "models/tiny-reasoner", 10, 24),
          ("llama31", "tests/golden/models/llama31", 14, 14),
          ("qwen2", "tests/golden/models/qwen2", 13, 14),
          ("qwen3", "tests/golden/models/qwen3", 13, 14)]


def reasoner_prompts(folder, count):
    """Short questions of the model's own test set in its chat template, thinking switched off."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = [json.loads(line) for line in open(os.path.join(folder, "data/test.jsonl"))]
    rows.sort(key=lambda row: len(row["question"]))
    return [tokenizer.apply_chat_template([{"role": "user", "content": row["question"]}], add_generation_prompt=True,
                                          enable_thinking=False, tokenize=True, return_dict=False) for row in rows[:count]]


def random_prompts(vocab, count, rng):
    return [rng.integers(0, vocab, 3 + i % 7).tolist() for i in range(count)]


def angle(u, v):
    nu, nv = np.sqrt(u @ u), np.sqrt(v @ v)
    if nu < 1e-12 and nv < 1e-12:
        return 0.0
    if nu < 1e-12 or nv < 1e-12:
        return np.pi / 2
    a, b = u / nu, v / nv
    return 2 * np.arctan2(np.sqrt((a - b) @ (a - b)), np.sqrt((a + b) @ (a + b)))


def scores(e):
    """METHOD.md A.2, A.3 of the rows of e, float64"""
    out = {"tokens": len(e), "valid": len(e) > 1}
    if len(e) < 2:
        return out
    dr = np.array([np.sqrt((y - x) @ (y - x)) for x, y in zip(e, e[1:])])
    th = np.array([angle(y, x) for x, y in zip(e, e[1:])])
    zr, zt = np.sqrt((e[-1] - e[0]) @ (e[-1] - e[0])), angle(e[-1], e[0])
    out.update(mean_dr=dr.mean(), mean_dtheta=th.mean(), end_dr=zr, end_dtheta=zt, paper_r=dr.mean() + th.mean(),
               paper_c=np.sqrt(dr.mean()**2 + th.mean()**2), diff_r=dr.mean() - th.mean(),
               polar_raw_c=np.sqrt((dr * np.cos(th)).mean()**2 + (dr * np.sin(th)).mean()**2))
    if zr > 1e-12 and zt > 1e-12:
        m, a = dr / zr, th / zt
        out.update(normalized_r=m.mean() - a.mean(), normalized_c=np.sqrt((m * np.cos(a)).mean()**2 + (m * np.sin(a)).mean()**2),
                   normalized_cart_c=np.sqrt(m.mean()**2 + a.mean()**2))
    return {key: (value if isinstance(value, (bool, int)) else float(value)) for key, value in out.items()}


def turned_back(k, inverse_frequencies):
    """k [layers, heads, T, d] float64, as it was before RoPE at positions 0..T-1"""
    half = k.shape[-1] // 2
    angles = np.outer(np.arange(k.shape[2]), inverse_frequencies)
    c, s = np.cos(angles), np.sin(angles)
    low, high = k[..., :half], k[..., half:]
    return np.concatenate([low * c + high * s, high * c - low * s], -1)


def flat(x, layers):
    """[layers, heads, T, d] -> e [T, heads * d]: the mean over layers, head after head"""
    x = x[layers].mean(0)
    return x.transpose(1, 0, 2).reshape(x.shape[1], -1)


def check_turned_back(model, ids, inverse_frequencies):
    """Keys that enter RoPE (k_norm's output where there is one) against the cache turned back, f32."""
    seen = []
    hooks = []
    for layer in model.model.layers:
        source = getattr(layer.self_attn, "k_norm", None) or layer.self_attn.k_proj
        hooks.append(source.register_forward_hook(lambda module, args, out: seen.append(out.detach())))
    with torch.no_grad():
        cache = model(torch.tensor([ids]), use_cache=True).past_key_values
    for hook in hooks:
        hook.remove()
    for raw, layer in zip(seen, cache.layers):
        _, heads, length, d = layer.keys.shape
        raw = raw.reshape(length, heads, d).permute(1, 0, 2).double().numpy()
        back = turned_back(layer.keys.double().numpy(), inverse_frequencies)[0]
        assert np.abs(back - raw).max() < 2e-5 * np.abs(raw).max(), np.abs(back - raw).max()


def main():
    rng = np.random.default_rng(20)
    golden = {"transformers": transformers.__version__, "torch": torch.__version__, "numpy": np.__version__, "dumps": []}
    for name, folder, count, new_tokens in MODELS:
        folder = os.path.join(ROOT, folder)
        for index in range(count):
            dtype = "f32" if index == 0 else ("f16", "bf16")[index % 2]
            model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[dtype]).eval()
            frequencies = model.model.rotary_emb.inv_freq.double().numpy()
            if index == 0:
                prompts = reasoner_prompts(folder, count) if name == "tiny-reasoner" else random_prompts(model.config.vocab_size, count, rng)
                check_turned_back(model, prompts[0] * 3, frequencies)
            ids = prompts[index]
            with torch.no_grad():
                out = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
                                     max_new_tokens=1 if name == "qwen3" and index == 12 else new_tokens, min_new_tokens=1,
                                     return_dict_in_generate=True, use_cache=True, pad_token_id=0)
            cache = out.past_key_values
            tensors = {}
            for number, layer in enumerate(cache.layers):
                tensors[f"layers.{number}.k"] = layer.keys[0].contiguous()
                tensors[f"layers.{number}.v"] = layer.values[0].contiguous()
            tensors["inverse_frequencies"] = model.model.rotary_emb.inv_freq.float().contiguous()
            stem = f"{name}_{index:02d}_{dtype}"
            save_file(tensors, os.path.join(HERE, stem + ".safetensors"), metadata={"prompt_tokens": str(len(ids))})
            k = np.stack([tensors[f"layers.{i}.k"].double().numpy() for i in range(len(cache.layers))])
            v = np.stack([tensors[f"layers.{i}.v"].double().numpy() for i in range(len(cache.layers))])
            length, layers = k.shape[2], list(range(len(k)))
            spans = {"response": (len(ids), length), "boundary": (len(ids) - 1, length), "all": (0, length), "prompt": (0, len(ids))}
            pre = turned_back(k, frequencies)
            entry = {"file": stem, "prompt_tokens": len(ids), "positions": length, "ids": out.sequences[0, :length].tolist(), "cases": []}

            def case(part, span, k_rope="post", chosen=layers):
                keys = pre if k_rope == "pre" else k
                e = {"v": lambda: flat(v, chosen), "k": lambda: flat(keys, chosen),
                     "kv": lambda: np.concatenate([flat(keys, chosen), flat(v, chosen)], 1)}[part]()
                begin, end = spans[span]
                one = {"part": part, "span": span, "k_rope": k_rope}
                if chosen != layers:
                    one["layers"] = chosen
                entry["cases"].append({**one, **scores(e[begin:end])})

            for part in ("v", "k", "kv"):
                case(part, "response")
            for span in ("boundary", "all", "prompt"):
                case("v", span)
            case("k", "all", "pre")
            case("kv", "response", "pre", [0, len(k) - 1])
            golden["dumps"].append(entry)
    assert len(golden["dumps"]) == 50
    with open(os.path.join(HERE, "scores.json"), "w") as f:
        json.dump(golden, f, separators=(",", ":"))
        f.write("\n")


main()
