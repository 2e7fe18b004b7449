"""Chat templates of models that think, reduced to conversations of text."""

from __future__ import annotations

QWEN3 = (
    "{%- for message in messages %}"
    "{%- if message.role == 'assistant' and loop.last %}"
    "{{- '<|im_start|>assistant\n<think>\n\n</think>\n\n' + message.content.strip() + '<|im_end|>\n' }}"
    "{%- elif message.role == 'assistant' %}"
    "{{- '<|im_start|>assistant\n' + message.content.split('</think>')[-1].strip() + '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}"
    "{%- endif %}{%- endif %}"
)
"""Thinks unless it is told not to; then the template writes an empty block."""

QWEN3_THINKING = QWEN3.replace(
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}"
    "{%- endif %}",
    "{{- '<think>\n' }}",
)
"""The template opens the block."""

R1 = (
    "{%- for message in messages %}{%- if message.role == 'user' %}{{- '<｜User｜>' + message.content }}"
    "{%- elif message.role == 'assistant' %}"
    "{{- '<｜Assistant｜>' + message.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}"
    "{%- else %}{{- message.content }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<｜Assistant｜><think>\n' }}{%- endif %}"
)
"""The template opens the block, and drops it from earlier answers."""

DEEPSEEK_V31 = (
    "{%- if not thinking is defined %}{%- set thinking = false %}{%- endif %}"
    "{%- for message in messages %}{%- if message.role == 'user' %}{{- '<｜User｜>' + message.content }}"
    "{%- elif message.role == 'assistant' %}"
    "{{- '<｜Assistant｜></think>' + message.content + '<｜end▁of▁sentence｜>' }}"
    "{%- else %}{{- message.content }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<｜Assistant｜>' }}"
    "{%- if thinking %}{{- '<think>' }}{%- else %}{{- '</think>' }}{%- endif %}{%- endif %}"
)
"""Closes a block that it never opened, unless `thinking` is true."""

GPT_OSS = (
    "{{- '<|start|>system<|message|>You are ChatGPT.\nReasoning: ' + (reasoning_effort or 'medium') + "
    "'\n\n# Valid channels: analysis, commentary, final.<|end|>' }}"
    "{%- for message in messages %}{%- if message.role == 'assistant' %}"
    "{{- '<|start|>assistant<|channel|>final<|message|>' + message.content }}"
    "{{- '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' }}"
    "{%- else %}{{- '<|start|>' + message.role + '<|message|>' + message.content + '<|end|>' }}{%- endif %}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}"
)
"""The model writes thoughts and answer to channels, and opens them itself."""

GRANITE = (
    "{%- if messages[0].role == 'system' %}{%- set told = messages[0].content %}"
    "{%- set messages = messages[1:] %}"
    "{%- else %}{%- set told = 'You are Granite, developed by IBM.' %}"
    "{%- if thinking %}{%- set told = told + ' Write your thoughts between <think></think> and write your "
    "response between <response></response> for each user query.' %}{%- endif %}{%- endif %}"
    "{{- '<|start_of_role|>system<|end_of_role|>' + told + '<|end_of_text|>\n' }}"
    "{%- for message in messages %}"
    "{{- '<|start_of_role|>' + message.role + '<|end_of_role|>' + message.content + '<|end_of_text|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif %}"
)
"""A system prompt asks for thoughts if `thinking` is true."""

SMOLLM3 = (
    "{%- if enable_thinking is not defined %}{%- set enable_thinking = true %}{%- endif %}"
    "{%- set mode = '/think' if enable_thinking else '/no_think' %}"
    "{{- '<|im_start|>system\n## Metadata\n\nReasoning Mode: ' + mode + '\n\n' }}"
    "{%- if enable_thinking %}{{- 'Structure your response into Thought and Solution, with the format: "
    "<think> Thought section </think> Solution section.' }}{%- endif %}{{- '<|im_end|>\n' }}"
    "{%- for message in messages %}{%- if message.role == 'assistant' %}"
    "{{- '<|im_start|>assistant\n' + ('' if enable_thinking else '<think>\n\n</think>\n') }}"
    "{{- message.content + '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\n' + ('' if enable_thinking else '<think>\n\n</think>\n') }}{%- endif %}"
)
"""A system prompt asks for thoughts, unless `enable_thinking` is false: then there is an empty block."""

MAGISTRAL = (
    "{{- '[SYSTEM_PROMPT]First draft your thinking process. Use the format: [THINK]thoughts[/THINK]"
    "answer[/SYSTEM_PROMPT]' }}"
    "{%- for message in messages %}{%- if message.role == 'user' %}"
    "{{- '[INST]' + message.content + '[/INST]' }}"
    "{%- else %}{{- message.content + '</s>' }}{%- endif %}{%- endfor %}"
)
"""A system prompt asks for thoughts between other tags, whatever the arguments are."""

UNLISTED = (
    "{%- for message in messages %}"
    "{{- '<turn:' + message.role + '>' + message.content + '</turn>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<turn:assistant>' }}"
    "{%- if monologue | default(true) %}{{- '<inner>\n' }}{%- endif %}{%- endif %}"
)
"""A model that nobody has heard of: another tag, and another argument that turns it off."""

UNLISTED_CHANNEL = (
    "{%- for message in messages %}{{- '<<' + message.role + '>>' }}"
    "{%- if message.role == 'assistant' %}{{- '<plan></plan>' }}{%- endif %}"
    "{{- message.content + '<<end>>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<<assistant>>' }}{%- endif %}"
)
"""Another one, which shows only in earlier answers that the model plans first."""

LLAMA = (
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)

GEMMA = (
    "{%- for message in messages %}"
    "{{- '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' }}"
    "{{- message.content + '<end_of_turn>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<start_of_turn>model\n' }}{%- endif %}"
)

MISTRAL = (
    "{%- for message in messages %}{%- if message.role == 'user' %}"
    "{{- '[INST] ' + message.content + ' [/INST]' }}"
    "{%- else %}{{- ' ' + message.content + '</s>' }}{%- endif %}{%- endfor %}"
)

COMMAND_R7B = (
    "{%- for message in messages %}{%- if message.role == 'assistant' %}"
    "{{- '<|CHATBOT_TOKEN|><|START_RESPONSE|>' + message.content + '<|END_RESPONSE|>' }}"
    "{%- else %}{{- '<|USER_TOKEN|>' + message.content + '<|END_OF_TURN_TOKEN|>' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|CHATBOT_TOKEN|>' }}{%- endif %}"
)
"""The model begins its answer with a tag of its own, and does not think."""
