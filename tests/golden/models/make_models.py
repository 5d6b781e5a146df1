#!/usr/bin/env python3
"""Makes the tiny models under tests/golden/models and their goldens. A development-time tool: neither build nor tests run it.

    python make_models.py            # needs torch, transformers, tokenizers, gguf, safetensors, numpy (versions are printed)

Reference arithmetic: transformers' own model code (eager attention) with every float32 cast it contains turned into float64,
on weights that are exactly those of the stored files. Everything is seeded; see README.txt for the tensor names.
"""
import contextlib
import json
import os
import shutil
import sys

import gguf
import numpy as np
import safetensors
import safetensors.numpy
import tokenizers
import torch
import transformers
from gguf import GGMLQuantizationType as QT
from gguf import quants
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
VOCAB = 288
GREEDY = 40
GPT2_TYPE_CONTROL, TYPE_NORMAL, TYPE_USER, TYPE_UNUSED = 3, 1, 4, 5
LLAMA3_PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                  r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")
CORPUS = ["the cat and the dog went to the river in the morning", "there is an answer in the other interesting question",
          "1 + 1 = 2 and 12 + 30 = 42, so the answer is 42", "for (int i = 0; i < n; ++i) { return i; }",
          "the number of the apples is then the sum of them"] * 4


# ---------------------------------------------------------------------------------------------- float64 transformers
@contextlib.contextmanager
def double_precision():
    """transformers casts to torch.float32 in norms, softmax and RoPE: make these names mean float64 meanwhile."""
    saved = torch.float32, torch.float, torch.Tensor.float
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = saved
        torch.set_default_dtype(default)


def build_double(config, weights):
    with double_precision():
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float64)
        state = {k: torch.from_numpy(np.asarray(v, dtype=np.float64)) for k, v in weights.items()}
        missing, unexpected = model.load_state_dict(state, strict=False)
        assert not unexpected and all(m == "lm_head.weight" and config.tie_word_embeddings for m in missing), (missing, unexpected)
        model.tie_weights()
        return model.double().eval()


def forward(model, ids, cache=None):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), past_key_values=cache, use_cache=True, output_hidden_states=True)


def greedy(model, ids, count, give_up_below=0.0):
    """ids of the continuation and the smallest gap between the two largest logits; end-of-text ids do not stop it"""
    out, tokens, margin = forward(model, ids), [], float("inf")
    for step in range(count):
        logits = out.logits[0, -1].double().numpy()
        top = np.argsort(-logits, kind="stable")[:2]
        margin = min(margin, logits[top[0]] - logits[top[1]])
        tokens.append(int(top[0]))
        if margin < give_up_below:
            break
        if step + 1 < count:
            out = forward(model, [tokens[-1]], out.past_key_values)
    return tokens, margin


def run_prompt(model, ids, logit_rows, prefix, everything):
    """everything: K, V and hidden states too, else ids, logits and the greedy continuation"""
    out = forward(model, ids)
    f32 = lambda t: np.ascontiguousarray(t.detach().numpy().astype(np.float32))
    tokens, margin = greedy(model, ids, GREEDY)
    golden = {"ids": np.array(ids, np.int32), "logits": f32(out.logits[0, -logit_rows:]),
              "greedy": np.array(tokens, np.int32), "greedy_min_margin": np.array([margin], np.float32)}
    if everything:
        golden["k"] = np.stack([f32(layer.keys[0]) for layer in out.past_key_values.layers])
        golden["v"] = np.stack([f32(layer.values[0]) for layer in out.past_key_values.layers])
        golden["hidden"] = np.stack([f32(h[0]) for h in out.hidden_states])
    return {f"{prefix}.{k}": v for k, v in golden.items()}


def largest_error(golden, other):
    """worst max|difference| / max|value| over the float tensors of both; integer tensors must be equal"""
    worst = 0.0
    for name, want in golden.items():
        if name not in other or name.endswith("min_margin"):
            continue
        if want.dtype == np.int32:
            assert (want == other[name]).all(), name
        else:
            worst = max(worst, np.abs(want.astype(np.float64) - other[name]).max() / np.abs(want).max())
    return worst


