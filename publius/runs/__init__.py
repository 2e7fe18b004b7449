"""Run folders: identity, record files, engines, readers, data-set export."""
