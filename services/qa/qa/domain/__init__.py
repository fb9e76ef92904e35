"""What is true of labels and their reviews: value types, the state table, the checks and the rules."""