def make_prompts(rng, vocab):
    return [[int(i) for i in rng.integers(5, vocab, 7)], [int(i) for i in rng.integers(5, vocab, 91)]]


# ---------------------------------------------------------------------------------------------------------- weights
def random_weights(config, rng):
    hidden, heads, kv_heads, dim, inner = (config.hidden_size, config.num_attention_heads, config.num_key_value_heads,
                                           config.head_dim, config.intermediate_size)
    normal = lambda *shape, std: (rng.standard_normal(shape) * std).astype(np.float32)
    matrix = lambda rows, columns, gain: normal(rows, columns, std=gain / np.sqrt(columns))
    norm = lambda n: (1 + 0.3 * rng.standard_normal(n)).astype(np.float32)
    tied = config.tie_word_embeddings
    w = {"model.embed_tokens.weight": normal(config.vocab_size, hidden, std=0.4 if tied else 0.7)}
    for i in range(config.num_hidden_layers):
        p = f"model.layers.{i}."
        w[p + "input_layernorm.weight"] = norm(hidden)
        w[p + "self_attn.q_proj.weight"] = matrix(heads * dim, hidden, 1.3)
        w[p + "self_attn.k_proj.weight"] = matrix(kv_heads * dim, hidden, 1.3)
        w[p + "self_attn.v_proj.weight"] = matrix(kv_heads * dim, hidden, 1.2)
        w[p + "self_attn.o_proj.weight"] = matrix(hidden, heads * dim, 1.2)
        if config.model_type == "qwen2":
            for name, n in (("q", heads * dim), ("k", kv_heads * dim), ("v", kv_heads * dim)):
                w[p + f"self_attn.{name}_proj.bias"] = normal(n, std=0.5)
        if config.model_type == "qwen3":
            w[p + "self_attn.q_norm.weight"] = norm(dim)
            w[p + "self_attn.k_norm.weight"] = norm(dim)
        w[p + "post_attention_layernorm.weight"] = norm(hidden)
        w[p + "mlp.gate_proj.weight"] = matrix(inner, hidden, 1.3)
        w[p + "mlp.up_proj.weight"] = matrix(inner, hidden, 1.3)
        w[p + "mlp.down_proj.weight"] = matrix(hidden, inner, 1.3)
    w["model.norm.weight"] = norm(hidden)
    if not tied:
        w["lm_head.weight"] = matrix(config.vocab_size, hidden, 2.5)
    return w


def round_weights(weights, dtype):
    """to the values that a file of this type can hold; bf16 values below 2^-17 become 0 so that float16 holds them too"""
    if dtype == "float32":
        return weights
    out = {}
    for name, w in weights.items():
        r = torch.from_numpy(w).to(getattr(torch, dtype)).float().numpy()
        out[name] = np.where(np.abs(r) < 2.0**-17, np.float32(0), r) if dtype == "bfloat16" else r
    return out


# -------------------------------------------------------------------------------------------------------- tokenizers
TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
            "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
THINK_TEMPLATE = TEMPLATE.replace("{{ '<|im_start|>assistant\n' }}", "{{ '<|im_start|>assistant\n' }}{% if enable_thinking is "
                                  "defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}")


