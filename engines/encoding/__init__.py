"""Parts of the encoder of conversations (`engines/tokenization.py`): chat template, tokenizer, check at load."""
