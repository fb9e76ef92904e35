"""What is true about dataset versions, plans, runs and comparisons. No library that connects to anything."""
