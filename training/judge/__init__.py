"""Training of judges: a linear probe on hidden states, fitted and chosen by cross-validation."""
