"""What is done for a decision, one method a module: each brings its copies to their next state."""
