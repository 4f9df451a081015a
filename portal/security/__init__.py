"""What stands between the network and the portal's rooms: headers, request checks, sessions, throttle, errors."""
