"""Training on preference pairs: DPO and reward models, with a probability for each pair."""
