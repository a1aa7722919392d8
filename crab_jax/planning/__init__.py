"""What a step costs: counted from the model and from the compiled program."""
