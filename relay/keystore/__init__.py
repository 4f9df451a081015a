"""Keys are used, never fetched: the token, keyd that holds it, and the client by which the others ask."""
