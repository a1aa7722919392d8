"""What is wrong with a text that a writer made of a label."""
