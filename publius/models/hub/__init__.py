"""`publius push`: a data set, an adapter or a model to the Hugging Face Hub, with its card."""
