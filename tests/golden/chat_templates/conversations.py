"""The conversations and flags of the chat template goldens."""
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather in a \"city\" — now", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "description": "Name, e.g. Zürich or 東京"},
                                         "days": {"type": "integer", "minimum": 1, "maximum": 7.5}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "add", "description": "Adds <a> & b's sum", "parameters": {
        "type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": []}}},
]


def user(content):
    return {"role": "user", "content": content}


def answer(content, **more):
    return {"role": "assistant", "content": content, **more}


def system(content):
    return {"role": "system", "content": content}


def result(content, role="tool"):
    return {"role": role, "content": content}


CALL = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Zürich", "days": 2}}}
SHORT_CALL = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Bern"}}}
TEXT_CALL = {"type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}
CONVERSATIONS = {
    "single": [user("  What is 2 + 3?\n")],
    "system": [system(" You are terse. "), user("Hi")],
    "multi": [user("Add 2 and 3."), answer("The answer is 5."), user("And 4?"), answer("9"), user("Why? 因为 🙂 'q' \"d\"")],
    "system_multi": [system("Be brief.\n"), user("a"), answer(" b "), system("Be long."), user("c")],
    "think": [user("Solve x+1=2"), answer("<think>\nSubtract 1.\n</think>\n\nx = 1"), user("And x+2=5?"),
              answer("<think>\n\nsubtract 2\n</think>\n\n\nx = 3\n")],
    "think_last": [user("Q"), answer("<think>r</think>a")],
    "reasoning": [user("Q1"), answer("A1", reasoning_content="because\n"), user("Q2"), answer("A2", reasoning_content="\nsince")],
    "tools": [user("Weather?"), answer("", tool_calls=[CALL]), result("{\"t\": 21}"), answer("21 degrees"), user("thanks")],
    "tools_text": [system("Sys"), user("Weather twice?"), answer("Let me look.", tool_calls=[SHORT_CALL]), result("rain"), result("sun")],
    "tools_two": [user("Both"), answer("", tool_calls=[CALL, SHORT_CALL]), result("1"), result("2"), answer("done")],
    "tools_none": [user("Weather?"), answer(None, tool_calls=[TEXT_CALL]), result("x")],
    "tools_none_two": [user("W"), answer(None, tool_calls=[TEXT_CALL, TEXT_CALL]), result("x"), result("y"), answer("z"), user("w")],
    "tool_object": [user("W"), answer("", tool_calls=[CALL]), result({"temp": 21.5, "ok": True, "none": None}, "ipython")],
    "tool_response_user": [user("Q"), answer("a"), user("<tool_response>\nx\n</tool_response>")],
    "parts": [user([{"type": "text", "text": "in parts"}])],
    "empty": [],
}
FLAGS = {
    "none": {},
    "prompt": {"add_generation_prompt": True},
    "no_prompt": {"add_generation_prompt": False},
    "think_off": {"add_generation_prompt": True, "enable_thinking": False},
    "think_on": {"add_generation_prompt": True, "enable_thinking": True},
    "tools_null": {"add_generation_prompt": True, "tools": None},
    "tools": {"add_generation_prompt": True, "tools": TOOLS},
    "tools_in_system": {"add_generation_prompt": False, "tools": TOOLS, "tools_in_user_message": False},
    "builtin_tools": {"add_generation_prompt": True, "builtin_tools": ["code_interpreter", "brave_search", "get_weather"], "tools": TOOLS},
}
SPECIAL = {"bos_token": "<|begin|>", "eos_token": "<|end|>", "date_string": "26 Jul 2024"}