def make_tokenizer(kind):
    """byte-level BPE in the shape of the real family: llama3 (ignore_merges), smollm (digits, specials first), qwen (NFC)"""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    added = [AddedToken(s, special=True, normalized=False) for s in special]
    if kind == "qwen3":
        added += [AddedToken(s, special=False, normalized=False) for s in ("<think>", "</think>")]
    rows = 280 if kind == "qwen2" else VOCAB  # as in real Qwen2.5, the matrix has more rows than the tokenizer has ids
    tok = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "smollm")
    if kind == "smollm":
        tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    else:
        pattern = LLAMA3_PATTERN if kind == "llama3" else QWEN2_PATTERN
        tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level])
    if kind.startswith("qwen"):
        tok.normalizer = normalizers.NFC()
    tok.decoder = decoders.ByteLevel()
    first = added if kind == "smollm" else []
    trainer = trainers.BpeTrainer(vocab_size=rows - (0 if first else len(added)), special_tokens=first, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tok.train_from_iterator(CORPUS, trainer)
    if kind == "llama3":
        spec = json.loads(tok.to_str())
        spec["model"]["ignore_merges"] = True
        tok = Tokenizer.from_str(json.dumps(spec))
    if not first:
        tok.add_tokens(added)
    assert tok.get_vocab_size() == rows, tok.get_vocab_size()
    return tok


def write_tokenizer(folder, tok, style, template):
    bos, eos = "<|endoftext|>", "<|im_end|>"
    if style == 5:
        fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tok, bos_token=bos, eos_token=eos, pad_token=bos,
                                                    model_max_length=512, chat_template=template)
        fast.save_pretrained(folder)
        return
    tok.save(os.path.join(folder, "tokenizer.json"))
    decoder = {str(i): {"content": t.content, "lstrip": t.lstrip, "normalized": t.normalized, "rstrip": t.rstrip,
                        "single_word": t.single_word, "special": t.special}
               for i, t in sorted(tok.get_added_tokens_decoder().items())}
    write_json(os.path.join(folder, "tokenizer_config.json"),
               {"add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": decoder, "bos_token": bos,
                "chat_template": template, "clean_up_tokenization_spaces": False, "eos_token": eos, "model_max_length": 512,
                "pad_token": bos, "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": None})


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        f.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


# -------------------------------------------------------------------------------------------------------------- GGUF
def permute(w, heads):
    """Hugging Face's half-rotation rows -> the adjacent pairs that llama.cpp's Llama graph rotates"""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def unpermute(w, heads):
    return w.reshape(heads, w.shape[0] // heads // 2, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


GGUF_LAYER = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
              "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
              "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def gguf_name(name):
    top = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if name in top:
        return top[name]
    _, _, layer, rest = name.split(".", 3)
    stem, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{GGUF_LAYER[stem]}.{kind}"


def rope_factors(config):
    """llama.cpp's converter: the divisors that llama3 scaling amounts to, one per frequency"""
    rope = config.rope_parameters
    frequency = 1.0 / rope["rope_theta"] ** (np.arange(0, config.head_dim, 2, dtype=np.float64) / config.head_dim)
    low, high, context = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    factors = []
    for wavelength in 2 * np.pi / frequency:
        if wavelength < context / high:
            factors.append(1.0)
        elif wavelength > context / low:
            factors.append(rope["factor"])
        else:
            smooth = (context / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, np.float32)


def write_gguf(path, config, tensors, tok, kind, template, file_type, name):
    """tensors: GGUF name -> (array or block bytes, type)"""
    w = gguf.GGUFWriter(path, config.model_type)
    w.add_type("model")
    w.add_name(name)
    w.add_block_count(config.num_hidden_layers)
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(config.hidden_size)
    w.add_feed_forward_length(config.intermediate_size)
    w.add_head_count(config.num_attention_heads)
    w.add_head_count_kv(config.num_key_value_heads)
    w.add_rope_freq_base(config.rope_parameters["rope_theta"])
    w.add_layer_norm_rms_eps(config.rms_norm_eps)
    w.add_file_type(file_type)
    if config.head_dim != config.hidden_size // config.num_attention_heads:
        w.add_key_length(config.head_dim)
        w.add_value_length(config.head_dim)
    if config.model_type == "llama":
        w.add_vocab_size(config.vocab_size)
        w.add_rope_dimension_count(config.head_dim)
    vocab = {i: t for t, i in tok.get_vocab(with_added_tokens=True).items()}
    added = tok.get_added_tokens_decoder()
    tokens, types = [], []
    for i in range(config.vocab_size):
        tokens.append(vocab.get(i, f"[PAD{i}]"))
        types.append(TYPE_UNUSED if i not in vocab else TYPE_NORMAL if i not in added
                     else GPT2_TYPE_CONTROL if added[i].special else TYPE_USER)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre({"llama3": "llama-bpe", "smollm": "smollm"}.get(kind, "qwen2"))
    w.add_token_list(tokens)
    w.add_token_types(types)
    merges = json.loads(tok.to_str())["model"]["merges"]
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    w.add_bos_token_id(tok.token_to_id("<|endoftext|>"))
    w.add_eos_token_id(tok.token_to_id("<|im_end|>"))
    w.add_pad_token_id(tok.token_to_id("<|endoftext|>"))
    w.add_add_bos_token(False)
    w.add_chat_template(template)
    if file_type not in (0, 1, 32):
        w.add_quantization_version(2)
    for tensor, (data, qtype) in tensors.items():
        w.add_tensor(tensor, data, raw_dtype=qtype)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def gguf_tensors(config, weights, qtype):
    out = {}
    if config.rope_parameters.get("rope_type") == "llama3":
        out["rope_freqs.weight"] = (rope_factors(config), QT.F32)
    for name, w in weights.items():
        if config.model_type == "llama" and ".q_proj." in name:
            w = permute(w, config.num_attention_heads)
        if config.model_type == "llama" and ".k_proj." in name:
            w = permute(w, config.num_key_value_heads)
        w = np.ascontiguousarray(w)
        if w.ndim == 1 or qtype == QT.F32:
            out[gguf_name(name)] = (w.astype(np.float32), QT.F32)
        elif qtype == QT.F16:
            out[gguf_name(name)] = (w.astype(np.float16), QT.F16)
        else:
            out[gguf_name(name)] = (quants.quantize(w, qtype), qtype)
    return out


def read_gguf_weights(path, config):
    """Hugging Face names and row order from a file just written, as an independent look at what it says"""
    back = {}
    names = {gguf_name(n): n for n in weight_names(config)}
    for t in gguf.GGUFReader(path).tensors:
        if t.name == "rope_freqs.weight":
            continue
        w = quants.dequantize(t.data, t.tensor_type).reshape([int(d) for d in reversed(t.shape)]).astype(np.float32)
        if config.model_type == "llama" and ".attn_q." in t.name:
            w = unpermute(w, config.num_attention_heads)
        if config.model_type == "llama" and ".attn_k." in t.name:
            w = unpermute(w, config.num_key_value_heads)
        back[names[t.name]] = w
    return back


def weight_names(config):
    return random_weights(config, np.random.default_rng(0)).keys()


# ------------------------------------------------------------------------------------------------------- tiny models
SHAPE = dict(vocab_size=VOCAB, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, head_dim=32, max_position_embeddings=512, attention_dropout=0.0)
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64}


