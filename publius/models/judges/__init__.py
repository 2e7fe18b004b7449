"""Parts of the training of a judge: hidden states of its gold, figures, and probes of single principles."""
