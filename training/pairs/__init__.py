"""Training on preference pairs with soft labels: DPO and reward models."""
