"""Messages: octets to objects and back (RFC 5322, RFC 2045-2049). No policy, no database, no network."""
