"""Output of audits of labelers and of models."""
