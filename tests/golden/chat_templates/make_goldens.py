"""Writes the chat template goldens with Debian's python3-jinja2 (3.1.2), set up as transformers sets it up.

usage: make_goldens.py FOLDER_OF_PUBLISHED_TEMPLATES
The folder holds smollm2.jinja, llama3.jinja, r1_distill_qwen.jinja, qwen2_5.jinja, qwen3.jinja and llama3_1.jinja as
published with the models; they are not in this repository. The *_like.jinja files here are our own and must render the same.
"""
import json
import pathlib
import sys

from jinja2 import exceptions, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from conversations import CONVERSATIONS, FLAGS, SPECIAL
from language import DATA, LANGUAGE

HERE = pathlib.Path(__file__).parent
MODELS = ["smollm2", "llama3", "r1_distill_qwen", "qwen2_5", "qwen3", "llama3_1"]


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def raise_exception(message):
    raise exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: format.replace("%%", "%")  # only constant formats are in the goldens
    return env


def outcome(env, source, variables):
    try:
        template = env.from_string(source)
    except Exception as error:  # noqa: BLE001: any failure is the golden
        return "load_error", str(error)
    try:
        return "text", template.render(**variables)
    except Exception as error:  # noqa: BLE001
        return "render_error", str(error)


def model_goldens(env, folder, name):
    real = (folder / f"{name}.jinja").read_text(encoding="utf-8")
    like = (HERE / f"{name}_like.jinja").read_text(encoding="utf-8")
    texts, cases = [], []
    for conversation, messages in CONVERSATIONS.items():
        for flags, given in FLAGS.items():
            variables = {**SPECIAL, "messages": messages, **given}
            kind, text = outcome(env, real, variables)
            like_kind, like_text = outcome(env, like, variables)
            assert kind == like_kind and (kind != "text" or text == like_text), (name, conversation, flags, text, like_text)
            if kind == "text" and text not in texts:
                texts.append(text)
            cases.append({"conversation": conversation, "flags": flags, "text": texts.index(text) if kind == "text" else None})
    return {"template": f"{name}_like.jinja", "texts": texts, "cases": cases}


def write(name, value):
    (HERE / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main():
    env = environment()
    folder = pathlib.Path(sys.argv[1])
    write("conversations.json", {"special": SPECIAL, "conversations": CONVERSATIONS, "flags": FLAGS})
    for name in MODELS:
        write(f"{name}.json", model_goldens(env, folder, name))
    cases = []
    for name, source, more in LANGUAGE:
        kind, text = outcome(env, source, {**DATA, **more})
        cases.append({"name": name, "template": source, "more": more, kind: text if kind == "text" else True})
    write("language.json", {"variables": DATA, "cases": cases})


main()
