"""What relay and portal both speak on the wire and at rest: encodings, HPKE, sealed content. No I/O, no policy."""
