"""The inside's side of the portal's boxes: accounts, generations, sealing mail to them, and who is told what."""
