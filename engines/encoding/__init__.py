"""Parts of the encoder of conversations in `engines/tokenization.py`."""
