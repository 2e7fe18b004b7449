"""Parts of the documentation site that are made from the code, the notebook and the list of pages."""
