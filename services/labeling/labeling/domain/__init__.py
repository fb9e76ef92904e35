"""What is true of tasks and labels, whatever database or transport carries them."""
