"""Policy: what is to happen to each recipient's copy, and why. Facts in, decisions out; nothing here changes a mail."""