def default_rope(theta):
    return {"rope_type": "default", "rope_theta": theta}


TINY = {  # name: config class, overrides, tokenizer, dtype of the folder, config style, shards
    "llama31": (transformers.LlamaConfig, dict(rope_parameters=LLAMA3_ROPE, rms_norm_eps=1e-5, tie_word_embeddings=False),
                "llama3", "float32", 5, 1),
    "llama_tied": (transformers.LlamaConfig, dict(rope_parameters=default_rope(100000.0), rms_norm_eps=1e-5, tie_word_embeddings=True),
                   "smollm", "float16", 4, 1),
    "qwen2": (transformers.Qwen2Config, dict(rope_parameters=default_rope(1000000.0), rms_norm_eps=1e-6, tie_word_embeddings=False),
              "qwen2", "bfloat16", 5, 1),
    "qwen3": (transformers.Qwen3Config, dict(rope_parameters=default_rope(1000000.0), rms_norm_eps=1e-6, tie_word_embeddings=False),
              "qwen3", "float32", 4, 2),
}


def config_in_style_4(config):
    """the spelling of transformers 4: rope_theta and rope_scaling beside each other, torch_dtype"""
    c = json.loads(config.to_json_string())
    rope = c.pop("rope_parameters")
    c["rope_theta"] = rope.pop("rope_theta")
    c["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    c["torch_dtype"] = c.pop("dtype")
    c.pop("layer_types", None)
    c["transformers_version"] = "4.51.3"
    return dict(sorted(c.items()))


def choose_seed(make):
    """The first seed whose greedy paths are safe to compare token for token: wide gaps, no end-of-text, not one word for ever."""
    for seed in range(1, 400):
        result = make(seed)
        if result is not None:
            return seed, result
    raise SystemExit("no seed gives a usable model")


def usable(model, prompts, specials, gap=0.05, words=12):
    for ids in prompts:
        tokens, margin = greedy(model, ids, GREEDY, gap)
        if margin < gap or len(set(tokens)) < words or specials & set(tokens):
            return False
    return True


def make_tiny(name):
    kind_class, extra, kind, dtype, style, shards = TINY[name]
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    tok = make_tokenizer(kind)
    template = THINK_TEMPLATE if kind == "qwen3" else TEMPLATE
    bos, eos = tok.token_to_id("<|endoftext|>"), tok.token_to_id("<|im_end|>")
    config = kind_class(**SHAPE, **extra, bos_token_id=bos, eos_token_id=eos)
    specials = set(tok.get_added_tokens_decoder())

    def attempt(seed):
        rng = np.random.default_rng(seed)
        weights = round_weights(random_weights(config, rng), dtype)
        prompts = make_prompts(rng, 280)
        model = build_double(config, weights)
        return (weights, prompts, model) if usable(model, prompts, specials) else None

    seed, (weights, prompts, model) = choose_seed(attempt)
    with double_precision():
        golden = run_prompt(model, prompts[0], 7, "short", True) | run_prompt(model, prompts[1], 8, "long", True)
    save_golden(os.path.join(folder, "golden.safetensors"), golden, name)

    # The folder, as save_pretrained writes it.
    stored = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    stored.load_state_dict({k: torch.from_numpy(v).to(getattr(torch, dtype)) for k, v in weights.items()}, strict=False)
    stored.tie_weights()
    stored.generation_config = transformers.GenerationConfig(bos_token_id=bos, eos_token_id=[eos, bos] if kind != "smollm" else eos,
                                                             do_sample=True, temperature=0.6, top_p=0.95, top_k=20)
    stored.save_pretrained(folder, max_shard_size="250KB" if shards > 1 else "5GB")
    write_tokenizer(folder, tok, style, template)
    if style == 4:
        write_json(os.path.join(folder, "config.json"), config_in_style_4(stored.config))
    if name == "llama31":
        write_json(os.path.join(folder, "config.transformers4.json"), config_in_style_4(stored.config))

    for file in os.listdir(folder):
        os.chmod(os.path.join(folder, file), 0o644)
    errors = check_folder(folder, golden)
    files = [("model-f32.gguf", QT.F32, 0), ("model-f16.gguf", QT.F16, 1)] + ([("model-bf16.gguf", QT.BF16, 32)] if dtype == "bfloat16" else [])
    for file, qtype, file_type in files:
        path = os.path.join(folder, file)
        write_gguf(path, config, gguf_tensors(config, weights, qtype), tok, kind, template, file_type, f"tiny {name}")
        back = read_gguf_weights(path, config)
        if all((back[k] == weights[k]).all() for k in weights):
            continue
        rounded = build_double(config, back)  # float16 of float32 weights: other numbers, so other goldens
        with double_precision():
            other = run_prompt(rounded, prompts[0], 7, "short", True) | run_prompt(rounded, prompts[1], 8, "long", False)
        save_golden(os.path.join(folder, file.replace("model-", "golden-").replace(".gguf", ".safetensors")), other, name)
        print(f"  {file}: own golden, margins {other['short.greedy_min_margin'][0]:.3f} {other['long.greedy_min_margin'][0]:.3f}")
    print(f"{name}: seed {seed}, margins {golden['short.greedy_min_margin'][0]:.3f} {golden['long.greedy_min_margin'][0]:.3f}, "
          f"logits std {golden['long.logits'].std():.2f}, float32 transformers from the folder is off by {errors:.1e} of max|value|")


def check_folder(folder, golden):
    """the stored folder, loaded by transformers in plain float32, against the float64 golden"""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    transformers.AutoTokenizer.from_pretrained(folder)
    rerun = {}
    for prefix, rows in (("short", 7), ("long", 8)):
        rerun |= run_prompt(model, golden[prefix + ".ids"].tolist(), rows, prefix, True)
    return largest_error(golden, rerun)


def save_golden(path, golden, name):
    made_by = f"{name}, transformers {transformers.__version__}, torch {torch.__version__}, float64"  # one key: more have no fixed order
    safetensors.numpy.save_file(golden, path, metadata={"made_by": made_by})
    os.chmod(path, 0o644)


# -------------------------------------------------------------------------------------------------- quantized models
def random_blocks(qtype, rows, columns, std, rng):
    """Valid random K-quant blocks with values of about this spread (the gguf package cannot quantize to these types)."""
    block, block_bytes = gguf.GGML_QUANT_SIZES[qtype]
    n = rows * columns // block
    raw = rng.integers(0, 256, (n, block_bytes), dtype=np.uint8)
    half = lambda x: np.ascontiguousarray(x.astype(np.float16)).view(np.uint8).reshape(n, 2)
    jitter = rng.uniform(0.75, 1.25, n)
    if qtype == QT.Q6_K:      # ..., d; value = d * scale[int8] * (q - 32)
        raw[:, -2:] = half(std / 1370 * jitter)
    else:                     # d, dmin, ...; value = d * scale * q - dmin * min, scale and min of 6 bits, q of 4 or 5 bits
        levels = 16 if qtype == QT.Q4_K else 32
        d = std / (15.5 * levels) * jitter
        raw[:, 0:2], raw[:, 2:4] = half(d), half(d * (levels - 1) / 2)
    return raw.reshape(rows, columns // block * block_bytes)


def make_quantized(label, file_type):
    qtype = getattr(QT, label)
    folder = os.path.join(HERE, "quantized")
    os.makedirs(folder, exist_ok=True)
    tok = make_tokenizer("smollm")
    config = transformers.LlamaConfig(vocab_size=VOCAB, hidden_size=256, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
                                      num_key_value_heads=1, head_dim=64, max_position_embeddings=512, rms_norm_eps=1e-5,
                                      rope_parameters=default_rope(100000.0), tie_word_embeddings=True,
                                      bos_token_id=tok.token_to_id("<|endoftext|>"), eos_token_id=tok.token_to_id("<|im_end|>"))
    path = os.path.join(folder, label.lower() + ".gguf")

    def attempt(seed):
        rng = np.random.default_rng(1000 + seed)
        weights = random_weights(config, rng)
        weights["model.embed_tokens.weight"] *= np.float32(0.5)
        if label.endswith("_K"):
            tensors = {gguf_name(n): (w, QT.F32) if w.ndim == 1 else (random_blocks(qtype, *w.shape, w.std(), rng), qtype)
                       for n, w in weights.items()}
        else:
            tensors = gguf_tensors(config, weights, qtype)
        write_gguf(path, config, tensors, tok, "smollm", TEMPLATE, file_type, f"tiny {label}")
        back = read_gguf_weights(path, config)
        prompts = make_prompts(rng, 280)
        model = build_double(config, back)
        return (prompts, model, back) if usable(model, prompts, set(tok.get_added_tokens_decoder()), 0.02, 8) else None

    seed, (prompts, model, back) = choose_seed(attempt)
    with double_precision():
        golden = run_prompt(model, prompts[0], 7, "short", True) | run_prompt(model, prompts[1], 1, "long", False)
    save_golden(os.path.join(folder, label.lower() + ".golden.safetensors"), golden, label)
    spread = {n: float(w.std()) for n, w in back.items() if "layers.0.self_attn.q_proj" in n or "embed" in n}
    print(f"{label}: seed {seed}, margins {golden['short.greedy_min_margin'][0]:.3f} {golden['long.greedy_min_margin'][0]:.3f}, "
          f"std {[round(s, 4) for s in spread.values()]}, {os.path.getsize(path)} bytes")


def main():
    print("python", sys.version.split()[0], *(f"{m.__name__} {m.__version__}" for m in (torch, transformers, tokenizers, safetensors, np)),
          "gguf", __import__("importlib.metadata").metadata.version("gguf"))
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    wanted = sys.argv[1:]
    for name in TINY:
        if not wanted or name in wanted:
            make_tiny(name)
    for label, file_type in (("Q8_0", 7), ("Q4_0", 2), ("Q4_1", 3), ("Q5_0", 8), ("Q5_1", 9), ("Q4_K", 15), ("Q5_K", 17), ("Q6_K", 18)):
        if not wanted or label in wanted:
            make_quantized(label, file_type)


if __name__ == "__main__":
    main()
