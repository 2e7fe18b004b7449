"""Output of `publius show`: a run as a whole, and one record with its history."""
