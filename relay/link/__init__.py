"""The inside's side of the portal link: the inside calls, the DMZ answers. Pushes, pulls, reconciles."""
