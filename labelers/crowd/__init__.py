"""Many annotators and labelers: their votes, how reliable they are, agreement, aggregation."""
