"""Start vLLM's own HTTP server with `/v1/systemone` for Llama: `python serve_llama.py --model DIR ...`.

vLLM 0.32 has a table of the architectures that it reads answers of, without Llama, which the embedded model
is. One entry is added: it reads the next token as it does for Qwen3. All else is vLLM as installed.
"""

import sys

if __name__ == "__main__":
    from vllm.entrypoints.generate.structured_decisions import strategies
    from vllm.entrypoints.launchers.api_server.entry import main

    strategies.READ_STRATEGIES["LlamaForCausalLM"] = strategies.NextTokenStrategy
    sys.argv[0] = "vllm"
    main()
