"""Training on revisions and preferences: SFT, and DPO with a probability for each pair."""
