"""The portal's own databases: sealed things, their row keys apart, and book-keeping. No address of a person."""
