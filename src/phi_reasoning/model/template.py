"""Chat templates as files: bake one into a checkpoint with its default system message, and swap in its training twin.

The training twin differs only by `{% generation %}` marks around what the model learns to say. Engines other than
transformers choke on those marks, so a saved checkpoint always carries the twin without them.
"""

import json
import re

from transformers import PreTrainedTokenizerBase

BAKED = re.compile(r"\A\{%- set default_system_message = (?P<text>\"(?:[^\"\\]|\\.)*\") -%\}\n")
MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
PROBES: list[list[dict[str, str]]] = [
    [{"role": "user", "content": "Q"}],
    [{"role": "system", "content": "S"}, {"role": "user", "content": " Q\n"}],
    [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "<think>\n a \n</think>\n\nA"},
        {"role": "user", "content": "R"},
        {"role": "assistant", "content": "<think>b</think>B"},
    ],
]


def bake(template: str, system_message: str | None) -> str:
    """Return `template` with `system_message` as what a conversation without one starts with."""
    if system_message is None:
        return template
    # A JSON string is a Jinja string too: both read \n, \" and \\ alike, and no other escape is written.
    literal = json.dumps(system_message, ensure_ascii=False)
    if re.search(r"\\[^n\"\\]", literal.replace("\\\\", "")):
        raise ValueError("the system message holds a control character other than a line break")
    return f"{{%- set default_system_message = {literal} -%}}\n{template}"


def marks_the_assistant(template: str) -> bool:
    """Tell whether the template says what the assistant's own words are, which `assistant_only_loss` needs."""
    return MARK.search(template) is not None


def training_twin(tokenizer: PreTrainedTokenizerBase, training_template: str) -> str:
    """Return `training_template` with the system message that is baked into the tokenizer's own template.

    Raises:
        ValueError: the twin renders a probe conversation differently from the tokenizer's template, so that the model
            would be trained on text it never meets afterwards.
    """
    baked = BAKED.match(tokenizer.chat_template or "")
    twin = bake(training_template, json.loads(baked["text"]) if baked else None)
    for probe in PROBES:
        for prompt in (True, False):
            ours, theirs = (
                tokenizer.apply_chat_template(probe, chat_template=t, tokenize=False, add_generation_prompt=prompt)
                for t in (twin, tokenizer.chat_template)
            )
            if ours != theirs:
                raise ValueError(f"it renders {ours!r} where the checkpoint's own template renders {theirs!r}")
    return twin
